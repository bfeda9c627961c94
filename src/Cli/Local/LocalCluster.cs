using System.Diagnostics;
using System.Security.Cryptography;

namespace Conclave.Cli.Local;

/// <summary>
/// A cluster of processes on this machine: redis-server, silos and gateways, each a process of its own that outlives this one. Every change is
/// written to its directory before the next begins, so that whoever comes later can find, signal and end all of them.
/// </summary>
/// <param name="directory">Where it is kept.</param>
/// <param name="report">Told of each step, for people.</param>
internal sealed class LocalCluster(LocalClusterDirectory directory, Action<string> report)
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(6), GraceLimit = TimeSpan.FromSeconds(10), KillLimit = TimeSpan.FromMinutes(2);

    private readonly Lock _gate = new();
    private readonly HashSet<int> _ports = [];
    private readonly Dictionary<string, Process> _started = [];

    /// <summary>What is known now.</summary>
    public LocalClusterState State { get; private set; } = null!;

    /// <summary>Members that run.</summary>
    public IEnumerable<Member> Alive(MemberKind kind) => State.Members.Where(member => member.Kind == kind && member.IsAlive);

    /// <summary>The address of a gateway's HTTP API.</summary>
    public static Uri Address(Member gateway) => new($"http://{gateway.Host}:{gateway.Port}");

    /// <summary>Takes up a cluster that was started before.</summary>
    /// <exception cref="InvalidOperationException">None is kept there.</exception>
    public static LocalCluster Open(LocalClusterDirectory directory, Action<string> report)
    {
        LocalClusterState state = directory.Read() ?? throw new InvalidOperationException($"no local cluster is kept in {directory.Path}; 'conclave cluster up' starts one");
        return new LocalCluster(directory, report) { State = state };
    }

    /// <summary>Keeps other commands from changing the cluster meanwhile.</summary>
    /// <exception cref="InvalidOperationException">Another one is at work.</exception>
    public IDisposable Hold() => directory.Hold();

    /// <summary>Starts all processes and waits until a chat is answered. If that fails, or is given up, everything is ended again.</summary>
    /// <exception cref="InvalidOperationException">A cluster is up already, or a process does not start; the message tells which and why.</exception>
    public async Task Up(LocalClusterPlan plan, CancellationToken cancellationToken)
    {
        if (directory.Read() is { } old)
        {
            if (old.Members.FirstOrDefault(member => member.IsAlive) is { } alive)
                throw new InvalidOperationException($"a cluster is up already in {directory.Path} ({alive.Name} runs as process {alive.Process.Id}); 'conclave cluster down' ends it");
            directory.Delete();
        }

        directory.Create();
        using IDisposable hold = directory.Hold();
        LocalClusterDirectory.WriteSecret(directory.SecretPath, Convert.ToHexString(RandomNumberGenerator.GetBytes(32)));
        State = new LocalClusterState { ClusterId = $"local-{Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(4))}", Plan = plan };
        directory.Write(State);
        try
        {
            if (plan.UseRedis) await StartRedis(cancellationToken);
            // Without Redis the others find the cluster through the first silo.
            Member first = StartSilo();
            if (!plan.UseRedis) await WaitForReady(first, cancellationToken);
            Member[] silos = [first, .. Enumerable.Range(1, plan.Silos - 1).Select(_ => StartSilo())];
            await Task.WhenAll(silos.Select(silo => WaitForReady(silo, cancellationToken)));
            Member[] gateways = [.. Enumerable.Range(0, plan.Gateways).Select(_ => StartGateway())];
            await Task.WhenAll(gateways.Select(gateway => WaitForReady(gateway, cancellationToken)));
        }
        catch
        {
            await Down();
            throw;
        }
    }

    /// <summary>Starts a further silo; it serves once <see cref="WaitForReady"/> has returned.</summary>
    public Member StartSilo()
    {
        LocalClusterState state = State;
        int port = FreePort(), clientPort = FreePort(), transportPort = FreePort(), healthPort = FreePort();
        if (!state.Plan.UseRedis && state.PrimaryPort == 0) Update(s => s with { PrimaryPort = port, PrimaryGatewayPort = clientPort });
        string name = $"silo-{Update(s => s with { LastSilo = s.LastSilo + 1 }).LastSilo}";
        string[] arguments =
        [
            "silo", "--name", name, "--model", state.Plan.Model, "--silo-port", $"{port}", "--gateway-port", $"{clientPort}", "--transport-port", $"{transportPort}",
            "--health-listen", $"127.0.0.1:{healthPort}", "--secret-file", directory.SecretPath, .. MembershipArguments(State.PrimaryPort), .. state.Plan.SiloArguments,
        ];
        return Start(name, MemberKind.Silo, [.. Launcher.OwnProgram, .. arguments], port, healthPort);
    }

    /// <summary>Starts a further gateway; it serves once <see cref="WaitForReady"/> has returned.</summary>
    public Member StartGateway()
    {
        LocalClusterState state = Update(s => s with { LastGateway = s.LastGateway + 1 });
        bool fixedPort = state.LastGateway == 1 && state.Plan.Port > 0;
        int port = fixedPort ? state.Plan.Port : FreePort(), grpcPort = fixedPort ? port + 1 : FreePort();
        string name = $"gateway-{state.LastGateway}";
        string[] arguments =
        [
            "gateway", "--model", state.Plan.Model, "--listen", $"127.0.0.1:{port}", "--grpc-listen", $"127.0.0.1:{grpcPort}",
            .. MembershipArguments(state.PrimaryGatewayPort), .. state.Plan.GatewayArguments,
        ];
        return Start(name, MemberKind.Gateway, [.. Launcher.OwnProgram, .. arguments], port, grpcPort);
    }

    /// <summary>Waits until a silo serves, or a gateway has answered a chat.</summary>
    /// <exception cref="InvalidOperationException">It ended, or does not come into service; the message holds the end of its log.</exception>
    public async Task WaitForReady(Member member, CancellationToken cancellationToken)
    {
        long started = Stopwatch.GetTimestamp();
        using var probe = new ReadinessProbe();
        while (!(member.Kind == MemberKind.Silo ? await probe.IsHealthy(member.Host, member.SecondPort, cancellationToken) : await probe.AnswersChat(Address(member), cancellationToken)))
        {
            if (!member.IsAlive) throw new InvalidOperationException($"{member.Name} ended while it started:{LogEnd(member)}");
            if (Stopwatch.GetElapsedTime(started) > StartLimit) throw new InvalidOperationException($"{member.Name} does not come into service ({probe.LastAnswer}):{LogEnd(member)}");
            await Task.Delay(100, cancellationToken);
        }

        report($"{member.Name} serves after {Stopwatch.GetElapsedTime(started).TotalSeconds:F1} s (process {member.Process.Id}, {(member.Kind == MemberKind.Silo ? "silo port" : "HTTP port")} {member.Port})");
    }

    /// <summary>The member that people mean by <paramref name="name"/>: its name, or a silo's number.</summary>
    /// <exception cref="ArgumentException">There is none.</exception>
    public Member Find(string name) =>
        State.Members.FirstOrDefault(member => member.Name == name || member.Name == $"silo-{name}")
        ?? throw new ArgumentException($"'{name}' is not one of this cluster's processes: {string.Join(", ", State.Members.Select(member => member.Name))}");

    /// <summary>The exit code of a member that this very object started and that has ended; null for those of others.</summary>
    public async Task<int?> ExitCode(Member member)
    {
        Process? process;
        lock (_gate) _started.TryGetValue(member.Name, out process);
        if (process is null) return null;
        // The runtime hears of the end a moment after the process is gone.
        await process.WaitForExitAsync().WaitAsync(KillLimit);
        return process.ExitCode;
    }

    /// <summary>Ends every process and removes the directory. Gateways may finish what they do; the rest has nothing to lose.</summary>
    public async Task Down()
    {
        foreach (Member gateway in Alive(MemberKind.Gateway)) gateway.Process.Send(Signal.Terminate);
        await Task.WhenAll(Alive(MemberKind.Gateway).Select(gateway => gateway.Process.WaitForExit(GraceLimit)));
        foreach (Member member in State.Members) member.Process.Send(Signal.Kill);
        foreach (Member member in State.Members)
            if (!await member.Process.WaitForExit(KillLimit)) throw new InvalidOperationException($"{member.Name} (process {member.Process.Id}) does not end; its state stays in {directory.Path}");
        directory.Delete();
        lock (_gate)
        {
            foreach (Process process in _started.Values) process.Dispose();
            _started.Clear();
        }
    }

    private async Task StartRedis(CancellationToken cancellationToken)
    {
        var redis = new RedisProcess(directory, FreePort());
        Member member = Start("redis", MemberKind.Redis, redis.Command(), redis.Port, secondPort: 0);
        Update(s => s with { RedisPort = redis.Port });
        while (!await redis.Answers(cancellationToken))
        {
            if (!member.IsAlive) throw new InvalidOperationException($"redis-server ended while it started:{LogEnd(member)}");
            await Task.Delay(20, cancellationToken);
        }

        report($"redis serves (process {member.Process.Id}, port {redis.Port})");
    }

    private string[] MembershipArguments(int primaryPort) =>
    [
        "--cluster-id", State.ClusterId,
        .. State.Plan.UseRedis ? new[] { "--redis", $"127.0.0.1:{State.RedisPort}", "--redis-password-file", directory.RedisPasswordPath } : ["--primary", $"127.0.0.1:{primaryPort}"],
    ];

    private Member Start(string name, MemberKind kind, IEnumerable<string> command, int port, int secondPort)
    {
        // Whatever a killed process leaves in its temporary files goes with the directory, as far as the paths of sockets there do not become too long.
        var environment = new Dictionary<string, string>();
        if (directory.TemporaryPath.Length < 60) environment["TMPDIR"] = directory.TemporaryPath;
        var (process, identity) = Launcher.Start(command, directory.LogPath(name), environment);
        var member = new Member { Name = name, Kind = kind, Process = identity, Port = port, SecondPort = secondPort };
        lock (_gate) _started[name] = process;
        Update(s => s with { Members = [.. s.Members, member] });
        return member;
    }

    private LocalClusterState Update(Func<LocalClusterState, LocalClusterState> change)
    {
        lock (_gate)
        {
            State = change(State);
            directory.Write(State);
            return State;
        }
    }

    private int FreePort()
    {
        lock (_gate) return Ports.Free(_ports);
    }

    private string LogEnd(Member member)
    {
        string path = directory.LogPath(member.Name);
        string[] lines = File.Exists(path) ? [.. File.ReadLines(path).TakeLast(5)] : [];
        return lines.Length == 0 ? " it said nothing" : $" {string.Join(" | ", lines)}";
    }
}
