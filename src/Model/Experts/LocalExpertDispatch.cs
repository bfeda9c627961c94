using Conclave.Model.Kernels;

namespace Conclave.Model.Experts;

/// <summary>Experts of this process, called directly: the single-silo case pays nothing for the seam.</summary>
public sealed unsafe class LocalExpertDispatch : IExpertDispatch, IDisposable
{
    private readonly ModelConfig _config;
    private readonly Compute _compute;
    private readonly MlpBlocks _blocks;
    private readonly int[] _firstPair;
    private Arena _arena = new();
    private int _pairCapacity;
    private int* _pairs;
    private int* _rows;

    /// <summary>Evaluates experts of <paramref name="table"/> on <paramref name="workers"/>.</summary>
    public LocalExpertDispatch(ModelConfig config, ExpertTable table, WorkerPool workers, KernelSet? kernels = null)
    {
        _config = config;
        Table = table;
        _firstPair = new int[config.RoutedExpertCount + 1];
        var widest = Math.Max(config.HiddenSize, Math.Max(1, config.SharedExpertCount) * config.MoeIntermediateSize);
        _compute = new Compute(workers, kernels ?? KernelSet.Best, widest);
        _blocks = new MlpBlocks(_compute, config.RoutedExpertCount + 1);
    }

    /// <summary>The experts at hand; may be replaced between two calls.</summary>
    public ExpertTable Table { get; set; }

    /// <inheritdoc/>
    public bool TakesSharedExperts => true;

    /// <inheritdoc/>
    public int BeginStep(int rowCount, int layerCount) => 1;

    /// <inheritdoc/>
    public void EndStep()
    {
        // Nothing outlives a call.
    }

    /// <inheritdoc/>
    public void Begin(int layer, in RoutedRows rows)
    {
        // All the work is done in Complete: on the threads of the pass nothing could overlap.
    }

    /// <inheritdoc/>
    /// <exception cref="InvalidOperationException">An expert was chosen that is not held.</exception>
    public void Complete(int layer, in RoutedRows rows)
    {
        GroupByExpert(rows, rows.RowCount * rows.ExpertsPerToken);
        _blocks.Clear();
        if (rows.SharedExperts.Width > 0)
            _blocks.Add(rows.SharedExperts, new RowSet(rows.Input, _config.HiddenSize), new RowSet(rows.SharedOutput, _config.HiddenSize), rows.RowCount);
        var weights = Table.Layer(layer);
        for (var expert = 0; expert < _config.RoutedExpertCount; expert++)
        {
            int place = _firstPair[expert], count = _firstPair[expert + 1] - place;
            if (count == 0)
                continue;
            if (weights[expert].Width == 0)
                ThrowNotHeld(layer, expert);
            _blocks.Add(weights[expert], new RowSet(rows.Input, _config.HiddenSize, _rows + place), new RowSet(rows.Output, _config.HiddenSize, _pairs + place), count);
        }

        _blocks.Run();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _blocks.Dispose();
        _compute.Dispose();
        _arena.Dispose();
    }

    /// <summary>Sorts the (row, slot) pairs by expert: those of expert e are at _firstPair[e] to _firstPair[e + 1]. Negative ids are skipped.</summary>
    private void GroupByExpert(in RoutedRows rows, int pairCount)
    {
        Reserve(pairCount);
        Array.Clear(_firstPair);
        for (var pair = 0; pair < pairCount; pair++)
        {
            if (rows.ExpertIds[pair] >= 0)
                _firstPair[rows.ExpertIds[pair] + 1]++;
        }

        for (var expert = 0; expert < _config.RoutedExpertCount; expert++)
            _firstPair[expert + 1] += _firstPair[expert];
        for (var pair = 0; pair < pairCount; pair++)
        {
            var expert = rows.ExpertIds[pair];
            if (expert < 0)
                continue;
            var place = _firstPair[expert]++;
            _pairs[place] = pair;
            _rows[place] = rows.InputRows == null ? pair / rows.ExpertsPerToken : rows.InputRows[pair];
        }

        // Filling moved every start to the next expert's.
        for (var expert = _config.RoutedExpertCount; expert > 0; expert--)
            _firstPair[expert] = _firstPair[expert - 1];
        _firstPair[0] = 0;
    }

    private static void ThrowNotHeld(int layer, int expert) =>
        throw new InvalidOperationException($"Expert {expert} of layer {layer} was chosen, but is not held here.");

    private void Reserve(int pairCount)
    {
        if (pairCount <= _pairCapacity)
            return;
        _arena.Dispose();
        _arena = new Arena();
        _pairCapacity = pairCount;
        _pairs = _arena.Ints(pairCount);
        _rows = _arena.Ints(pairCount);
    }
}
