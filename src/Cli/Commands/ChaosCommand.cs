using System.CommandLine;
using Conclave.Cli.Admin;
using Conclave.Cli.Chaos;
using Conclave.Cli.Local;

namespace Conclave.Cli.Commands;

/// <summary><c>conclave chaos</c>: proves that a cluster loses silos and gateways without anyone noticing.</summary>
internal static class ChaosCommand
{
    private static readonly Option<double> Minutes = new("--minutes") { Description = "How long", DefaultValueFactory = _ => 1 };
    private static readonly Option<int> Seed = new("--seed") { Description = "Draws the same requests and the same schedule again", DefaultValueFactory = _ => 1 };
    private static readonly Option<int> Silos = new("--silos") { Description = "Silos at the start", DefaultValueFactory = _ => 3 };
    private static readonly Option<int> Gateways = new("--gateways") { Description = "Gateways", DefaultValueFactory = _ => 2 };
    private static readonly Option<int> Streams = new("--streams") { Description = "Requests under way at any time", DefaultValueFactory = _ => 6 };
    private static readonly Option<int> Cases = new("--cases") { Description = "Different requests, which are repeated", DefaultValueFactory = _ => 32 };
    private static readonly Option<string?> Logs = new("--logs") { Description = "Keep the processes' logs in this directory", HelpName = "DIR" };
    private static readonly Option<bool> Json = new("--json") { Description = "Print JSON" };
    private static readonly LocalSiloOptions SiloOptions = new(defaultReplicas: 2);

    public static Command Create()
    {
        var command = new Command("chaos", "Kill, freeze, add and drain silos and kill gateways at random under load, and compare every token with an undisturbed run") { Minutes, Seed, Silos, Gateways, Streams, Cases, Logs, Json };
        SiloOptions.AddTo(command);
        command.SetAction(Run);
        return command;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        ChaosSettings settings = Settings(parsed);
        IReadOnlyList<ChaosCase> cases = ChaosLoad.Create(settings.Seed, parsed.GetValue(Cases));
        IReadOnlyList<ChaosEvent> events = ChaosPlan.Create(settings.Seed, settings.DurationMs, settings.Silos, settings.Gateways);
        ClusterCommands.Report($"the undisturbed answers to {cases.Count} requests, from one process");
        string model = SiloOptions.Model(parsed);
        IReadOnlyList<Answer> expected = await UndisturbedRun.Answers(cases, SiloOptions.ServeArguments(parsed), settings.Streams, cancellationToken);

        var directory = LocalClusterDirectory.Named($"chaos-{Environment.ProcessId}");
        var cluster = new LocalCluster(directory, ClusterCommands.Report);
        await cluster.Up(new LocalClusterPlan
        {
            Model = model,
            Silos = settings.Silos,
            Gateways = settings.Gateways,
            SiloArguments = SiloOptions.Arguments(parsed, settings.Silos),
            GatewayArguments = SiloOptions.GatewayArguments(parsed),
        }, cancellationToken);
        try
        {
            ChaosReport report = await Disturb(cluster, directory, settings, cases, expected, events, cancellationToken);
            report.Write(ClusterTables.Console(), parsed.GetValue(Json));
            return report.Holds ? CommandLine.Done : CommandLine.Failed;
        }
        finally
        {
            if (parsed.GetValue(Logs) is { } logs) directory.CopyLogs(logs);
            await cluster.Down();
        }
    }

    private static async Task<ChaosReport> Disturb(
        LocalCluster cluster, LocalClusterDirectory directory, ChaosSettings settings, IReadOnlyList<ChaosCase> cases, IReadOnlyList<Answer> expected, IReadOnlyList<ChaosEvent> events,
        CancellationToken cancellationToken)
    {
        await using AdminClient admin = await AdminClient.Open(directory.Membership(cluster.State), Path.GetFileName(cluster.State.Plan.Model), cancellationToken);
        var run = new ChaosRun(cluster, admin, settings.Silos, settings.Replicas, ClusterCommands.Report);
        using var load = new LoadRunner(cases, expected, () => run.Gateways);
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task loading = load.Run(settings.Streams, enough.Token);
        try
        {
            await run.Run(events, settings.DurationMs, cancellationToken);
        }
        finally
        {
            await enough.CancelAsync();
            await loading;
        }

        return ChaosReport.Of(settings, run, load);
    }

    private static ChaosSettings Settings(ParseResult parsed)
    {
        Check("--minutes", parsed.GetValue(Minutes), 0.1, 60 * 24);
        Check("--silos", parsed.GetValue(Silos), 2, 16);
        Check("--gateways", parsed.GetValue(Gateways), 1, 8);
        Check("--streams", parsed.GetValue(Streams), 1, 256);
        Check("--cases", parsed.GetValue(Cases), 1, 10_000);
        return new ChaosSettings(parsed.GetValue(Seed), parsed.GetValue(Minutes), parsed.GetValue(Silos), parsed.GetValue(Gateways), parsed.GetValue(Streams), SiloOptions.Replicas(parsed));
    }

    private static void Check(string option, double value, double least, double most)
    {
        if (!(value >= least && value <= most)) throw new ArgumentException(FormattableString.Invariant($"{option}: {value} is out of range; it must be {least} to {most}"));
    }
}
