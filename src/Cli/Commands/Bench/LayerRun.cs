using System.Diagnostics;
using Conclave.Model;
using Conclave.Model.Checkpoints;
using Conclave.Model.Experts;

namespace Conclave.Cli.Commands.Bench;

/// <summary>What one layer did in one kind of step.</summary>
/// <param name="Layer">dense or moe.</param>
/// <param name="Work">decode or prefill.</param>
/// <param name="Rows">Rows of a step.</param>
/// <param name="Ms">Median time.</param>
/// <param name="WeightGbPerSecond">Weights read, each matrix and each chosen expert once.</param>
/// <param name="MemoryShare">The same as a share of the bandwidth measured just before and after.</param>
/// <param name="Gflops">Matrix products and attention, GFLOP/s.</param>
/// <param name="FmaShare">The same as a share of the register-only loop's rate.</param>
/// <param name="Experts">Different experts chosen, on average.</param>
internal sealed record LayerFigures(
    string Layer, string Work, int Rows, double Ms, double WeightGbPerSecond, double MemoryShare, double Gflops, double FmaShare, double Experts);

/// <summary>A model of one dense and one MoE layer, and how long each takes.</summary>
internal sealed unsafe class LayerRun : IDisposable
{
    /// <summary>Tokens that are embedded at random; the head is left out.</summary>
    public const int Vocabulary = 1024;

    private readonly Arena _pages = new();
    private readonly LocalExpertDispatch _experts;
    private readonly Transformer _model;
    private readonly StepBatch _batch;
    private readonly StepTimeline _timeline = new(TimeProvider.System);
    private readonly KvPageTable[] _sequences;
    private readonly Random _random = new(7);
    private readonly int _context;

    public LayerRun(Checkpoint checkpoint, WorkerPool workers, int sequences, int context, int prefill)
    {
        ModelConfig config = checkpoint.Config;
        _context = context;
        _experts = new LocalExpertDispatch(config, new ExpertTable(config, [new ExpertShard(checkpoint, ExpertShard.AllOf(config))]), workers);
        int rows = Math.Max(sequences, prefill);
        _model = new Transformer(checkpoint, _experts, workers, rows);
        _batch = new StepBatch(config, rows, 1);
        _model.Timeline = _timeline;
        _model.Probe = Work = new LayerWork(config, checkpoint);
        // Zeros for what came before: as much work as any other values.
        _sequences = [.. Enumerable.Range(0, sequences).Select(i => NewSequence(Math.Max(context + 1, i == 0 ? prefill : 0)))];
    }

    /// <summary>What the last step chose and had to read.</summary>
    public LayerWork Work { get; }

    /// <summary>A step in which <paramref name="batch"/> sequences decode a random token: seconds of the dense and of the MoE layer.</summary>
    public (double Dense, double Moe) Decode(int batch)
    {
        _batch.Clear();
        for (int i = 0; i < batch; i++) Add(_sequences[i], _context, 1);
        return Step();
    }

    /// <summary>A step with a prompt of <paramref name="rows"/> random tokens.</summary>
    public (double Dense, double Moe) Prefill(int rows)
    {
        _batch.Clear();
        Add(_sequences[0], 0, rows);
        return Step();
    }

    public void Dispose()
    {
        _model.Dispose();
        _experts.Dispose();
        _batch.Dispose();
        _pages.Dispose();
    }

    private void Add(KvPageTable pages, int position, int rows)
    {
        int[] tokens = [.. Enumerable.Range(0, rows).Select(_ => _random.Next(Vocabulary))];
        pages.Length = position;
        _batch.Add(pages, tokens, LogitRows.None);
    }

    private (double Dense, double Moe) Step()
    {
        _timeline.Clear();
        _model.Forward(_batch);
        Span<double> seconds = [0, 0, 0];
        foreach (StepSpan span in _timeline.Spans) seconds[span.Layer] += (double)(span.End - span.Start) / Stopwatch.Frequency;
        return (seconds[0], seconds[1]);
    }

    private KvPageTable NewSequence(int tokens)
    {
        int count = _model.KvLayout.PagesFor(tokens);
        var pages = new KvPageTable(count, _model.KvLayout.PageTokens);
        for (int i = 0; i < count; i++) pages.Add((nint)_pages.Bytes(_model.KvLayout.PageSizeBytes));
        return pages;
    }
}

/// <summary>Bytes and operations of the two layers.</summary>
internal sealed class LayerWork : IForwardProbe
{
    private readonly ModelConfig _config;
    private readonly HashSet<int> _chosen = [];

    public LayerWork(ModelConfig config, Checkpoint checkpoint)
    {
        _config = config;
        foreach (ExpectedTensor tensor in TensorCatalog.All(config).Where(tensor => tensor.Layer >= 0))
        {
            long bytes = TensorCatalog.StoredSizeBytes(tensor, checkpoint.Tensors[tensor.Name].DType);
            if (tensor.Kind == TensorKind.RoutedExperts)
            {
                ExpertBytes += bytes / (double)config.RoutedExpertCount;
                continue;
            }

            AlwaysBytes[tensor.Layer] += bytes;
            if (tensor.Shape.Length == 2) Parameters[tensor.Layer] += tensor.ElementCount;
        }

        Parameters[1] += 3.0 * config.ExpertsPerToken * config.HiddenSize * config.MoeIntermediateSize;
    }

    /// <summary>Bytes of one expert.</summary>
    public double ExpertBytes { get; }

    /// <summary>Bytes of all other weights, by layer.</summary>
    public double[] AlwaysBytes { get; } = new double[2];

    /// <summary>Weights that a row is multiplied with, by layer.</summary>
    public double[] Parameters { get; } = new double[2];

    /// <summary>Different experts of the last step.</summary>
    public int Experts => _chosen.Count;

    /// <summary>Operations of a layer for <paramref name="rows"/> rows that attend to <paramref name="keys"/> keys in all.</summary>
    public double Flops(int layer, int rows, double keys) =>
        (2.0 * rows * Parameters[layer]) + (2.0 * keys * _config.HeadCount * (_config.QkNopeHeadDim + _config.QkRopeHeadDim + _config.VHeadDim));

    public void Routed(int layer, ReadOnlySpan<int> expertIds, ReadOnlySpan<float> weights)
    {
        _chosen.Clear();
        foreach (int expert in expertIds) _chosen.Add(expert);
    }

    public void LayerOutput(int layer, ReadOnlySpan<float> hidden)
    {
        // Only the choice of experts is of interest.
    }

    public void KeysSelected(int layer, int row, ReadOnlySpan<int> positions)
    {
        // As above.
    }
}
