using System.CommandLine;
using System.Globalization;

namespace Conclave.Cli.Commands.Bench;

/// <summary>Tokens a second of one kind of work, medians over alternating runs.</summary>
/// <param name="Work">decode or prefill.</param>
/// <param name="Layout">"two ranks": each silo serves its share of the sequences; "one rank": one silo serves all of them.</param>
/// <param name="OneProcess">One process with two threads.</param>
/// <param name="TwoSilos">Two silo processes with one thread each.</param>
/// <param name="OneProcessCpuMs">Processor milliseconds a token, all threads together.</param>
/// <param name="TwoSilosCpuMs">The same of both silos together.</param>
internal sealed record ClusterFigures(string Work, string Layout, double OneProcess, double TwoSilos, double OneProcessCpuMs, double TwoSilosCpuMs)
{
    /// <summary>What is left of the throughput when the same threads are spread over two silos.</summary>
    public double Ratio => TwoSilos / OneProcess;
}

/// <summary>
/// <c>conclave bench cluster</c>: what it costs to spread a model's experts over silos. The same number of threads computes the same sequences in one process and in two that hold half of
/// the experts each and send each other rows over a Unix socket.
/// </summary>
internal static class ClusterBench
{
    private static readonly Option<string?> Model = new("--model") { Description = "Checkpoint directory (default: random weights of --config)", HelpName = "DIR" };
    private static readonly Option<string> Config = new("--config") { Description = "config.json, or a name of the folder bench", DefaultValueFactory = _ => "bench-v3-256e" };
    private static readonly Option<int> Batch = new("--batch") { Description = "Sequences that decode, over all ranks", DefaultValueFactory = _ => 32 };
    private static readonly Option<int> Context = new("--context") { Description = "Tokens that each sequence has", DefaultValueFactory = _ => 128 };
    private static readonly Option<int> PrefillRows = new("--prefill-rows") { Description = "Rows of a prefill step, of each rank", DefaultValueFactory = _ => 256 };
    private static readonly Option<double> Seconds = new("--seconds") { Description = "Length of each run", DefaultValueFactory = _ => 3 };
    private static readonly Option<int> Rounds = new("--rounds") { Description = "Runs of each kind", DefaultValueFactory = _ => 5 };
    private static readonly Option<string> MicroBatches = new Option<string>("--micro-batches") { Description = "Cut steps in two", DefaultValueFactory = _ => "auto" }.AcceptOnlyFromAmong("1", "2", "auto");
    private static readonly Option<bool> Json = new("--json") { Description = "Print the figures as JSON" };
    private static readonly Option<int> Silo = new("--silo") { Description = "Be this silo", Hidden = true, DefaultValueFactory = _ => -1 };
    private static readonly Option<int> Threads = new("--threads") { Description = "Threads of this silo", Hidden = true, DefaultValueFactory = _ => 1 };

    public static Command Create()
    {
        var command = new Command("cluster", "One process with two threads against two silos with one thread each") { Model, Config, Batch, Context, PrefillRows, Seconds, Rounds, MicroBatches, Json, Silo, Threads };
        command.SetAction((parsed, cancellationToken) => parsed.GetValue(Silo) >= 0 ? Serve(parsed, cancellationToken) : Run(parsed, cancellationToken));
        return command;
    }

    private static async Task<int> Serve(ParseResult parsed, CancellationToken cancellationToken)
    {
        using var silo = new ClusterBenchSilo(
            parsed.GetValue(Model)!, parsed.GetValue(Silo), parsed.GetValue(Threads), parsed.GetValue(MicroBatches)!, parsed.GetValue(Context), parsed.GetValue(PrefillRows));
        return await silo.Serve(cancellationToken);
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        BenchOptions.RequirePositive(parsed, Batch, Context, PrefillRows, Rounds);
        if (parsed.GetValue(Batch) < 2) throw new ArgumentException($"--batch: {parsed.GetValue(Batch)} is out of range; two ranks need at least 2");
        if (parsed.GetValue(Seconds) is not (> 0 and < 10_000)) throw new ArgumentException($"--seconds: {parsed.GetValue(Seconds)} is out of range; it must be above 0");
        using BenchModel model = await BenchModel.Open(parsed.GetValue(Model), parsed.GetValue(Config)!, cancellationToken);
        using ChildProcess whole = Start(parsed, model, silo: 0, threads: 2), first = Start(parsed, model, silo: 0, threads: 1), second = Start(parsed, model, silo: 1, threads: 1);
        await Connect([whole], cancellationToken);
        await Connect([first, second], cancellationToken);
        List<ClusterFigures> figures =
        [
            await Compare("decode", "two ranks", whole, [first, second], ranks: 2, parsed, cancellationToken),
            await Compare("decode", "one rank", whole, [first, second], ranks: 1, parsed, cancellationToken),
            await Compare("prefill", "two ranks", whole, [first, second], ranks: 2, parsed, cancellationToken),
            await Compare("prefill", "one rank", whole, [first, second], ranks: 1, parsed, cancellationToken),
        ];
        if (parsed.GetValue(Json)) BenchOptions.PrintCamelCaseJson(figures);
        else Show(figures);
        return CommandLine.Done;
    }

    private static ChildProcess Start(ParseResult parsed, BenchModel model, int silo, int threads) => new(
        "bench", "cluster", "--model", model.Directory, "--silo", $"{silo}", "--threads", $"{threads}", "--micro-batches", parsed.GetValue(MicroBatches)!,
        "--context", $"{parsed.GetValue(Context)}", "--prefill-rows", $"{parsed.GetValue(PrefillRows)}");

    private static async Task Connect(ChildProcess[] silos, CancellationToken cancellationToken)
    {
        var addresses = new List<string>();
        foreach (ChildProcess silo in silos) addresses.Add(await silo.ReadLine(cancellationToken));
        foreach (ChildProcess silo in silos) await silo.WriteLine($"use {string.Join(' ', addresses)}");
        foreach (ChildProcess silo in silos) await silo.ReadLine(cancellationToken);
    }

    private static async Task<ClusterFigures> Compare(string work, string layout, ChildProcess whole, ChildProcess[] silos, int ranks, ParseResult parsed, CancellationToken cancellationToken)
    {
        int rows = work == "decode" ? parsed.GetValue(Batch) : parsed.GetValue(PrefillRows);
        double seconds = parsed.GetValue(Seconds);
        List<Measured> one = [], two = [];
        for (int round = -1; round < parsed.GetValue(Rounds); round++)
        {
            Measured single = await Throughput(work, [whole], 1, rows, seconds, cancellationToken);
            Measured spread = await Throughput(work, silos, ranks, work == "decode" ? rows / ranks : rows, seconds, cancellationToken);
            if (round < 0) continue;
            one.Add(single);
            two.Add(spread);
        }

        return new ClusterFigures(work, layout, Median(one, run => run.TokensPerSecond), Median(two, run => run.TokensPerSecond), Median(one, run => run.CpuMs), Median(two, run => run.CpuMs));
    }

    /// <summary>The first <paramref name="ranks"/> of <paramref name="silos"/> compute at the same time, each with <paramref name="rows"/> rows a step.</summary>
    private static async Task<Measured> Throughput(string work, ChildProcess[] silos, int ranks, int rows, double seconds, CancellationToken cancellationToken)
    {
        TimeSpan before = silos.Aggregate(TimeSpan.Zero, (sum, silo) => sum + silo.ProcessorTime);
        foreach (ChildProcess rank in silos.Take(ranks)) await rank.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{work} {rows} {seconds}"));
        double perSecond = 0, tokens = 0;
        foreach (ChildProcess rank in silos.Take(ranks))
        {
            string[] answer = (await rank.ReadLine(cancellationToken)).Split(' ');
            tokens += double.Parse(answer[0], CultureInfo.InvariantCulture);
            perSecond += double.Parse(answer[0], CultureInfo.InvariantCulture) / double.Parse(answer[1], CultureInfo.InvariantCulture);
        }

        TimeSpan used = silos.Aggregate(TimeSpan.Zero, (sum, silo) => sum + silo.ProcessorTime) - before;
        return new Measured(perSecond, used.TotalMilliseconds / tokens);
    }

    private static double Median(List<Measured> runs, Func<Measured, double> value)
    {
        double[] sorted = [.. runs.Select(value).Order()];
        return (sorted[sorted.Length / 2] + sorted[(sorted.Length - 1) / 2]) / 2;
    }

    private static void Show(List<ClusterFigures> figures)
    {
        var table = new TextTable(2, "work", "layout", "1 process\ntokens/s", "2 silos\ntokens/s", "ratio", "1 process\nCPU ms a token", "2 silos\nCPU ms a token");
        foreach (ClusterFigures f in figures)
            table.AddRow(f.Work, f.Layout, $"{f.OneProcess:F1}", $"{f.TwoSilos:F1}", $"{f.Ratio:F2}", $"{f.OneProcessCpuMs:F2}", $"{f.TwoSilosCpuMs:F2}");
        table.Write();
    }

    /// <summary>One run.</summary>
    private readonly record struct Measured(double TokensPerSecond, double CpuMs);
}
