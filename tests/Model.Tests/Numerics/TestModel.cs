using Conclave.Model.Checkpoints;
using Conclave.Model.Experts;
using Conclave.Model.Kernels;

namespace Conclave.Model.Tests.Numerics;

/// <summary>A checkpoint with everything needed to run it in a test.</summary>
internal sealed unsafe class TestModel : IDisposable
{
    private readonly Arena _pages = new();
    private readonly WorkerPool _workers;
    private readonly LocalExpertDispatch _dispatch;

    public TestModel(string directory, int threads = 1, KernelTier? tier = null, int maxRows = 300, int shards = 1, int microBatches = 1, KvOptions? kv = null, ComputeType compute = ComputeType.F32)
    {
        var kernels = tier is { } t ? KernelSet.For(t) : KernelSet.Best;
        Checkpoint = Checkpoint.Open(directory, compute);
        _workers = new WorkerPool(threads);
        var experts = ExpertShard.AllOf(Config).ToList();
        var parts = Enumerable.Range(0, shards).Select(i => new ExpertShard(Checkpoint, experts.Where((_, n) => n % shards == i))).ToList();
        _dispatch = new LocalExpertDispatch(Config, new ExpertTable(Config, parts), _workers, kernels);
        Dispatch = microBatches == 1 ? _dispatch : new TwoMicroBatches(_dispatch, Config);
        Transformer = new Transformer(Checkpoint, Dispatch, _workers, maxRows, kernels, kv);
        Batch = new StepBatch(Config, maxRows, maxRows);
    }

    public Checkpoint Checkpoint { get; }

    public ModelConfig Config => Checkpoint.Config;

    public IExpertDispatch Dispatch { get; }

    public Transformer Transformer { get; }

    public StepBatch Batch { get; }

    /// <summary>An empty sequence with room for <paramref name="tokens"/>; its pages start as NaN, so that a read of what was never written shows.</summary>
    public KvPageTable NewSequence(int tokens)
    {
        var layout = Transformer.KvLayout;
        var count = layout.PagesFor(tokens);
        var table = new KvPageTable(count, layout.PageTokens);
        for (var i = 0; i < count; i++)
        {
            var page = _pages.Bytes(layout.PageSizeBytes);
            new Span<byte>(page, (int)layout.PageSizeBytes).Fill(0xFF);
            table.Add((nint)page);
        }

        return table;
    }

    /// <summary>Runs <paramref name="tokens"/> in chunks; logits (and hidden states) of every row.</summary>
    public (float[] Logits, float[] Hidden) Run(KvPageTable pages, ReadOnlySpan<int> tokens, int chunk = int.MaxValue)
    {
        var logits = new List<float>();
        var hidden = new List<float>();
        chunk = Math.Min(chunk, Transformer.MaxRows);
        for (var start = 0; start < tokens.Length; start += chunk)
        {
            Batch.Clear();
            Batch.Add(pages, tokens.Slice(start, Math.Min(chunk, tokens.Length - start)), LogitRows.All);
            Transformer.Forward(Batch);
            for (var i = 0; i < Batch.LogitRowCount; i++)
            {
                logits.AddRange(Batch.Logits(i));
                hidden.AddRange(Batch.Hidden(i));
            }
        }

        return ([.. logits], [.. hidden]);
    }

    /// <summary>Greedy decoding from the logits of the last token; returns the tokens, and the logits that gave them.</summary>
    public (int[] Tokens, float[] Logits) Decode(KvPageTable pages, ReadOnlySpan<float> lastLogits, int count)
    {
        var tokens = new int[count];
        var all = new List<float>();
        var logits = lastLogits.ToArray();
        for (var i = 0; i < count; i++)
        {
            all.AddRange(logits);
            tokens[i] = Array.IndexOf(logits, logits.Max());
            if (i + 1 < count)
                logits = Run(pages, [tokens[i]]).Logits;
        }

        return (tokens, [.. all]);
    }

    public void Dispose()
    {
        Batch.Dispose();
        Transformer.Dispose();
        _dispatch.Dispose();
        _workers.Dispose();
        Checkpoint.Dispose();
        _pages.Dispose();
    }
}

/// <summary>Has steps cut in two, and spoils what must not be read before <see cref="Complete"/>.</summary>
internal sealed unsafe class TwoMicroBatches(IExpertDispatch inner, ModelConfig config) : IExpertDispatch
{
    private readonly bool[] _isUnderWay = new bool[2];

    /// <summary>The most micro-batches that were under way at a time.</summary>
    public int MostUnderWay { get; private set; }

    public int BeginStep(int rowCount, int layerCount) => 1 + inner.BeginStep(rowCount, layerCount);

    public void Begin(int layer, in RoutedRows rows)
    {
        Assert.False(_isUnderWay[rows.MicroBatch]);
        _isUnderWay[rows.MicroBatch] = true;
        MostUnderWay = Math.Max(MostUnderWay, _isUnderWay.Count(b => b));
        new Span<float>(rows.Output, rows.RowCount * rows.ExpertsPerToken * config.HiddenSize).Fill(float.NaN);
        inner.Begin(layer, rows);
    }

    public void Complete(int layer, in RoutedRows rows)
    {
        Assert.True(_isUnderWay[rows.MicroBatch]);
        _isUnderWay[rows.MicroBatch] = false;
        inner.Complete(layer, rows);
    }

    public void EndStep() => inner.EndStep();
}
