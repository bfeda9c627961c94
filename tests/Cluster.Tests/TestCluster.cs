using System.Diagnostics;
using Conclave.Cli.Admin;
using Conclave.Cli.Chaos;
using Conclave.Cli.Local;
using Conclave.Grains;

[assembly: CollectionBehavior(DisableTestParallelization = true)]

namespace Conclave.Cluster.Tests;

/// <summary>A cluster of real processes, ended with all it left behind when the test is over, however it ends.</summary>
internal sealed class TestCluster : IAsyncDisposable
{
    /// <summary>
    /// For every silo and gateway of these tests: where processes stand still for seconds because others have the processors, none of them may be taken for dead. A killed one is noticed by its
    /// connections, at once.
    /// </summary>
    public static readonly string[] Forgiving = ["--suspect-timeout", "5"];

    /// <summary>For gateways: what happens to the cluster may take as long as it likes.</summary>
    public static readonly string[] Patient = [.. Forgiving, "--patience", "240"];

    private static int Count;

    private readonly LocalClusterDirectory _directory;
    private AdminClient? _admin;

    private TestCluster(LocalClusterDirectory directory, LocalCluster processes) => (_directory, Processes) = (directory, processes);

    public LocalCluster Processes { get; }

    public string StatePath => _directory.Path;

    public IReadOnlyList<Member> Silos => [.. Processes.Alive(MemberKind.Silo)];

    public IReadOnlyList<Member> Gateways => [.. Processes.Alive(MemberKind.Gateway)];

    public AdminClient Admin => _admin ?? throw new InvalidOperationException("not connected");

    /// <summary>Starts a cluster; those that an earlier, broken run left behind are ended first.</summary>
    public static async Task<TestCluster> Start(LocalClusterPlan plan)
    {
        await EndStale();
        LocalClusterDirectory directory = NewDirectory();
        var cluster = new TestCluster(directory, new LocalCluster(directory, _ => { }));
        await cluster.Processes.Up(plan, CancellationToken.None);
        cluster._admin = await AdminClient.Open(directory.Membership(cluster.Processes.State), Path.GetFileName(plan.Model), CancellationToken.None);
        return cluster;
    }

    /// <summary>A directory that no other test uses, whose name tells which process made it.</summary>
    public static LocalClusterDirectory NewDirectory() => LocalClusterDirectory.Named($"test-{Environment.ProcessId}-{Interlocked.Increment(ref Count)}");

    /// <summary>Waits until all silos serve and every expert has its replicas.</summary>
    public async Task BecomeWhole(int replicas)
    {
        string? missing = "";
        await Eventually.Holds(async () =>
        {
            PlacementStatus placement = await Admin.Map.Placement();
            missing = Wholeness.Missing(placement, [.. Silos.Select(silo => silo.Name)], replicas);
            // A silo that has only just joined may not be in any plan yet.
            if (missing is null && placement.View.Silos.FirstOrDefault(silo => !placement.View.Map.Names(silo.Silo)) is { } idle) missing = $"{idle.Name} holds no expert yet";
            return missing is null;
        }, () => $"the cluster is not whole: {missing}");
    }

    /// <summary>What a member has said so far.</summary>
    public string LogOf(Member member) => File.ReadAllText(_directory.LogPath(member.Name));

    public async ValueTask DisposeAsync()
    {
        if (_admin is not null) await _admin.DisposeAsync();
        await Processes.Down();
    }

    public static async Task EndStale()
    {
        string home = Path.GetDirectoryName(LocalClusterDirectory.Named("x").Path)!;
        if (!Directory.Exists(home)) return;
        foreach (string path in Directory.GetDirectories(home, "test-*"))
        {
            if (int.TryParse(Path.GetFileName(path).Split('-')[1], out int owner) && ProcessIdentity.Of(owner) is not null) continue;
            var directory = new LocalClusterDirectory(path);
            // A run may have been broken off before it started anything.
            if (directory.Read() is null) directory.Delete();
            else await LocalCluster.Open(directory, _ => { }).Down();
        }
    }
}

/// <summary>Waits for conditions: generous, since machines may be busy.</summary>
internal static class Eventually
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(100);

    public static async Task Holds(Func<Task<bool>> condition, Func<string> message, double limitSeconds = 300)
    {
        long began = Stopwatch.GetTimestamp();
        Exception? last = null;
        while (true)
        {
            try
            {
                if (await condition()) return;
                last = null;
            }
            catch (Exception e) when (e is not Xunit.Sdk.XunitException)
            {
                last = e;
            }

            Assert.True(Stopwatch.GetElapsedTime(began).TotalSeconds < limitSeconds, $"{message()} {last?.Message}");
            await Task.Delay(Poll);
        }
    }
}
