using Conclave.Model.Kernels;

namespace Conclave.Model.Experts;

/// <summary>Experts of this process, called directly: the single-silo case pays nothing for the seam.</summary>
public sealed unsafe class LocalExpertDispatch : IExpertDispatch, IDisposable
{
    private const int OutputsPerItem = 64;
    private readonly ModelConfig _config;
    private readonly Compute _compute;
    private readonly int[] _firstPair;
    private readonly int[] _active;
    private Arena _arena = new();
    private int _pairCapacity;
    private int* _pairs;
    private int* _rows;
    private float* _gate;
    private float* _up;

    /// <summary>Evaluates experts of <paramref name="table"/> on <paramref name="workers"/>.</summary>
    public LocalExpertDispatch(ModelConfig config, ExpertTable table, WorkerPool workers, KernelSet? kernels = null)
    {
        _config = config;
        Table = table;
        _firstPair = new int[config.RoutedExpertCount + 1];
        _active = new int[config.RoutedExpertCount];
        _compute = new Compute(workers, kernels ?? KernelSet.Best, Kernels.Linear.PanelFloats(Math.Max(config.HiddenSize, config.MoeIntermediateSize)));
    }

    /// <summary>The experts at hand; may be replaced between two calls.</summary>
    public ExpertTable Table { get; set; }

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
        var pairCount = rows.RowCount * rows.ExpertsPerToken;
        Reserve(pairCount);
        var activeCount = GroupByExpert(layer, rows, pairCount);
        var gateUp = new GateUpLoop { Owner = this, Weights = Table.Layer(layer), Rows = rows };
        _compute.Workers.Run(ref gateUp, activeCount * ItemsFor(_config.MoeIntermediateSize), 1);
        var down = new DownLoop { Owner = this, Weights = Table.Layer(layer), Rows = rows };
        _compute.Workers.Run(ref down, activeCount * ItemsFor(_config.HiddenSize), 1);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _compute.Dispose();
        _arena.Dispose();
    }

    private static int ItemsFor(int outputs) => ((outputs - 1) / OutputsPerItem) + 1;

    /// <summary>Sorts the (row, slot) pairs by expert. Returns the number of experts with rows; negative ids are skipped.</summary>
    private int GroupByExpert(int layer, in RoutedRows rows, int pairCount)
    {
        Array.Clear(_firstPair);
        for (var pair = 0; pair < pairCount; pair++)
        {
            var expert = rows.ExpertIds[pair];
            if (expert < 0)
                continue;
            if (!Table.Holds(layer, expert))
                ThrowNotHeld(layer, expert);
            _firstPair[expert + 1]++;
        }

        var activeCount = 0;
        for (var expert = 0; expert < _active.Length; expert++)
        {
            if (_firstPair[expert + 1] > 0)
                _active[activeCount++] = expert;
            _firstPair[expert + 1] += _firstPair[expert];
        }

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
        for (var expert = _active.Length; expert > 0; expert--)
            _firstPair[expert] = _firstPair[expert - 1];
        _firstPair[0] = 0;
        return activeCount;
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
        _gate = _arena.Floats((long)pairCount * _config.MoeIntermediateSize);
        _up = _arena.Floats((long)pairCount * _config.MoeIntermediateSize);
    }

    private struct GateUpLoop : IParallelLoop
    {
        public LocalExpertDispatch Owner;
        public MlpWeights[] Weights;
        public RoutedRows Rows;

        public readonly void Run(int start, int end, int worker)
        {
            var o = Owner;
            var width = o._config.MoeIntermediateSize;
            var perExpert = ItemsFor(width);
            for (var item = start; item < end; item++)
            {
                var expert = o._active[item / perExpert];
                var first = item % perExpert * OutputsPerItem;
                var last = Math.Min(first + OutputsPerItem, width);
                var place = o._firstPair[expert];
                var count = o._firstPair[expert + 1] - place;
                var x = new RowSet(Rows.Input, o._config.HiddenSize, o._rows + place);
                float* gate = o._gate + ((long)place * width), up = o._up + ((long)place * width);
                var kernels = o._compute.Kernels;
                kernels.Linear(Weights[expert].Gate, first, last, x, new RowSet(gate, width), count, o._compute.Scratch(worker));
                kernels.Linear(Weights[expert].Up, first, last, x, new RowSet(up, width), count, o._compute.Scratch(worker));
                for (var r = 0; r < count; r++)
                    kernels.SiluMultiply(gate + ((long)r * width) + first, up + ((long)r * width) + first, last - first);
            }
        }
    }

    private struct DownLoop : IParallelLoop
    {
        public LocalExpertDispatch Owner;
        public MlpWeights[] Weights;
        public RoutedRows Rows;

        public readonly void Run(int start, int end, int worker)
        {
            var o = Owner;
            var hidden = o._config.HiddenSize;
            var perExpert = ItemsFor(hidden);
            for (var item = start; item < end; item++)
            {
                var expert = o._active[item / perExpert];
                var first = item % perExpert * OutputsPerItem;
                var place = o._firstPair[expert];
                var x = new RowSet(o._gate + ((long)place * o._config.MoeIntermediateSize), o._config.MoeIntermediateSize);
                var y = new RowSet(Rows.Output, hidden, o._pairs + place);
                o._compute.Kernels.Linear(Weights[expert].Down, first, Math.Min(first + OutputsPerItem, hidden), x, y, o._firstPair[expert + 1] - place, o._compute.Scratch(worker));
            }
        }
    }
}
