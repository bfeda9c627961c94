using System.CommandLine;
using Conclave.Model;
using Conclave.Model.Checkpoints;

namespace Conclave.Cli.Commands.Bench;

/// <summary>What one context length costs.</summary>
/// <param name="Length">Tokens of the context.</param>
/// <param name="PromptTokensPerSecond">Of the whole prompt, from its first token to this length; null if there was not enough time to compute it, and the context is made of random latents.</param>
/// <param name="PrefillTokensPerSecond">Of a chunk that ends there, not of the whole prompt.</param>
/// <param name="PrefillAttentionMsPerToken">Attention's part of that chunk, a token.</param>
/// <param name="DecodeTokensPerSecond">One sequence.</param>
/// <param name="DecodeMs">A step.</param>
/// <param name="DecodeAttentionMs">Attention's part of a step: norm, projections, indexer, attention over the pages, all layers.</param>
/// <param name="DecodeAttentionRatio">The same against the first length.</param>
/// <param name="KvBytesPerToken">Bytes of the pages that the context takes, divided by its tokens; the last page may be partly empty.</param>
internal sealed record ContextFigures(
    int Length, double? PromptTokensPerSecond, double PrefillTokensPerSecond, double PrefillAttentionMsPerToken, double DecodeTokensPerSecond, double DecodeMs, double DecodeAttentionMs, double DecodeAttentionRatio, double KvBytesPerToken);

/// <summary>What <c>bench context</c> prints.</summary>
internal sealed record ContextReport(
    string Model, int Threads, string KvType, int PageTokens, int Chunk, long KvBytesPerTokenByFormula, IReadOnlyList<ContextFigures> Contexts, double MemoryGbPerSecond, double FmaGflops, int Runs, string Kernels);

/// <summary><c>conclave bench context</c>: prefill and decoding behind contexts of different lengths, attention's part, and memory a token.</summary>
internal static class ContextBench
{
    private static readonly Option<string?> Model = new("--model") { Description = "Checkpoint directory (default: random weights of --config)", HelpName = "DIR" };
    private static readonly Option<string> Config = new("--config") { Description = "config.json, or a name of the folder bench", DefaultValueFactory = _ => "bench-v3-1b" };
    private static readonly Option<string> Lengths = new("--lengths") { Description = "Context lengths, tokens", DefaultValueFactory = _ => "1024,4096,16384,65536", HelpName = "N,N,..." };
    private static readonly Option<int> Chunk = new("--chunk") { Description = "Tokens of the prefill chunk that ends at each length", DefaultValueFactory = _ => 256 };
    private static readonly Option<double> PrefillSeconds = new("--prefill-seconds") { Description = "Compute the contexts from their first token on, as far as that takes no longer; what is left holds random latents", DefaultValueFactory = _ => 60, HelpName = "S" };
    private static readonly Option<int> Decode = new("--decode") { Description = "Steps at each length", DefaultValueFactory = _ => 8 };
    private static readonly Option<int> Threads = new("--threads") { Description = "Threads of the forward pass", DefaultValueFactory = _ => Environment.ProcessorCount };
    private static readonly Option<string> KvType = ModelOptions.KvTypeOption();
    private static readonly Option<int> PageTokens = new("--page-tokens") { Description = "Tokens of a KV page, a multiple of 64", DefaultValueFactory = _ => KvLayout.BlockTokens };
    private static readonly Option<int> Runs = new("--runs") { Description = "Measurements of each length, in turns; medians are shown", DefaultValueFactory = _ => 3 };
    private static readonly Option<bool> Json = new("--json") { Description = "Print the figures as JSON" };

    public static Command Create()
    {
        var command = new Command("context", "Prefill and decoding behind long contexts: speed, attention's part, memory a token") { Model, Config, Lengths, Chunk, PrefillSeconds, Decode, Threads, KvType, PageTokens, Runs, Json };
        command.SetAction(Run);
        return command;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        BenchOptions.RequirePositive(parsed, Chunk, Decode, Runs);
        BenchOptions.RequireThreads(parsed, Threads);
        double prefillSeconds = parsed.GetValue(PrefillSeconds);
        if (!(prefillSeconds is >= 0 and <= 86_400)) throw new ArgumentException(FormattableString.Invariant($"--prefill-seconds: {prefillSeconds} is out of range; it must be 0 to 86400"));
        KvOptions kv = ModelOptions.Kv(parsed.GetValue(KvType)!, parsed.GetValue(PageTokens));
        int[] lengths = BenchOptions.Numbers(parsed, Lengths, 10_000_000);
        ContextRun.RequireRoom(BenchModel.Configuration(parsed.GetValue(Model), parsed.GetValue(Config)!), lengths.Max());
        using BenchModel model = await BenchModel.Open(parsed.GetValue(Model), parsed.GetValue(Config)!, cancellationToken);
        using var checkpoint = Checkpoint.Open(model.Directory);
        using var workers = new WorkerPool(parsed.GetValue(Threads));
        using var speed = new MachineSpeed(workers, 256L << 20);
        using var subject = new ContextRun(checkpoint, workers, kv, lengths.Max(), parsed.GetValue(Chunk), parsed.GetValue(Decode));
        BenchOptions.Progress($"warming up");
        await subject.WarmUp(lengths[0], cancellationToken);
        speed.Measure();

        // Once for the compiler.
        if (prefillSeconds > 0) subject.Prefill([lengths.Min()], TimeSpan.FromSeconds(Math.Min(prefillSeconds, 5)), cancellationToken);
        double?[] prompts = subject.Prefill(lengths, TimeSpan.FromSeconds(prefillSeconds), cancellationToken);
        var samples = lengths.Select(_ => new List<ContextSample>()).ToArray();
        for (int run = 0; run < parsed.GetValue(Runs); run++)
        {
            speed.Measure();
            for (int i = 0; i < lengths.Length; i++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                samples[i].Add(subject.Measure(lengths[i]));
                BenchOptions.Progress($"run {run + 1} of {parsed.GetValue(Runs)}: {lengths[i]} tokens, a step of {samples[i][^1].DecodeMs:F0} ms");
            }
        }

        double first = MachineSpeed.Median(samples[0].Select(sample => sample.DecodeAttentionMs));
        var report = new ContextReport(
            Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(parsed.GetValue(Model) ?? parsed.GetValue(Config)!))), parsed.GetValue(Threads), kv.Type.ToString(), kv.PageTokens, parsed.GetValue(Chunk), Formula(checkpoint.Config, kv.Type),
            [.. lengths.Select((length, i) => Figures(length, prompts[i], samples[i], Math.Min(length, parsed.GetValue(Chunk)), first, subject.SizeBytesPerToken(length)))],
            speed.MemoryGigabytesPerSecond, speed.FmaGigaflops, parsed.GetValue(Runs), subject.Kernels);
        if (parsed.GetValue(Json)) BenchOptions.PrintJson(report);
        else Show(report);
        return CommandLine.Done;
    }

    /// <summary>Bytes a token must take: per layer a latent and a rotated key, and an indexer key where there is an indexer.</summary>
    private static long Formula(ModelConfig c, KvType type)
    {
        long latent = c.KvLoraRank, rope = c.QkRopeHeadDim, index = c.IndexHeadDim, layers = c.LayerCount + c.NextTokenPredictLayers;
        return layers * type switch
        {
            Conclave.Model.KvType.F32 => 4 * (latent + rope + index),
            Conclave.Model.KvType.BF16 => 2 * (latent + rope + index),
            _ => ((latent + 3) / 4 * 4) + (4 * ((latent + 127) / 128)) + (2 * rope) + (index > 0 ? index + 4 : 0),
        };
    }

    private static ContextFigures Figures(int length, double? promptSeconds, List<ContextSample> samples, int rows, double firstAttentionMs, double sizeBytesPerToken)
    {
        double decodeMs = MachineSpeed.Median(samples.Select(sample => sample.DecodeMs)), attentionMs = MachineSpeed.Median(samples.Select(sample => sample.DecodeAttentionMs));
        return new ContextFigures(
            length, length / promptSeconds, rows / MachineSpeed.Median(samples.Select(sample => sample.PrefillMs)) * 1e3, MachineSpeed.Median(samples.Select(sample => sample.PrefillAttentionMs)) / rows,
            1e3 / decodeMs, decodeMs, attentionMs, attentionMs / firstAttentionMs, sizeBytesPerToken);
    }

    private static void Show(ContextReport r)
    {
        Console.WriteLine($"{r.Model}, {r.Threads} threads, {r.Kernels}; KV {r.KvType}, pages of {r.PageTokens}, {r.KvBytesPerTokenByFormula} bytes a token by formula;\nmemory {r.MemoryGbPerSecond:F1} GB/s, FMA loop {r.FmaGflops:F0} GFLOP/s; medians of {r.Runs}");
        var table = new TextTable(0, "context", "prompt\ntok/s", "chunk\ntok/s", "attention\nms a token", "decode\ntok/s", "step\nms", "attention\nms", "of\nfirst", "KV bytes\na token");
        foreach (ContextFigures c in r.Contexts)
            table.AddRow($"{c.Length}", c.PromptTokensPerSecond is { } whole ? $"{whole:F0}" : "-", $"{c.PrefillTokensPerSecond:F0}", $"{c.PrefillAttentionMsPerToken:F3}", $"{c.DecodeTokensPerSecond:F1}", $"{c.DecodeMs:F2}", $"{c.DecodeAttentionMs:F2}", $"{c.DecodeAttentionRatio:F2}", $"{c.KvBytesPerToken:F0}");
        table.Write();
        Console.WriteLine($"Prompt: all tokens up to the length; - where the context was not computed and holds random latents. Chunk: the {r.Chunk} tokens that end there.\nAttention: its part, projections included. KV bytes: pages held.");
    }
}
