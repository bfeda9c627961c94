using System.Diagnostics;
using Orleans;
using Orleans.Runtime;
using OrleansSample;
using Xunit.Abstractions;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>Silo processes that crash, hang, come back or are cut off.</summary>
[Collection(ProcessTestGroup.Name)]
public sealed class DeathTests(ITestOutputHelper output)
{
    [Theory, InlineData(Meeting.Localhost), InlineData(Meeting.Redis)]
    public async Task A_crashed_silo_fails_its_calls_at_once_and_its_grains_answer_elsewhere_after_the_verdict(Meeting meeting)
    {
        await using ProcessCluster cluster = await ProcessCluster.StartAsync(meeting, 3);
        SiloProcess victim = cluster.Silos[2];
        ISequenceGrain there = await cluster.GrainOnAsync(victim, "crash");
        Task<int> slow = there.Slow(int.MaxValue, CancellationToken.None).AsTask();
        // It goes the same way behind the slow call: when it comes back, that one is under way.
        await there.Peek();
        victim.Signal("KILL");
        await Assert.ThrowsAsync<SiloUnavailableException>(() => slow.WaitAsync(TimeSpan.FromMinutes(2)));
        await AnswersElsewhereAsync(cluster, victim, there);
        await AllAnswerAsync(cluster);
    }

    [Theory, InlineData(Meeting.Localhost), InlineData(Meeting.Redis)]
    public async Task A_silo_that_hung_ends_itself_when_it_wakes_up_dead(Meeting meeting)
    {
        await using ProcessCluster cluster = await ProcessCluster.StartAsync(meeting, 3);
        SiloProcess victim = cluster.Silos[2];
        ISequenceGrain there = await cluster.GrainOnAsync(victim, "hang");
        Task<int> slow = there.Slow(int.MaxValue, CancellationToken.None).AsTask();
        // It goes the same way behind the slow call: when it comes back, that one is under way.
        await there.Peek();
        victim.Signal("STOP");
        await AnswersElsewhereAsync(cluster, victim, there);
        await Assert.ThrowsAsync<SiloUnavailableException>(() => slow.WaitAsync(TimeSpan.FromMinutes(2)));
        victim.Signal("CONT");
        Assert.NotEqual(0, await victim.ExitAsync());
        Assert.Contains("declared dead", victim.Log, StringComparison.Ordinal);
        await AllAnswerAsync(cluster);
    }

    [Theory, InlineData("KILL", 1), InlineData("STOP", 2)]
    public async Task Probes_find_a_dead_silo(string signal, int watchers)
    {
        await using ProcessCluster cluster = await ProcessCluster.StartAsync(Meeting.Redis, 1);
        SiloProcess victim = cluster.Silos[0];
        ISequenceGrain there = await cluster.GrainOnAsync(victim, "probed");
        victim.Signal(signal);
        // Those who probe come when it is silent already: on a busy machine they may take somebody else's slowness for death, even each other's, but the last one of them lives.
        SiloProcess[] probing = [.. Enumerable.Range(0, watchers).Select(_ => cluster.Launch(0, "--probe-ms", "500"))];
        await TestCluster.UntilAsync(() => AnyDeclaresDeadAsync(probing, victim), "the verdict");
        SiloAddress? where = null;
        await TestCluster.UntilAsync(
            async () =>
            {
                try
                {
                    await using ProcessClient client = await cluster.ConnectAsync();
                    where = await client.Grains.GetGrain<ISequenceGrain>(there.GetPrimaryKeyString()).Where();
                    return true;
                }
                catch (OrleansException)
                {
                    return false;
                }
            },
            "the grain answers elsewhere");
        Assert.NotEqual(victim.Address, where);
        if (signal != "STOP") return;
        victim.Signal("CONT");
        Assert.NotEqual(0, await victim.ExitAsync());
    }

    [Fact]
    public async Task A_silo_that_starts_again_at_its_endpoint_takes_the_place_of_the_dead_one()
    {
        await using ProcessCluster cluster = await ProcessCluster.StartAsync(Meeting.Redis, 2);
        SiloProcess victim = cluster.Silos[1];
        ISequenceGrain there = await cluster.GrainOnAsync(victim, "again");
        victim.Signal("KILL");
        await victim.ExitAsync();
        // A generation is the second of a silo's start: all this may have taken less than one.
        await Task.Delay(TimeSpan.FromSeconds(1.5));
        SiloProcess next = await cluster.AddAsync(victim.Port);
        Assert.True(next.Address.Generation > victim.Address.Generation);
        await ProcessCluster.AgreeAsync(cluster.Silos[0], next);
        Assert.Contains(await there.Where(), new[] { cluster.Silos[0].Address, next.Address });
        await AllAnswerAsync(cluster);
    }

    [Fact]
    public async Task A_grain_whose_new_silo_hangs_during_its_migration_answers_again()
    {
        await using ProcessCluster cluster = await ProcessCluster.StartAsync(Meeting.Redis, 2);
        ISequenceGrain grain = await cluster.GrainOnAsync(cluster.Silos[0], "moving");
        await grain.Append(new ImmutableTokens([1]));
        cluster.Silos[1].Signal("STOP");
        await grain.MoveTo(cluster.Silos[1].Address);
        Task<SiloAddress> where = grain.Where();
        await Task.Delay(300);
        await TestCluster.UntilAsync(() => cluster.Silos[0].KillAsync(cluster.Silos[1].Address), "the verdict");
        Assert.Equal(cluster.Silos[0].Address, await where.WaitAsync(TimeSpan.FromMinutes(2)));
    }

    private static async Task<bool> AnyDeclaresDeadAsync(SiloProcess[] silos, SiloProcess victim)
    {
        foreach (SiloProcess silo in silos)
        {
            try
            {
                if (silo.Address.Equals(SiloAddress.Zero)) await silo.ReadyAsync();
                if (!(await silo.ActiveAsync()).Contains(victim.Address.ToString())) return true;
            }
            catch (Exception e) when (e is InvalidOperationException or IOException)
            {
                // Another one took this one's slowness for death.
                Assert.NotEqual(0, await silo.ExitAsync());
            }
        }
        return false;
    }

    /// <summary>After the verdict a grain of the dead silo answers from another one, through whichever gateway is left.</summary>
    private async Task AnswersElsewhereAsync(ProcessCluster cluster, SiloProcess victim, ISequenceGrain grain)
    {
        long start = Stopwatch.GetTimestamp();
        await TestCluster.UntilAsync(() => cluster.Silos[1].KillAsync(victim.Address), "the verdict");
        TimeSpan verdict = Stopwatch.GetElapsedTime(start);
        SiloAddress? where = null;
        await TestCluster.UntilAsync(
            async () =>
            {
                try
                {
                    where = await grain.Where();
                    return true;
                }
                catch (SiloUnavailableException)
                {
                    // The client, or the silo that it asks, has not heard of the verdict yet.
                    return false;
                }
            },
            "the grain answers");
        output.WriteLine($"verdict after {verdict.TotalMilliseconds:F0} ms, answer after {Stopwatch.GetElapsedTime(start).TotalMilliseconds:F0} ms");
        Assert.NotEqual(victim.Address, where);
        await ProcessCluster.AgreeAsync([.. cluster.Silos.Where(silo => silo != victim)]);
    }

    private static Task AllAnswerAsync(ProcessCluster cluster) =>
        Task.WhenAll(Enumerable.Range(0, 60).Select(i => cluster.Grains.GetGrain<ISequenceGrain>($"after{i}@{i}").Append(new ImmutableTokens([i])))).WaitAsync(TimeSpan.FromMinutes(2));
}
