using System.CommandLine;
using Conclave.Grains;
using Conclave.Grains.Transport;
using Conclave.Model;
using Conclave.Model.Checkpoints;

namespace Conclave.Cli.Commands.Bench;

/// <summary>Medians of the steps of one mode, milliseconds.</summary>
/// <param name="StepMs">A step, from the first layer to the last.</param>
/// <param name="ComputeMs">Of it, everything but waiting.</param>
/// <param name="WaitingMs">Of it, nothing to do but wait for other silos.</param>
/// <param name="CommunicationMs">Rows of a micro-batch at other silos, computing there included, one layer after the other.</param>
internal sealed record OverlapMode(double StepMs, double ComputeMs, double WaitingMs, double CommunicationMs)
{
    /// <summary>No schedule is faster.</summary>
    public double BoundMs => Math.Max(ComputeMs, CommunicationMs);

    /// <summary>Share of the communication that could hide behind computing, the lesser of both, and did.</summary>
    public double HiddenShare => Math.Min(ComputeMs, CommunicationMs) is > 0 and var hideable ? Math.Clamp((CommunicationMs - WaitingMs) / hideable, 0, 1) : 1;
}

/// <summary>What one kind of link gave.</summary>
/// <param name="DelayMs">One-way delay.</param>
/// <param name="GigabytesPerSecond">Bandwidth in each direction, 0 for no limit.</param>
/// <param name="One">One micro-batch.</param>
/// <param name="Two">Two.</param>
/// <param name="AutoStepMs">Median step of the automatic mode.</param>
/// <param name="AutoMicroBatches">What it chose.</param>
internal sealed record OverlapFigures(double DelayMs, double GigabytesPerSecond, OverlapMode One, OverlapMode Two, double AutoStepMs, int AutoMicroBatches);

/// <summary><c>conclave bench overlap</c>: a rank whose experts are half on another silo behind a slow link; steps with one and with two micro-batches.</summary>
internal static class OverlapBench
{
    private static readonly Option<string?> Model = new("--model") { Description = "Checkpoint directory (default: random weights of --config)", HelpName = "DIR" };
    private static readonly Option<string> Config = new("--config") { Description = "config.json, or a name of the folder bench", DefaultValueFactory = _ => "overlap" };
    private static readonly Option<double[]> Delays = new("--delay-ms") { Description = "One-way delays of the link", DefaultValueFactory = _ => [0.2, 1, 5], AllowMultipleArgumentsPerToken = true };
    private static readonly Option<double> Bandwidth = new("--gigabytes-per-second") { Description = "Bandwidth of the link in each direction, 0 for no limit", DefaultValueFactory = _ => 1.25 };
    private static readonly Option<int> Batch = new("--batch") { Description = "Sequences that decode", DefaultValueFactory = _ => 32 };
    private static readonly Option<int> Context = new("--context") { Description = "Tokens that each sequence has", DefaultValueFactory = _ => 128 };
    private static readonly Option<int> Steps = new("--steps") { Description = "Steps of each mode", DefaultValueFactory = _ => 60 };
    private static readonly Option<int> Threads = new("--threads") { Description = "Threads of each of the two silos", DefaultValueFactory = _ => 1 };
    private static readonly Option<string> Type = new Option<string>("--dispatch-dtype") { Description = "Type of the rows that travel", DefaultValueFactory = _ => "f32" }.AcceptOnlyFromAmong("f32", "bf16", "fp8");
    private static readonly Option<string?> Trace = new("--trace") { Description = "Write one step with two micro-batches, at the first delay, as Chrome trace JSON", HelpName = "FILE" };
    private static readonly Option<bool> Json = new("--json") { Description = "Print the figures as JSON" };

    public static Command Create()
    {
        var command = new Command("overlap", "Hide communication behind computation: one and two micro-batches on a slow link") { Model, Config, Delays, Bandwidth, Batch, Context, Steps, Threads, Type, Trace, Json };
        command.SetAction(Run);
        return command;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        BenchOptions.RequirePositive(parsed, Batch, Context, Steps, Threads);
        using BenchModel model = await BenchModel.Open(parsed.GetValue(Model), parsed.GetValue(Config)!, cancellationToken);
        using var checkpoint = Checkpoint.Open(model.Directory);
        var link = new LinkConditions { BandwidthBytesPerSecond = (long)(parsed.GetValue(Bandwidth) * 1e9) };
        TransportOptions Options() => new() { Link = link, SuspectMs = 60_000 };
        using BenchSilo near = new(checkpoint, 0, parsed.GetValue(Threads), Options()), far = new(checkpoint, 1, parsed.GetValue(Threads), Options());
        ClusterView view = BenchSilo.View(checkpoint.Config, [near.Transport.Address, far.Transport.Address]);
        await near.Use(view, cancellationToken);
        await far.Use(view, cancellationToken);
        using var workers = new WorkerPool(parsed.GetValue(Threads));
        var figures = new List<OverlapFigures>();
        foreach (double delayMs in parsed.GetValue(Delays)!)
        {
            link.Delay = TimeSpan.FromMilliseconds(delayMs);
            var options = new DispatchOptions { Type = Enum.Parse<DispatchType>(parsed.GetValue(Type)!, ignoreCase: true) };
            using var dispatch = new ClusterExpertDispatch(checkpoint, near.Experts, workers, options, BenchSilo.Name(0), near.Transport, TimeProvider.System);
            dispatch.Use(view);
            using var rank = new BenchRank(checkpoint, dispatch, workers, parsed.GetValue(Batch), parsed.GetValue(Context), prefillRows: 1);
            figures.Add(Measure(rank, delayMs, link.BandwidthBytesPerSecond / 1e9, parsed.GetValue(Steps), cancellationToken));
            if (figures.Count == 1 && parsed.GetValue(Trace) is { } trace) WriteTrace(rank, far, trace);
        }

        if (parsed.GetValue(Json)) BenchOptions.PrintCamelCaseJson(figures);
        else Show(figures);
        return CommandLine.Done;
    }

    /// <summary>The modes take turns, so that whatever else the machine does meets both alike.</summary>
    private static OverlapFigures Measure(BenchRank rank, double delayMs, double gigabytesPerSecond, int steps, CancellationToken cancellationToken)
    {
        const int Turn = 5;
        List<DispatchStatistics> one = [], two = [], auto = [];
        for (int step = -Turn; step < steps; step += Turn)
        {
            Take(rank, MicroBatchMode.One, Turn, step < 0 ? [] : one, cancellationToken);
            Take(rank, MicroBatchMode.Two, Turn, step < 0 ? [] : two, cancellationToken);
        }

        Take(rank, MicroBatchMode.Auto, steps, auto, cancellationToken);
        return new OverlapFigures(
            delayMs, gigabytesPerSecond, Medians(one), Medians(two), Median(auto, step => step.Time), (int)Math.Round(auto.Average(step => step.MicroBatches)));
    }

    private static void Take(BenchRank rank, MicroBatchMode mode, int steps, List<DispatchStatistics> into, CancellationToken cancellationToken)
    {
        rank.Dispatch.MicroBatches = mode;
        for (int i = 0; i < steps; i++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            rank.Decode();
            into.Add(rank.Dispatch.LastStep);
        }
    }

    private static OverlapMode Medians(List<DispatchStatistics> steps) => new(
        Median(steps, step => step.Time), Median(steps, step => step.Time - step.Waiting), Median(steps, step => step.Waiting), Median(steps, step => step.RoundTrips));

    private static double Median(List<DispatchStatistics> steps, Func<DispatchStatistics, TimeSpan> part)
    {
        double[] sorted = [.. steps.Select(step => part(step).TotalMilliseconds).Order()];
        return (sorted[sorted.Length / 2] + sorted[(sorted.Length - 1) / 2]) / 2;
    }

    private static void WriteTrace(BenchRank rank, BenchSilo far, string file)
    {
        var here = new StepTimeline(TimeProvider.System);
        var there = new StepTimeline(TimeProvider.System);
        rank.Dispatch.MicroBatches = MicroBatchMode.Two;
        rank.Watch(here);
        far.Service.Timeline = there;
        rank.Decode();
        rank.Watch(null);
        far.Service.Timeline = null;
        using FileStream stream = File.Create(file);
        ChromeTrace.Write(
            stream,
            [new TraceProcess("rank 0", here.Spans.ToArray(), rank.Dispatch.TimelineLanes), new TraceProcess("silo 1, experts only", there.Spans.ToArray(), ["compute"])],
            TimeProvider.System.TimestampFrequency);
    }

    private static void Show(List<OverlapFigures> figures)
    {
        var table = new TextTable(0, "delay\nms", "micro-\nbatches", "step\nms", "compute\nms", "waiting\nms", "communication\nms", "bound\nms", "hidden");
        foreach (OverlapFigures f in figures)
        {
            foreach ((string name, OverlapMode mode) in new[] { ("1", f.One), ("2", f.Two) })
                table.AddRow($"{f.DelayMs}", name, $"{mode.StepMs:F2}", $"{mode.ComputeMs:F2}", $"{mode.WaitingMs:F2}", $"{mode.CommunicationMs:F2}", $"{mode.BoundMs:F2}", $"{mode.HiddenShare:P0}");
            table.AddRow($"{f.DelayMs}", $"auto ({f.AutoMicroBatches})", $"{f.AutoStepMs:F2}");
        }

        table.Write();
        Console.WriteLine("Bound: the greater of compute and communication. Hidden: share of the lesser that did not lengthen the step.");
    }
}
