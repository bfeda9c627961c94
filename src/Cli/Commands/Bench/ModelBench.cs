using System.CommandLine;
using Conclave.Model;
using Conclave.Model.Checkpoints;
using Conclave.Model.Kernels;

namespace Conclave.Cli.Commands.Bench;

/// <summary>A prompt computed at once.</summary>
/// <param name="Tokens">Its length.</param>
/// <param name="TokensPerSecond">Tokens per second, the median of the runs.</param>
/// <param name="Gflops">Matrix products and attention, GFLOP/s.</param>
/// <param name="FmaShare">The same as a share of the register-only loop's rate.</param>
internal sealed record PrefillFigures(int Tokens, double TokensPerSecond, double Gflops, double FmaShare);

/// <summary>Sequences that decode together.</summary>
/// <param name="Batch">How many.</param>
/// <param name="TokensPerSecond">Tokens per second, all together, the median of the runs.</param>
/// <param name="WeightGbPerSecond">Weights read, each matrix and each chosen expert once a step.</param>
/// <param name="MemoryShare">The same as a share of the bandwidth measured just before and after.</param>
/// <param name="StepMs">Median step.</param>
/// <param name="BestStepMs">Shortest step: on a machine with other work what the program could do.</param>
/// <param name="Gflops">Matrix products and attention, GFLOP/s.</param>
/// <param name="KernelShare">Share of the step in which its thread was inside loops over kernels, neither between them nor waiting.</param>
/// <param name="ExpertsPerLayer">Different experts that a step chose in a layer, on average.</param>
internal sealed record DecodeFigures(
    int Batch, double TokensPerSecond, double WeightGbPerSecond, double MemoryShare, double StepMs, double BestStepMs, double Gflops, double KernelShare, double ExpertsPerLayer);

/// <summary>What <c>bench model</c> prints. <c>Prefill</c> is the first of <c>Prefills</c>, which holds one for each length of --prefill.</summary>
internal sealed record ModelFigures(
    string Model, int Threads, PrefillFigures? Prefill, IReadOnlyList<PrefillFigures> Prefills, IReadOnlyList<DecodeFigures> Decode, double MemoryGbPerSecond, double FmaGflops, int Runs, string Kernels, string KvType, string Compute);

/// <summary><c>conclave bench model</c>: prefill and decoding of one model in this process, beside what the machine can give.</summary>
internal static class ModelBench
{
    private static readonly Option<string?> Model = new("--model") { Description = "Checkpoint directory (default: random weights of --config)", HelpName = "DIR" };
    private static readonly Option<string> Config = new("--config") { Description = "config.json, or a name of the folder bench", DefaultValueFactory = _ => "bench-v3-1b" };
    private static readonly Option<string> Prefill = new("--prefill") { Description = "Tokens of the prompt, or of several prompts; 0 for none", DefaultValueFactory = _ => "512", HelpName = "N,N,..." };
    private static readonly Option<int> Decode = new("--decode") { Description = "Tokens that each sequence decodes", DefaultValueFactory = _ => 64 };
    private static readonly Option<string> Batch = new("--batch") { Description = "Sequences that decode together", DefaultValueFactory = _ => "1,4,8,16,32", HelpName = "N,N,..." };
    private static readonly Option<int> Context = new("--context") { Description = "Tokens that each sequence has before it decodes", DefaultValueFactory = _ => 128 };
    private static readonly Option<int> Threads = new("--threads") { Description = "Threads of the forward pass", DefaultValueFactory = _ => Environment.ProcessorCount };
    private static readonly Option<int> Runs = new("--runs") { Description = "Measurements of each kind, in turns; medians are shown", DefaultValueFactory = _ => 3 };
    private static readonly Option<bool> Profile = new("--profile") { Description = "Tell what steps spend their time with" };
    private static readonly Option<string> Compute = ModelOptions.ComputeOption();
    private static readonly Option<string> KvType = ModelOptions.KvTypeOption();
    private static readonly Option<bool> Json = new("--json") { Description = "Print the figures as JSON" };

    public static Command Create()
    {
        var command = new Command("model", "Prefill and decoding of a model, against memory bandwidth and multiply-add rate of the same run") { Model, Config, Prefill, Decode, Batch, Context, Threads, Runs, Profile, Compute, KvType, Json };
        command.SetAction(Run);
        return command;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        BenchOptions.RequirePositive(parsed, Decode, Context, Runs);
        BenchOptions.RequireThreads(parsed, Threads);
        int[] prompts = [.. BenchOptions.Numbers(parsed, Prefill, 10_000_000, least: 0).Where(tokens => tokens > 0)], batches = BenchOptions.Numbers(parsed, Batch, 1024);
        KvOptions kv = ModelOptions.Kv(parsed.GetValue(KvType)!, KvLayout.BlockTokens);
        ComputeType compute = ModelOptions.ReadCompute(parsed.GetValue(Compute)!);
        int longest = prompts.DefaultIfEmpty().Max();
        ModelRun.RequireRoom(BenchModel.Configuration(parsed.GetValue(Model), parsed.GetValue(Config)!), parsed.GetValue(Context), parsed.GetValue(Decode), longest);
        using BenchModel model = await BenchModel.Open(parsed.GetValue(Model), parsed.GetValue(Config)!, cancellationToken);
        BenchOptions.Progress($"loading {model.Directory}");
        using var checkpoint = Checkpoint.Open(model.Directory, compute);
        using var workers = new WorkerPool(parsed.GetValue(Threads));
        using var speed = new MachineSpeed(workers, 512L << 20);
        using var subject = new ModelRun(checkpoint, workers, batches.Max(), parsed.GetValue(Context), parsed.GetValue(Decode), longest, kv);
        BenchOptions.Progress($"warming up; {batches.Max()} sequences get {parsed.GetValue(Context)} tokens each");
        await subject.WarmUp(cancellationToken);
        var profiles = batches.Select(batch => new StepProfile($"decode {batch}")).ToArray();
        var prefillProfiles = prompts.Select(tokens => new StepProfile($"prefill {Math.Min(tokens, ModelRun.MaxChunk)} of {tokens}")).ToArray();
        var prefills = prompts.Select(_ => new List<ModelSample>()).ToArray();
        var decodes = batches.Select(_ => new List<ModelSample>()).ToArray();
        for (int run = 0; run < parsed.GetValue(Runs); run++)
        {
            double before = speed.Measure();
            for (int i = 0; i < prompts.Length; i++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                subject.Profile = parsed.GetValue(Profile) ? prefillProfiles[i] : null;
                prefills[i].Add(subject.Prefill(prompts[i]));
                BenchOptions.Progress($"run {run + 1} of {parsed.GetValue(Runs)}: prefill of {prompts[i]} tokens took {prefills[i][^1].Seconds:F1} s");
            }

            for (int i = 0; i < batches.Length; i++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                subject.Profile = parsed.GetValue(Profile) ? profiles[i] : null;
                ModelSample sample = subject.Decode(batches[i]);
                double after = speed.Measure();
                decodes[i].Add(sample with { Bandwidth = (before + after) / 2 });
                before = after;
                BenchOptions.Progress($"run {run + 1} of {parsed.GetValue(Runs)}: {sample.Steps} steps of {batches[i]} sequences took {sample.Seconds:F1} s");
            }
        }

        PrefillFigures[] prefillFigures = [.. prompts.Select((tokens, i) => PrefillOf(prefills[i], tokens, speed.FmaGigaflops))];
        var figures = new ModelFigures(
            Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(parsed.GetValue(Model) ?? parsed.GetValue(Config)!))), parsed.GetValue(Threads),
            prefillFigures.FirstOrDefault(), prefillFigures, [.. batches.Select((batch, i) => DecodeOf(decodes[i], batch))],
            speed.MemoryGigabytesPerSecond, speed.FmaGigaflops, parsed.GetValue(Runs), subject.Kernels, kv.Type.ToString(), compute.ToString());
        if (parsed.GetValue(Json)) BenchOptions.PrintJson(figures);
        else Show(figures, [.. prefillProfiles, .. profiles]);
        return CommandLine.Done;
    }

    private static PrefillFigures PrefillOf(List<ModelSample> samples, int tokens, double fmaGigaflops)
    {
        double seconds = MachineSpeed.Median(samples.Select(sample => sample.Seconds));
        double gigaflops = samples[0].Flops / seconds / 1e9;
        return new PrefillFigures(tokens, tokens / seconds, gigaflops, gigaflops / fmaGigaflops);
    }

    private static DecodeFigures DecodeOf(List<ModelSample> samples, int batch) => new(
        batch,
        MachineSpeed.Median(samples.Select(sample => batch * sample.Steps / sample.Seconds)),
        MachineSpeed.Median(samples.Select(sample => sample.WeightBytes / sample.Seconds / 1e9)),
        MachineSpeed.Median(samples.Select(sample => sample.WeightBytes / sample.Seconds / 1e9 / sample.Bandwidth)),
        MachineSpeed.Median(samples.Select(sample => sample.MedianStepMs)),
        samples.Min(sample => sample.BestStepMs),
        MachineSpeed.Median(samples.Select(sample => sample.Flops / sample.Seconds / 1e9)),
        MachineSpeed.Median(samples.Select(sample => sample.KernelShare)),
        samples.Average(sample => sample.ExpertsPerLayer));

    private static void Show(ModelFigures f, StepProfile[] profiles)
    {
        Console.WriteLine($"{f.Model}, {f.Threads} threads, {f.Kernels}, products {f.Compute}, KV {f.KvType};\nmemory {f.MemoryGbPerSecond:F1} GB/s, FMA loop {f.FmaGflops:F0} GFLOP/s; medians of {f.Runs}");
        var table = new TextTable(1, "work", "tokens/s", "ms", "weights\nGB/s", "of\nmemory", "GFLOP/s", "of\nFMA", "in\nkernels", "experts\na layer");
        foreach (PrefillFigures p in f.Prefills) table.AddRow($"prefill {p.Tokens}", $"{p.TokensPerSecond:F0}", $"{1e3 * p.Tokens / p.TokensPerSecond:F0}", "", "", $"{p.Gflops:F0}", $"{p.FmaShare:P0}", "", "");
        foreach (DecodeFigures d in f.Decode)
            table.AddRow($"decode {d.Batch}", $"{d.TokensPerSecond:F1}", $"{d.StepMs:F2}", $"{d.WeightGbPerSecond:F1}", $"{d.MemoryShare:P0}", $"{d.Gflops:F0}", $"{d.Gflops / f.FmaGflops:P0}", $"{d.KernelShare:P0}", $"{d.ExpertsPerLayer:F1}");
        table.Write();
        Console.WriteLine("GB/s: weights read, as they are used: with w8a8 those of 8 bits. Kernels: share of the step's thread. Experts: different ones in a layer of a step.");
        StepProfile.Write(profiles);
    }
}
