using System.CommandLine;
using System.Globalization;
using Conclave.Engine;
using Conclave.Engine.Pages;
using Conclave.Engine.Speculation;
using Conclave.Grains;
using Conclave.Model;
using Conclave.Model.Chat;
using Conclave.Model.Kernels;
using Conclave.Silo;

namespace Conclave.Cli;

/// <summary>The options that every command with a running model shares.</summary>
internal sealed class ModelOptions
{
    public Option<string?> Model { get; } = new("--model") { Description = "Checkpoint directory (default: the bundled demo model)", HelpName = "DIR" };

    public Option<int> Threads { get; } = new("--threads") { Description = "Threads of the forward pass", DefaultValueFactory = _ => Environment.ProcessorCount, HelpName = "N" };

    public Option<int> MaxBatch { get; } = new("--max-batch") { Description = "Most sequences in one step", DefaultValueFactory = _ => 32, HelpName = "N" };

    public Option<int> MaxQueue { get; } = new("--max-queue") { Description = "Most requests that wait for room; more are answered with 429 and Retry-After", DefaultValueFactory = _ => 1024, HelpName = "N" };

    public Option<string> StepTokens { get; } = new("--step-tokens") { Description = "Most tokens of a step while streams decode, which bounds the time between two of their tokens: a number, or auto (measured, for steps of 250 ms)", DefaultValueFactory = _ => "auto", HelpName = "N" };

    public Option<string> KvMemory { get; } = new("--kv-memory") { Description = "Memory for KV pages, such as 512M or 8G", DefaultValueFactory = _ => "1G", HelpName = "SIZE" };

    /// <summary>Checked by hand, so that the remedy can be named.</summary>
    public Option<string> KvType { get; } = KvTypeOption();

    public Option<int> PageTokens { get; } = new("--page-tokens") { Description = "Tokens of a KV page, a multiple of 64; the prefix cache counts in pages", DefaultValueFactory = _ => KvLayout.BlockTokens, HelpName = "N" };

    public Option<string?> KvDisk { get; } = new("--kv-disk") { Description = "Directory for KV pages that no longer fit --kv-memory: found again by later prompts, also after a restart; one for each process", HelpName = "DIR" };

    public Option<string?> KvDiskSize { get; } = new("--kv-disk-size") { Description = "Most bytes in --kv-disk, such as 50G (default: 16G)", HelpName = "SIZE" };

    public Option<string?> ChatFormat { get; } = new("--chat-format") { Description = $"Force the chat format: {ChatVariants.Choices} (default: as the checkpoint says)", HelpName = "NAME" };

    /// <summary>Checked by hand, so that the remedy can be named.</summary>
    public Option<string> Compute { get; } = ComputeOption();

    /// <summary>Checked by hand, so that the remedy can be named.</summary>
    public Option<string> DispatchType { get; } = new("--dispatch-dtype") { Description = "What rows are rounded to on their way to experts, local ones too: f32, bf16 or fp8; tokens depend on it, so all silos must agree", DefaultValueFactory = _ => "f32", HelpName = "TYPE" };

    public Option<string> MicroBatches { get; } = new("--micro-batches") { Description = "Cut steps in two, so that communication hides behind computation: 1, 2 or auto", DefaultValueFactory = _ => "auto", HelpName = "N" };

    /// <summary>Checked by hand, as the two above.</summary>
    public Option<string> Speculate { get; } = new("--speculate") { Description = "Tokens drafted ahead with the checkpoint's MTP module: a number, auto (as many as pay) or off; tokens never depend on it", DefaultValueFactory = _ => "auto", HelpName = "N" };

    public void AddTo(Command command)
    {
        command.Add(Model);
        command.Add(Threads);
        command.Add(MaxBatch);
        command.Add(MaxQueue);
        command.Add(StepTokens);
        command.Add(KvMemory);
        command.Add(KvType);
        command.Add(PageTokens);
        command.Add(KvDisk);
        command.Add(KvDiskSize);
        command.Add(ChatFormat);
        command.Add(Compute);
        command.Add(DispatchType);
        command.Add(MicroBatches);
        command.Add(Speculate);
    }

    /// <summary>The checkpoint's directory.</summary>
    public string Directory(ParseResult parsed) => parsed.GetValue(Model) ?? DemoModel.Find();

    /// <summary>The silo of a single process; its cluster ports are free ones, so that several can run side by side.</summary>
    public SiloOptions Silo(ParseResult parsed) => new()
    {
        ModelDirectory = Directory(parsed),
        Threads = parsed.GetValue(Threads),
        Compute = ReadCompute(parsed.GetValue(Compute)!),
        SiloPort = ServeHost.FreePort(),
        GatewayPort = ServeHost.FreePort(),
        ClusterId = $"serve-{Environment.ProcessId}",
        Dispatch = new DispatchOptions
        {
            Type = Choose("--dispatch-dtype", parsed.GetValue(DispatchType)!, ("f32", Grains.DispatchType.F32), ("bf16", Grains.DispatchType.BF16), ("fp8", Grains.DispatchType.FP8)),
            MicroBatches = Choose("--micro-batches", parsed.GetValue(MicroBatches)!, ("auto", MicroBatchMode.Auto), ("1", MicroBatchMode.One), ("2", MicroBatchMode.Two)),
        },
        Engine = new EngineOptions
        {
            MaxBatch = parsed.GetValue(MaxBatch),
            MaxStepRows = Math.Max(Math.Max(256, parsed.GetValue(MaxBatch)), StepRows(parsed)),
            StepTokens = StepRows(parsed),
            MaxQueue = parsed.GetValue(MaxQueue),
            KvMemorySizeBytes = SizeBytes("--kv-memory", parsed.GetValue(KvMemory)!),
            KvDisk = ReadKvDisk(parsed),
            Kv = Kv(parsed),
            Speculation = Speculation("--speculate", parsed.GetValue(Speculate)!),
        },
    };

    /// <summary>Type and size of KV pages.</summary>
    /// <exception cref="ArgumentException">No such type, or no such size.</exception>
    public KvOptions Kv(ParseResult parsed) => Kv(parsed.GetValue(KvType)!, parsed.GetValue(PageTokens));

    /// <summary>Type and size of KV pages.</summary>
    /// <exception cref="ArgumentException">No such type, or no such size.</exception>
    public static KvOptions Kv(string type, int pageTokens)
    {
        if (pageTokens < KvLayout.BlockTokens || pageTokens > KvLayout.MaxPageTokens || pageTokens % KvLayout.BlockTokens != 0)
            throw new ArgumentException($"--page-tokens: {pageTokens} is out of range; it must be a multiple of {KvLayout.BlockTokens} up to {KvLayout.MaxPageTokens}");
        return new KvOptions { Type = ReadKvType(type), PageTokens = pageTokens };
    }

    /// <summary>The KV type of this name.</summary>
    /// <exception cref="ArgumentException">There is none of this name.</exception>
    public static KvType ReadKvType(string name) => Choose("--kv-dtype", name, ("f32", Conclave.Model.KvType.F32), ("bf16", Conclave.Model.KvType.BF16), ("fp8", Conclave.Model.KvType.FP8));

    /// <summary>The value of <c>--step-tokens</c>; 0 for auto.</summary>
    private int StepRows(ParseResult parsed)
    {
        string text = parsed.GetValue(StepTokens)!;
        if (string.Equals(text, "auto", StringComparison.OrdinalIgnoreCase)) return 0;
        int least = parsed.GetValue(MaxBatch);
        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int rows) && rows >= least && rows <= 65_536
            ? rows
            : throw new ArgumentException($"--step-tokens: '{text}' is neither auto nor a number from --max-batch ({least}) to 65536");
    }

    private KvDiskOptions? ReadKvDisk(ParseResult parsed)
    {
        string? directory = parsed.GetValue(KvDisk), size = parsed.GetValue(KvDiskSize);
        if (directory is null)
            return size is null ? null : throw new ArgumentException("--kv-disk-size needs --kv-disk, the directory to fill");
        return new KvDiskOptions { Directory = directory, SizeBytes = SizeBytes("--kv-disk-size", size ?? "16G") };
    }

    /// <summary>The forced chat format, if any.</summary>
    public ChatVariant? Variant(ParseResult parsed) => Variant(parsed.GetValue(ChatFormat));

    /// <summary>The chat format of this name, if any is named.</summary>
    /// <exception cref="ArgumentException">There is none of this name.</exception>
    public static ChatVariant? Variant(string? format)
    {
        try
        {
            return format is { } name ? ChatVariants.Parse(name) : null;
        }
        catch (FormatException e)
        {
            throw new ArgumentException($"--chat-format: {e.Message}");
        }
    }

    /// <summary><c>--kv-dtype</c>, which measurements take too.</summary>
    public static Option<string> KvTypeOption() => new("--kv-dtype") { Description = "What KV pages hold: f32, bf16 (half of it) or fp8 (a quarter); tokens depend on it, so all silos must agree", DefaultValueFactory = _ => "f32", HelpName = "TYPE" };

    /// <summary><c>--compute</c>, which measurements take too.</summary>
    public static Option<string> ComputeOption() => new("--compute") { Description = "Large matrix products: f32, or w8a8 (weights and inputs rounded to 8 bits when the model is loaded: faster, other tokens, memory for the copies); all silos must agree", DefaultValueFactory = _ => "f32", HelpName = "TYPE" };

    /// <summary>What <c>--compute</c> says.</summary>
    /// <exception cref="ArgumentException">It is none of the choices.</exception>
    public static ComputeType ReadCompute(string word) => Choose("--compute", word, ("f32", ComputeType.F32), ("w8a8", ComputeType.W8A8));

    /// <summary>The value that a word stands for.</summary>
    /// <exception cref="ArgumentException">It stands for none.</exception>
    public static T Choose<T>(string option, string word, params (string Word, T Value)[] choices)
    {
        foreach (var (name, value) in choices)
            if (string.Equals(name, word, StringComparison.OrdinalIgnoreCase)) return value;
        throw new ArgumentException($"{option}: '{word}' is none of {string.Join(", ", choices.Select(choice => choice.Word))}");
    }

    /// <summary>Reads a number of drafts, <c>auto</c> or <c>off</c>.</summary>
    /// <exception cref="ArgumentException">It is none.</exception>
    public static SpeculationOptions Speculation(string option, string word) => word.ToUpperInvariant() switch
    {
        "AUTO" => SpeculationOptions.Auto,
        "OFF" => SpeculationOptions.Off,
        _ => int.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out int drafts) && drafts <= SpeculationOptions.MaxDrafts
            ? SpeculationOptions.Always(drafts)
            : throw new ArgumentException($"{option}: '{word}' is neither auto nor off nor a number of drafts up to {SpeculationOptions.MaxDrafts}"),
    };

    /// <summary>Reads a size such as <c>512M</c>, <c>8G</c> or a number of bytes.</summary>
    /// <exception cref="ArgumentException">It is none.</exception>
    public static long SizeBytes(string option, string text)
    {
        int shift = char.ToUpperInvariant(text.LastOrDefault()) switch { 'K' => 10, 'M' => 20, 'G' => 30, 'T' => 40, _ => 0 };
        string digits = shift == 0 ? text : text[..^1];
        return long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out long number) && number > 0 && number <= long.MaxValue >> shift
            ? number << shift
            : throw new ArgumentException($"{option}: '{text}' is not a size; write bytes, or a number with K, M, G or T");
    }
}
