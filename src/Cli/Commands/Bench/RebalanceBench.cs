using System.CommandLine;
using System.Diagnostics;
using Conclave.Cli.Admin;
using Conclave.Cli.Local;
using Conclave.Grains;

namespace Conclave.Cli.Commands.Bench;

/// <summary>
/// <c>conclave bench rebalance</c>: what a step takes while experts move. Silo processes decode steadily; the replicas of every expert alternate between 1 and 2, so that weights are
/// loaded and let go again and again; between two changes nothing moves. Step times are those that each rank's engine records itself.
/// </summary>
internal static class RebalanceBench
{
    private const string StepSource = "the engines' own step durations (histogram conclave.engine.step_duration), decode steps only, each over the median of the quiet steps of the same rank and map beside it";
    private const string Pages = "checkpoint in the page cache (warm); a silo lets go of the pages of experts it drops and has to map them anew when it loads them";
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(1), ChangeLimit = TimeSpan.FromMinutes(2), WarmUp = TimeSpan.FromSeconds(2), StepPoll = TimeSpan.FromMilliseconds(50);

    private static readonly Option<string?> Model = new("--model") { Description = "Checkpoint directory (default: the bundled demo model, or random weights of --config)", HelpName = "DIR" };
    private static readonly Option<string?> Config = new("--config") { Description = "Random weights of this config.json, or of a name of the folder bench, such as bench-v3-256e" };
    private static readonly Option<int> Silos = new("--silos") { Description = "Silo processes, each with a rank and experts", DefaultValueFactory = _ => 3 };
    private static readonly Option<int> Threads = new("--threads") { Description = "Threads of each silo", DefaultValueFactory = _ => 1 };
    private static readonly Option<int> Sequences = new("--sequences") { Description = "Sequences that decode, over all ranks", DefaultValueFactory = _ => 8 };
    private static readonly Option<int> MaxTokens = new("--max-tokens") { Description = "Length of each; then another takes its place", DefaultValueFactory = _ => 512 };
    private static readonly Option<int> Rounds = new("--rounds") { Description = "Times that experts get a second replica and lose it again", DefaultValueFactory = _ => 5 };
    private static readonly Option<double> Seconds = new("--seconds") { Description = "Length of each quiet window", DefaultValueFactory = _ => 3 };
    private static readonly Option<bool> Json = new("--json") { Description = "Print the figures as JSON" };

    public static Command Create()
    {
        var command = new Command("rebalance", "Step time while experts move between silos, against quiet steps beside it") { Model, Config, Silos, Threads, Sequences, MaxTokens, Rounds, Seconds, Json };
        command.SetAction(Run);
        return command;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        BenchOptions.RequirePositive(parsed, Threads, Sequences, MaxTokens, Rounds);
        if (parsed.GetValue(Silos) is not (>= 2 and <= 16)) throw new ArgumentException($"--silos: {parsed.GetValue(Silos)} is out of range; it must be 2 to 16, replicas lie on different silos");
        if (parsed.GetValue(Seconds) is not (> 0 and < 10_000)) throw new ArgumentException($"--seconds: {parsed.GetValue(Seconds)} is out of range; it must be above 0");
        string? given = parsed.GetValue(Model) ?? (parsed.GetValue(Config) is null ? DemoModel.Find() : null);
        using BenchModel model = await BenchModel.Open(given, parsed.GetValue(Config) ?? "", cancellationToken);
        RebalanceFigures figures = await Measure(parsed, Path.GetFullPath(model.Directory), cancellationToken);
        if (parsed.GetValue(Json)) BenchOptions.PrintCamelCaseJson(new { stepSource = StepSource, pages = Pages, target = RebalanceFigures.Target, figures });
        else Show(figures);
        return CommandLine.Done;
    }

    private static async Task<RebalanceFigures> Measure(ParseResult parsed, string model, CancellationToken cancellationToken)
    {
        string logs = Directory.CreateTempSubdirectory("conclave-steps-").FullName;
        var directory = LocalClusterDirectory.Named($"bench-{Environment.ProcessId}");
        var cluster = new LocalCluster(directory, ClusterCommands.Report);
        try
        {
            await cluster.Up(
                new LocalClusterPlan
                {
                    Model = model,
                    Silos = parsed.GetValue(Silos),
                    Gateways = 0,
                    UseRedis = false,
                    SiloArguments = ["--threads", $"{parsed.GetValue(Threads)}", "--replicas", "1", "--kv-memory", "256M", "--step-log", logs, "--suspect-timeout", "60"],
                },
                cancellationToken);
            await using AdminClient admin = await AdminClient.Open(directory.Membership(cluster.State), Path.GetFileName(model), cancellationToken);
            ClusterView view = await Until(admin.Map, view => view.IsComplete && view.Ranks.Length == parsed.GetValue(Silos), cancellationToken);
            using var enough = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            var load = new RebalanceLoad(admin, [.. view.Ranks], parsed.GetValue(Sequences), parsed.GetValue(MaxTokens));
            Task loading = load.Run(enough.Token);
            try
            {
                return await Alternate(parsed, admin.Map, loading, cluster, logs, cancellationToken);
            }
            finally
            {
                await enough.CancelAsync();
                await loading;
            }
        }
        finally
        {
            if (directory.Read() is not null) await cluster.Down();
            Directory.Delete(logs, recursive: true);
        }
    }

    private static async Task<RebalanceFigures> Alternate(ParseResult parsed, IExpertMapGrain map, Task loading, LocalCluster cluster, string logs, CancellationToken cancellationToken)
    {
        TimeSpan quiet = TimeSpan.FromSeconds(parsed.GetValue(Seconds));
        string[] silos = [.. cluster.State.Members.Where(member => member.Kind == MemberKind.Silo).Select(silo => silo.Name)];
        LoggedStep[][] Steps() => [.. silos.Select(silo => StepLog.Read(logs, silo))];
        // Only what is asked for moves.
        await map.Apply(new PlacementWishes { Automatic = false, Replicas = 1 });
        await Task.Delay(WarmUp, cancellationToken);
        var changes = new List<MapChange>();
        long begin = Stopwatch.GetTimestamp();
        for (int i = 0; i < 2 * parsed.GetValue(Rounds); i++)
        {
            await Pass(loading, quiet, Steps, cancellationToken);
            long before = (await map.Current()).Map.Version, asked = Stopwatch.GetTimestamp();
            PlacementProposal plan = await map.Apply(new PlacementWishes { Replicas = i % 2 == 0 ? 2 : 1 });
            await Until(map, view => view.Map.Version > before, cancellationToken);
            long published = Stopwatch.GetTimestamp();
            await Pass(loading, Settling, Steps, cancellationToken);
            changes.Add(new MapChange(asked, published, Stopwatch.GetTimestamp(), plan.Moves, plan.MovedBytes));
        }

        await Pass(loading, quiet, Steps, cancellationToken);
        return RebalanceFigures.Of(Steps(), changes, begin, Stopwatch.GetTimestamp());
    }

    /// <summary>Lets a window pass: as long as asked for, and on a busy machine until every rank has decoded in it, since a window without steps measures nothing.</summary>
    private static async Task Pass(Task loading, TimeSpan time, Func<LoggedStep[][]> steps, CancellationToken cancellationToken)
    {
        long began = Stopwatch.GetTimestamp();
        await Task.WhenAny(loading, Task.Delay(time, cancellationToken));
        while (!loading.IsCompleted && !Array.TrueForAll(steps(), rank => Array.Exists(rank, step => step.EndTicks > began && step.PromptTokens == 0)))
        {
            if (Stopwatch.GetElapsedTime(began) > ChangeLimit) throw new TimeoutException($"a rank has not decoded for {ChangeLimit.TotalSeconds:F0} s");
            await Task.WhenAny(loading, Task.Delay(StepPoll, cancellationToken));
            cancellationToken.ThrowIfCancellationRequested();
        }

        if (loading.IsCompleted) await loading;
    }

    /// <summary>Waits for a view in a long poll, which costs the map grain nothing while it waits.</summary>
    private static async Task<ClusterView> Until(IExpertMapGrain map, Func<ClusterView, bool> condition, CancellationToken cancellationToken)
    {
        long start = Stopwatch.GetTimestamp();
        ClusterView view = await map.Current();
        while (!condition(view))
        {
            if (Stopwatch.GetElapsedTime(start) > ChangeLimit) throw new TimeoutException($"the cluster has not changed its map within {ChangeLimit.TotalSeconds:F0} s");
            cancellationToken.ThrowIfCancellationRequested();
            view = await map.Next(new Grains.SiloReport { Silo = "", MapVersion = 0, Epoch = view.Epoch });
        }

        return view;
    }

    private static void Show(RebalanceFigures figures)
    {
        var table = new TextTable(1, "window", "steps", "median\nms", "p99\nms", "median\nratio", "p99\nratio", "within\n1.2");
        foreach ((string window, StepFigures f) in new[] { ("quiet", figures.Quiet), ("loading", figures.Loading), ("publication +-100 ms", figures.Publication), ("second after", figures.Settling), ("rebalance in all", figures.Disturbed) })
            table.AddRow(window, $"{f.Steps}", $"{f.MedianMs:F2}", $"{f.P99Ms:F2}", $"{f.MedianRatio:F3}", $"{f.P99Ratio:F2}", $"{f.WithinTarget:P1}");
        table.Write();
        Console.WriteLine($"step times: {StepSource}");
        Console.WriteLine($"pages: {Pages}");
        Console.WriteLine($"{figures.Changes} changes moved {figures.Moves} experts, {figures.MovedBytes / 1e6:F1} MB; median {figures.LoadingMs:F0} ms from request to publication; worst change {figures.WorstChange:F3}");
        Console.WriteLine($"median step of a rebalance over quiet median: {figures.Disturbed.MedianRatio:F3}, target {RebalanceFigures.Target} {(figures.Holds ? "holds" : "MISSED")}");
    }
}
