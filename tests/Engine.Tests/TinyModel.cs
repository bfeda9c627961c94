using System.Collections.Concurrent;
using System.Text.Json;
using System.Text.Json.Nodes;
using Conclave.Engine.Grammars;
using Conclave.Engine.Speculation;
using Conclave.Model;
using Conclave.Model.Checkpoints;
using Conclave.Model.Experts;
using Conclave.Model.Tokenization;
using Conclave.Tests.Support;

namespace Conclave.Engine.Tests;

/// <summary>A small checkpoint, ready to serve: the golden <c>tiny-f32</c> unless another one is named.</summary>
internal sealed class TinyModel : IDisposable
{
    private const int MaxRows = 64;

    private readonly Checkpoint _checkpoint;
    private readonly WorkerPool _workers;
    private string? _temporary;

    public TinyModel(string golden = "tiny-f32", KvOptions? kv = null)
        : this(Path.Combine(Repository(), "tests", "goldens", golden), GoldenIds(golden, "input_ids"), GoldenIds(golden, "greedy_tokens"), kv)
    {
    }

    private TinyModel(string directory, int[] promptIds, int[] greedyTokens, KvOptions? kv = null, int threads = 2)
    {
        _workers = new WorkerPool(threads);
        _checkpoint = Checkpoint.Open(directory);
        ModelConfig config = _checkpoint.Config;
        Dispatch = new FlakyDispatch(new LocalExpertDispatch(config, new ExpertTable(config, [new ExpertShard(_checkpoint, ExpertShard.AllOf(config))]), _workers));
        Transformer = new Transformer(_checkpoint, Dispatch, _workers, MaxRows, kv: kv);
        PromptIds = promptIds;
        GreedyTokens = greedyTokens;
    }

    /// <summary>The bundled demo model, whose MTP module is trained, with a prompt that it answers at length.</summary>
    public static TinyModel Demo()
    {
        string directory = Path.Combine(Repository(), "models", "demo");
        Tokenizer tokenizer = Tokenizer.Load(directory);
        return new TinyModel(directory, [.. tokenizer.Encode("Once upon a time there was a little dog named Max. He liked to run in the park with his friend Lily.")], [], threads: 1);
    }

    /// <summary>Random weights for a configuration that is a golden case's with some keys changed.</summary>
    public static TinyModel Random(string golden, params (string Key, JsonNode Value)[] changes)
    {
        string folder = Directory.CreateTempSubdirectory("conclave-engine-").FullName;
        JsonObject config = JsonNode.Parse(File.ReadAllText(Path.Combine(Repository(), "tests", "goldens", golden, "config.json")))!.AsObject();
        foreach ((string key, JsonNode value) in changes)
            config[key] = value;
        File.WriteAllText(Path.Combine(folder, "config.json"), config.ToJsonString());
        string model = Path.Combine(folder, "model");
        Synthesizer.Write(Path.Combine(folder, "config.json"), seed: 9, DType.BF16, model);
        int vocabulary = ModelConfig.Load(model).VocabularySize;
        return new TinyModel(model, [.. Enumerable.Range(0, 75).Select(i => i * 37 % vocabulary)], [], threads: 1) { _temporary = folder };
    }

    public Transformer Transformer { get; }

    public FlakyDispatch Dispatch { get; }

    /// <summary>Before the steps of all its engines.</summary>
    public StepGate Steps { get; } = new();

    public int[] PromptIds { get; }

    public int[] GreedyTokens { get; }

    public Engine Engine(int maxBatch = 32, int pages = 200, int maxQueue = 1024, int maxStepRows = MaxRows, GrammarCache? grammars = null, TimeProvider? clock = null) =>
        new(Transformer, Options(maxBatch, pages, maxQueue, maxStepRows), clock ?? TimeProvider.System) { Grammars = grammars };

    public EngineOptions Options(int maxBatch = 32, int pages = 200, int maxQueue = 1024, int maxStepRows = MaxRows) => new()
    {
        MaxBatch = maxBatch,
        MaxStepRows = maxStepRows,
        MaxQueue = maxQueue,
        KvMemorySizeBytes = pages * Transformer.KvLayout.PageSizeBytes,
        BeforeStep = Steps.Pass,

        // Any number of seconds may pass between two requests of a test, and must not make up for a priority.
        AgingMs = 86_400_000,
    };

    /// <summary>An engine with drafts.</summary>
    public Engine Speculating(SpeculationOptions speculation, int stepRows = MaxRows) =>
        new(Transformer, Options(maxBatch: Math.Min(32, stepRows), maxStepRows: stepRows) with { Speculation = speculation }, TimeProvider.System)
        {
            Grammars = new GrammarCache(Vocabulary),
        };

    /// <summary>Bytes of its tokens.</summary>
    public TokenVocabulary Vocabulary() => TokenVocabulary.From(Tokenizer.Load(_checkpoint.Directory), _checkpoint.Config.VocabularySize);

    public GenerationRequest Golden(int maxTokens = 64) => new()
    {
        PromptIds = PromptIds,
        MaxTokens = maxTokens,
        StopTokenIds = Array.Empty<int>(),
        Sampling = new SamplingParameters { Temperature = 0 },
    };

    public void Dispose()
    {
        Transformer.Dispose();
        _workers.Dispose();
        _checkpoint.Dispose();
        if (_temporary is not null)
            Directory.Delete(_temporary, recursive: true);
    }

    private static int[] GoldenIds(string golden, string name)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(Repository(), "tests", "goldens", golden, "case.json")));
        return [.. document.RootElement.GetProperty(name).EnumerateArray().Select(id => id.GetInt32())];
    }

    private static string Repository()
    {
        string? directory = AppContext.BaseDirectory;
        while (directory is not null && !File.Exists(Path.Combine(directory, "Cluster.sln")))
            directory = Path.GetDirectoryName(directory);
        return directory ?? throw new DirectoryNotFoundException("the folder of Cluster.sln");
    }
}

/// <summary>Experts that fail, or wait, when told to.</summary>
internal sealed class FlakyDispatch(IExpertDispatch inner) : IExpertDispatch
{
    private int _failures;
    private Exception? _fault;

    /// <summary>Each forward pass waits here while it is not set.</summary>
    public ManualResetEventSlim Gate { get; } = new(true);

    /// <summary>Set when a pass has come to the gate.</summary>
    public ManualResetEventSlim Reached { get; } = new(false);

    /// <summary>Bytes that the thread of the step loop has allocated.</summary>
    public long LoopAllocatedBytes { get; private set; }

    public void FailNext(int count, Exception? fault = null)
    {
        _fault = fault;
        Volatile.Write(ref _failures, count);
    }

    /// <summary>Rows of each step.</summary>
    public ConcurrentQueue<int> StepRows { get; } = new();

    /// <summary>Whether <see cref="StepRows"/> is kept.</summary>
    public bool RecordsSteps { get; set; }

    public int BeginStep(int rowCount, int layerCount)
    {
        if (RecordsSteps)
            StepRows.Enqueue(rowCount);
        return inner.BeginStep(rowCount, layerCount);
    }

    public void EndStep() => inner.EndStep();

    public void Begin(int layer, in RoutedRows rows)
    {
        LoopAllocatedBytes = GC.GetAllocatedBytesForCurrentThread();
        Reached.Set();
        Gate.Wait(TimeSpan.FromMinutes(2));
        inner.Begin(layer, rows);
    }

    public void Complete(int layer, in RoutedRows rows)
    {
        if (Volatile.Read(ref _failures) > 0)
        {
            Interlocked.Decrement(ref _failures);
            throw _fault ?? new IOException("The silo that holds the experts is gone.");
        }

        inner.Complete(layer, rows);
    }
}

internal static class SequenceExtensions
{
    /// <summary>Every token until the end.</summary>
    public static async Task<List<int>> ReadAllAsync(this Sequence sequence)
    {
        List<int> ids = [];
        while (await sequence.WaitToReadAsync(CancellationToken.None))
        {
            while (sequence.TryRead(out GeneratedToken token))
                ids.Add(token.Id);
        }

        return ids;
    }

    /// <summary>Every token until the end, with the bits of its log probability and of its alternatives.</summary>
    public static async Task<string[]> ReadBitsAsync(this Sequence sequence)
    {
        List<string> tokens = [];
        while (await sequence.WaitToReadAsync(CancellationToken.None))
            tokens.Add(await sequence.ReadOneAsync());
        return [.. tokens];
    }

    /// <summary>The next token in the same way.</summary>
    public static async Task<string> ReadOneAsync(this Sequence sequence)
    {
        Assert.True(await sequence.WaitToReadAsync(CancellationToken.None));
        Assert.True(sequence.TryRead(out GeneratedToken token));
        return string.Join(' ', [Bits(token), .. sequence.TopLogprobs.ToArray().Select(Bits)]);
    }

    private static string Bits(GeneratedToken token) => $"{token.Id} {BitConverter.SingleToInt32Bits(token.Logprob):x8}";

    /// <summary>The status once <paramref name="holds"/>; fails after two minutes.</summary>
    public static async Task<EngineStatus> StatusWhenAsync(this Engine engine, Func<EngineStatus, bool> holds)
    {
        for (int attempt = 0; attempt < 12_000; attempt++)
        {
            EngineStatus status = engine.Status;
            if (holds(status))
                return status;
            await Task.Delay(10);
        }

        Assert.Fail($"still {engine.Status}");
        return engine.Status;
    }
}
