using System.Text.Json;
using Conclave.Model;
using Conclave.Model.Checkpoints;
using Conclave.Model.Experts;

namespace Conclave.Engine.Tests;

/// <summary>The golden checkpoint <c>tiny-f32</c>, ready to serve; engines made here are disposed with it.</summary>
internal sealed class TinyModel : IDisposable
{
    private const int MaxRows = 64;

    private readonly Checkpoint _checkpoint;
    private readonly WorkerPool _workers = new(2);

    public TinyModel()
    {
        string directory = Path.Combine(Goldens(), "tiny-f32");
        _checkpoint = Checkpoint.Open(directory);
        ModelConfig config = _checkpoint.Config;
        var experts =
            from layer in Enumerable.Range(0, config.LayerCount)
            where config.IsMoeLayer(layer)
            from expert in Enumerable.Range(0, config.RoutedExpertCount)
            select (layer, expert);
        Dispatch = new FlakyDispatch(new LocalExpertDispatch(config, new ExpertTable(config, [new ExpertShard(_checkpoint, experts)]), _workers));
        Transformer = new Transformer(_checkpoint, Dispatch, _workers, MaxRows);

        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(directory, "case.json")));
        PromptIds = Ids(golden, "input_ids");
        GreedyTokens = Ids(golden, "greedy_tokens");
    }

    public Transformer Transformer { get; }

    public FlakyDispatch Dispatch { get; }

    public int[] PromptIds { get; }

    public int[] GreedyTokens { get; }

    public Engine Engine(int maxBatch = 32, int pages = 200, int maxQueue = 1024, int maxStepRows = MaxRows) => new(
        Transformer,
        new EngineOptions
        {
            MaxBatch = maxBatch,
            MaxStepRows = maxStepRows,
            MaxQueue = maxQueue,
            KvMemorySizeBytes = pages * Transformer.KvLayout.PageSizeBytes,
        },
        TimeProvider.System);

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
    }

    private static int[] Ids(JsonDocument golden, string name) =>
        [.. golden.RootElement.GetProperty(name).EnumerateArray().Select(id => id.GetInt32())];

    private static string Goldens()
    {
        string? directory = AppContext.BaseDirectory;
        while (directory is not null && !Directory.Exists(Path.Combine(directory, "goldens")))
            directory = Path.GetDirectoryName(directory);
        return Path.Combine(directory ?? throw new DirectoryNotFoundException("tests/goldens"), "goldens");
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

    public int BeginStep(int rowCount, int layerCount) => inner.BeginStep(rowCount, layerCount);

    public void EndStep() => inner.EndStep();

    public void Begin(int layer, in RoutedRows rows)
    {
        LoopAllocatedBytes = GC.GetAllocatedBytesForCurrentThread();
        Reached.Set();
        Gate.Wait(TimeSpan.FromSeconds(30));
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

    /// <summary>The status once <paramref name="holds"/>; fails after ten seconds.</summary>
    public static async Task<EngineStatus> StatusWhenAsync(this Engine engine, Func<EngineStatus, bool> holds)
    {
        for (int attempt = 0; attempt < 1000; attempt++)
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
