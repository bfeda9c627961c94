using System.CommandLine;
using Conclave.Model;
using Conclave.Model.Checkpoints;

namespace Conclave.Cli.Commands.Bench;

/// <summary>What <c>bench layer</c> prints.</summary>
internal sealed record LayerBenchFigures(
    string Config, int Experts, int Threads, double MemoryGbPerSecond, double FmaGflops, int Runs, IReadOnlyList<LayerFigures> Layers, string EstimateNote, IReadOnlyList<WholeModelEstimate> Estimate);

/// <summary><c>conclave bench layer</c>: one dense and one MoE layer of a model too large for this machine, of its true shape, with random weights in memory.</summary>
internal static class LayerBench
{
    private static readonly Option<string> Config = new("--config") { Description = "config.json, or a name of the folder bench", DefaultValueFactory = _ => "deepseek-v3" };
    private static readonly Option<int?> Experts = new("--experts") { Description = "Routed experts to make (default: all; those of DeepSeek-V3 take 11.3 GB)" };
    private static readonly Option<string> Batch = new("--batch") { Description = "Sequences that decode together", DefaultValueFactory = _ => "1,8,32", HelpName = "N,N,..." };
    private static readonly Option<int> Prefill = new("--prefill") { Description = "Tokens of the prompt; 0 for none", DefaultValueFactory = _ => 512 };
    private static readonly Option<int> Context = new("--context") { Description = "Tokens that each sequence has before it decodes", DefaultValueFactory = _ => 128 };
    private static readonly Option<string> Type = new Option<string>("--dtype") { Description = "Type of the large matrices", DefaultValueFactory = _ => "fp8" }.AcceptOnlyFromAmong("fp8", "bf16");
    private static readonly Option<string> Silos = new("--silos") { Description = "Numbers of silos to estimate the whole model for", DefaultValueFactory = _ => "1,8,32", HelpName = "N,N,..." };
    private static readonly Option<int> Threads = new("--threads") { Description = "Threads of the forward pass", DefaultValueFactory = _ => Environment.ProcessorCount };
    private static readonly Option<int> Runs = new("--runs") { Description = "Steps of each kind; medians are shown", DefaultValueFactory = _ => 7 };
    private static readonly Option<bool> Json = new("--json") { Description = "Print the figures as JSON" };

    public static Command Create()
    {
        var command = new Command("layer", "One dense and one MoE layer of a large model, against memory bandwidth and multiply-add rate of the same run")
        {
            Config, Experts, Batch, Prefill, Context, Type, Silos, Threads, Runs, Json,
        };
        command.SetAction((parsed, cancellationToken) => Task.Run(() => Run(parsed, cancellationToken), cancellationToken));
        return command;
    }

    private static int Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        BenchOptions.RequirePositive(parsed, Context, Runs);
        BenchOptions.RequireThreads(parsed, Threads);
        if (parsed.GetValue(Prefill) < 0) throw new ArgumentException($"--prefill: {parsed.GetValue(Prefill)} is out of range; it must be at least 0");
        int[] batches = BenchOptions.Numbers(parsed, Batch, 1024), silos = BenchOptions.Numbers(parsed, Silos, 1024);
        string file = BenchModel.ConfigFile(parsed.GetValue(Config)!);
        ModelConfig whole = ModelConfig.LoadFile(file), config = TwoLayers(whole, parsed.GetValue(Experts));
        ModelRun.RequireRoom(config, parsed.GetValue(Context), 1, parsed.GetValue(Prefill));
        DType type = parsed.GetValue(Type) == "fp8" ? DType.F8E4M3 : DType.BF16;
        using var workers = new WorkerPool(parsed.GetValue(Threads));
        using MemoryCheckpoint memory = Make(config, type, workers, cancellationToken);
        using var speed = new MachineSpeed(workers, 512L << 20);
        using var run = new LayerRun(memory.Checkpoint, workers, batches.Max(), parsed.GetValue(Context), parsed.GetValue(Prefill));
        var layers = new List<LayerFigures>();
        speed.Measure();
        // The first steps are the just-in-time compiler's.
        for (int i = 0; i < 40 && config.HiddenSize * i < 40_000; i++) run.Decode(1);
        foreach (int batch in batches)
        {
            BenchOptions.Progress($"decoding, {batch} sequences");
            layers.AddRange(Measure(run, speed, "decode", batch, batch * (parsed.GetValue(Context) + 1.0), parsed.GetValue(Runs), cancellationToken));
        }

        int prompt = parsed.GetValue(Prefill);
        if (prompt > 0) BenchOptions.Progress($"prefill of {prompt} tokens");
        if (prompt > 0) layers.AddRange(Measure(run, speed, "prefill", prompt, prompt * (prompt + 1.0) / 2, Math.Min(parsed.GetValue(Runs), 3), cancellationToken));
        var figures = new LayerBenchFigures(
            Path.GetFileName(file), config.RoutedExpertCount, workers.ThreadCount, speed.MemoryGigabytesPerSecond, speed.FmaGigaflops, parsed.GetValue(Runs),
            layers, EstimateNote(whole, config.RoutedExpertCount, parsed.GetValue(Context)), [.. silos.SelectMany(n => batches.Select(batch => WholeModelEstimate.Of(whole, layers, run.Work, speed.MemoryGigabytesPerSecond, n, batch)))]);
        if (parsed.GetValue(Json)) BenchOptions.PrintJson(figures);
        else Show(figures, whole);
        return CommandLine.Done;
    }

    /// <summary>What the estimate rests on, and what it leaves out.</summary>
    private static string EstimateNote(ModelConfig whole, int experts, int context) =>
        $"ESTIMATE, not measured, of decoding with all {whole.LayerCount} layers behind {context} tokens: from the times above and the head at memory speed,\nas if each silo had memory for its weights; rows on their way between silos are not counted."
        + (experts == whole.RoutedExpertCount ? "" : $"\nOnly {experts} of {whole.RoutedExpertCount} experts were made: an MoE layer's time is scaled by the bytes that rows would read of all of them.");

    /// <summary>The same model with one dense and one MoE layer and a small vocabulary.</summary>
    private static ModelConfig TwoLayers(ModelConfig whole, int? experts)
    {
        if (whole.RoutedExpertCount == 0) throw new ArgumentException("--config: the model has no experts");
        int count = experts ?? whole.RoutedExpertCount;
        if (count < whole.ExpertsPerToken || count > whole.RoutedExpertCount || count % whole.GroupCount != 0 || count / whole.GroupCount * whole.GroupsKept < whole.ExpertsPerToken)
            throw new ArgumentException($"--experts: {count} is out of range; it must be a multiple of the {whole.GroupCount} groups, at most {whole.RoutedExpertCount}, and leave a token its {whole.ExpertsPerToken} experts");
        return whole with { LayerCount = 2, FirstDenseLayers = 1, MoeLayerFrequency = 1, NextTokenPredictLayers = 0, VocabularySize = LayerRun.Vocabulary, RoutedExpertCount = count };
    }

    private static MemoryCheckpoint Make(ModelConfig config, DType type, WorkerPool workers, CancellationToken cancellationToken)
    {
        long size = MemoryCheckpoint.SizeBytes(config, type), available = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        if (size > available * 0.9) throw new ArgumentException($"--experts: the weights take {size / 1e9:F1} GB, this machine has {available / 1e9:F1} GB; name fewer");
        int shown = -1;
        var progress = new Synchronous(bytes =>
        {
            int percent = (int)(100 * bytes / size);
            if (percent / 10 == shown) return;
            shown = percent / 10;
            Console.Error.WriteLine($"conclave: {bytes / 1e9:F1} of {size / 1e9:F1} GB of random weights made");
        });
        return MemoryCheckpoint.Make(config, type, workers, progress, cancellationToken);
    }

    private static IEnumerable<LayerFigures> Measure(LayerRun run, MachineSpeed speed, string work, int rows, double keys, int runs, CancellationToken cancellationToken)
    {
        List<double>[] seconds = [[], []], shares = [[], []], rates = [[], []];
        var experts = new List<double>();
        for (int i = -1; i < runs; i++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            double before = i < 0 ? 0 : speed.Measure(1);
            (double dense, double moe) = work == "decode" ? run.Decode(rows) : run.Prefill(rows);
            if (i < 0) continue;
            double bandwidth = (before + speed.Measure(1)) / 2;
            experts.Add(run.Work.Experts);
            foreach ((int layer, double time, double bytes) in new[] { (0, dense, run.Work.AlwaysBytes[0]), (1, moe, run.Work.AlwaysBytes[1] + (run.Work.Experts * run.Work.ExpertBytes)) })
            {
                seconds[layer].Add(time);
                rates[layer].Add(bytes / time / 1e9);
                shares[layer].Add(bytes / time / 1e9 / bandwidth);
            }
        }

        for (int layer = 0; layer < 2; layer++)
        {
            double time = MachineSpeed.Median(seconds[layer]), gigaflops = run.Work.Flops(layer, rows, keys) / time / 1e9;
            yield return new LayerFigures(
                layer == 0 ? "dense" : "moe", work, rows, time * 1e3, MachineSpeed.Median(rates[layer]), MachineSpeed.Median(shares[layer]),
                gigaflops, gigaflops / speed.FmaGigaflops, layer == 0 ? 0 : experts.Average());
        }
    }

    private static void Show(LayerBenchFigures f, ModelConfig whole)
    {
        Console.WriteLine($"{f.Config}, {f.Experts} experts, {f.Threads} threads; memory {f.MemoryGbPerSecond:F1} GB/s, FMA loop {f.FmaGflops:F0} GFLOP/s; medians of {f.Runs}");
        var table = new TextTable(2, "layer", "work", "rows", "ms", "weights\nGB/s", "of memory", "GFLOP/s", "of FMA", "experts");
        foreach (LayerFigures l in f.Layers)
            table.AddRow(l.Layer, l.Work, $"{l.Rows}", $"{l.Ms:F1}", $"{l.WeightGbPerSecond:F1}", $"{l.MemoryShare:P0}", $"{l.Gflops:F0}", $"{l.FmaShare:P0}", l.Experts > 0 ? $"{l.Experts:F0}" : "");
        table.Write();
        Console.WriteLine(f.EstimateNote);
        var estimate = new TextTable(0, "silos", "sequences\na silo", "tokens/s\nin all", "tokens/s\na sequence", "weights\na silo, GB");
        foreach (WholeModelEstimate e in f.Estimate)
            estimate.AddRow($"{e.Silos}", $"{e.Batch}", $"{e.TokensPerSecond:F2}", $"{e.TokensPerSecond / e.Silos / e.Batch:F2}", $"{e.WeightGbPerSilo:F0}");
        estimate.Write();
    }

    /// <summary>Reports at once, on the thread that makes progress.</summary>
    private sealed class Synchronous(Action<long> report) : IProgress<long>
    {
        public void Report(long value) => report(value);
    }
}
