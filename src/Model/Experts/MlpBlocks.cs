using Conclave.Model.Kernels;

namespace Conclave.Model.Experts;

/// <summary>
/// SwiGLU blocks with their rows, computed together: <c>y = down(silu(gate(x)) * up(x))</c>. All blocks share two parallel loops, cut into pieces of a few outputs without regard to where
/// a block ends, so that threads have equal work however unequal the experts' rows are. Memory grows to what was needed and stays.
/// </summary>
internal sealed unsafe class MlpBlocks(Compute compute, int maxBlocks) : IDisposable
{
    private const int OutputsPerItem = 64;
    private readonly Block[] _blocks = new Block[maxBlocks];
    private Arena _arena = new();
    private int _count;
    private int _upItems;
    private int _downItems;
    private long _upWork;
    private long _downWork;
    private long _floats;
    private long _capacity;
    private float* _gate;
    private float* _up;

    /// <summary>Forgets all blocks.</summary>
    public void Clear()
    {
        _count = _upItems = _downItems = 0;
        _upWork = _downWork = _floats = 0;
    }

    /// <summary>Adds <paramref name="rowCount"/> rows that go through one block: from <paramref name="x"/> to <paramref name="y"/>, both of the hidden size.</summary>
    public void Add(in MlpWeights weights, RowSet x, RowSet y, int rowCount)
    {
        _blocks[_count++] = new Block { Weights = weights, X = x, Y = y, RowCount = rowCount, Place = _floats, FirstUpItem = _upItems, FirstDownItem = _downItems };
        _upItems += ItemsFor(weights.Width);
        _downItems += ItemsFor(weights.Down.Rows);
        _upWork += 2L * rowCount * weights.Width * weights.Gate.Columns;
        _downWork += (long)rowCount * weights.Width * weights.Down.Rows;
        _floats += (long)rowCount * weights.Width;
    }

    /// <summary>Computes all rows of all blocks.</summary>
    public void Run()
    {
        if (_count == 0)
            return;
        Reserve();
        var up = new UpLoop { Owner = this };
        compute.Run(ref up, _upItems, _upWork / _upItems);
        var down = new DownLoop { Owner = this };
        compute.Run(ref down, _downItems, _downWork / _downItems);
    }

    /// <inheritdoc/>
    public void Dispose() => _arena.Dispose();

    private ref readonly Block Following(int index) => ref _blocks[Math.Min(index + 1, _count - 1)];

    private static int ItemsFor(int outputs) => ((outputs - 1) / OutputsPerItem) + 1;

    private void Reserve()
    {
        if (_floats <= _capacity)
            return;
        _arena.Dispose();
        _arena = new Arena();
        _capacity = _floats;
        _gate = _arena.Floats(_capacity);
        _up = _arena.Floats(_capacity);
    }

    private struct Block
    {
        public MlpWeights Weights;
        public RowSet X;
        public RowSet Y;
        public int RowCount;

        // In the buffers of gate and up: floats before this block's rows.
        public long Place;
        public int FirstUpItem;
        public int FirstDownItem;
    }

    private struct UpLoop : IParallelLoop
    {
        public MlpBlocks Owner;

        public readonly void Run(int start, int end, int worker)
        {
            var index = Owner._count - 1;
            while (Owner._blocks[index].FirstUpItem > start)
                index--;
            for (; start < end; index++)
            {
                ref readonly var block = ref Owner._blocks[index];
                var stop = Math.Min(end, block.FirstUpItem + ItemsFor(block.Weights.Width));
                Owner.GateUp(block, Owner.Following(index), (start - block.FirstUpItem) * OutputsPerItem, Math.Min((stop - block.FirstUpItem) * OutputsPerItem, block.Weights.Width), worker);
                start = stop;
            }
        }
    }

    private struct DownLoop : IParallelLoop
    {
        public MlpBlocks Owner;

        public readonly void Run(int start, int end, int worker)
        {
            var index = Owner._count - 1;
            while (Owner._blocks[index].FirstDownItem > start)
                index--;
            for (; start < end; index++)
            {
                ref readonly var block = ref Owner._blocks[index];
                var stop = Math.Min(end, block.FirstDownItem + ItemsFor(block.Weights.Down.Rows));
                Owner.Down(block, Owner.Following(index), (start - block.FirstDownItem) * OutputsPerItem, Math.Min((stop - block.FirstDownItem) * OutputsPerItem, block.Weights.Down.Rows), worker);
                start = stop;
            }
        }
    }

    private void GateUp(in Block block, in Block following, int first, int last, int worker)
    {
        MlpWeights weights = block.Weights;
        for (var row = 0; row < block.RowCount; row += Compute.RowsOnThread)
        {
            var rows = Math.Min(Compute.RowsOnThread, block.RowCount - row);
            var inputs = compute.ArrangeOnThread(weights.Gate, block.X.From(row), rows, worker);
            var place = block.Place + ((long)row * weights.Width);
            // Many rows are worth passing over more weights at a time; of few, what gate and up gave is still at hand for the product of both.
            var step = rows > 16 ? 4 * OutputsPerItem : OutputsPerItem;
            for (int output = first, stop; output < last; output = stop)
            {
                stop = Math.Min(output + step, last);
                var next = stop < weights.Width ? weights.Gate.Slice(stop, weights.Width - stop) : following.Weights.Gate;
                GateUp(weights, inputs, rows, output, stop, _gate + place, _up + place, next, worker);
            }
        }
    }

    private void GateUp(in MlpWeights weights, float* inputs, int rows, int first, int last, float* gate, float* up, in Weight next, int worker)
    {
        var kernels = compute.Kernels;
        kernels.Linear(weights.Gate, first, last, inputs, rows, new RowSet(gate, weights.Width), compute.Scratch(worker), weights.Up.Slice(first, last - first));
        kernels.Linear(weights.Up, first, last, inputs, rows, new RowSet(up, weights.Width), compute.Scratch(worker), next);
        for (long row = 0; row < rows; row++)
            kernels.SiluMultiply(gate + (row * weights.Width) + first, up + (row * weights.Width) + first, last - first);
    }

    private void Down(in Block block, in Block following, int first, int last, int worker)
    {
        var next = last < block.Weights.Down.Rows ? default : following.Weights.Down;
        compute.LinearOnThread(block.Weights.Down, first, last, new RowSet(_gate + block.Place, block.Weights.Width), block.Y, block.RowCount, worker, next);
    }
}
