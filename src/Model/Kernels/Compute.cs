namespace Conclave.Model.Kernels;

/// <summary>How a pass runs kernels: a tier, the threads, and scratch memory for each thread.</summary>
public sealed unsafe class Compute : IDisposable
{
    /// <summary>Multiplications of a loop below which waking another thread for it costs more than it saves: some microseconds.</summary>
    private const long WorthSharing = 1 << 14;

    /// <summary>Multiplications of a chunk below which taking it costs more than the better balance saves.</summary>
    private const long WorthTaking = 1 << 12;

    /// <summary>Chunks of each thread's share of a large loop: so little is left to wait for at its end.</summary>
    private const int ChunksPerThread = 24;

    /// <summary>Rows at a time of products that one thread computes alone; so many stay near it.</summary>
    public const int RowsOnThread = 192;

    /// <summary>With more rows outputs are handed out in multiples of <see cref="OutputsOfManyRows"/>, else of <see cref="OutputsOfFewRows"/>.</summary>
    private const int ManyRows = 24;
    private const int OutputsOfManyRows = 32;
    private const int OutputsOfFewRows = 16;

    private readonly Arena _arena = new();
    private readonly nint[] _inputsOnThread;
    private readonly nint[] _scratch;
    private Arena _inputArena = new();
    private long _inputFloats;
    private float* _inputs;

    /// <summary>Prepares memory for each thread of <paramref name="workers"/>: to multiply with weights of up to <paramref name="columns"/> columns, and at least <paramref name="scratchFloats"/>.</summary>
    public Compute(WorkerPool workers, KernelSet kernels, int columns, long scratchFloats = 0)
    {
        Workers = workers;
        Kernels = kernels;
        _inputsOnThread = new nint[workers.ThreadCount];
        _scratch = new nint[workers.ThreadCount];
        for (var i = 0; i < _scratch.Length; i++)
        {
            _inputsOnThread[i] = (nint)_arena.Floats(Model.Kernels.Linear.InputFloats(columns, RowsOnThread));
            _scratch[i] = (nint)_arena.Floats(Math.Max(scratchFloats, Model.Kernels.Linear.ScratchFloats(columns)));
        }
    }

    /// <summary>The threads.</summary>
    public WorkerPool Workers { get; }

    /// <summary>The kernels.</summary>
    public KernelSet Kernels { get; }

    /// <summary>Scratch of thread <paramref name="worker"/>.</summary>
    public float* Scratch(int worker) => (float*)_scratch[worker];

    /// <summary><c>y[r, o] = sum over i of x[r, i] w[o, i]</c> for all rows and outputs, outputs split over the threads.</summary>
    public void Linear(in Weight w, RowSet x, RowSet y, int rowCount)
    {
        if (rowCount == 0)
            return;
        Reserve(Model.Kernels.Linear.InputFloats(w.Columns, rowCount));
        var arrange = new ArrangeLoop { Weight = w, X = x, RowCount = rowCount, Inputs = _inputs };
        Run(ref arrange, Model.Kernels.Linear.Tiles(rowCount), LinearTiles.MaxRows * (long)w.Columns / 4);
        var panel = rowCount > ManyRows ? OutputsOfManyRows : OutputsOfFewRows;
        var loop = new LinearLoop { Owner = this, Weight = w, Y = y, RowCount = rowCount };
        Workers.Run(ref loop, w.Rows, panel * ItemsPerChunk(((w.Rows - 1) / panel) + 1, (long)panel * w.Columns * rowCount));
    }

    /// <summary>
    /// Arranges up to <see cref="RowsOnThread"/> rows for products with <paramref name="w"/> on thread <paramref name="worker"/>, inside a loop. What comes back is valid until the thread
    /// arranges again.
    /// </summary>
    public float* ArrangeOnThread(in Weight w, RowSet x, int rowCount, int worker)
    {
        var inputs = (float*)_inputsOnThread[worker];
        Model.Kernels.Linear.Arrange(w, x, rowCount, 0, Model.Kernels.Linear.Tiles(rowCount), inputs);
        return inputs;
    }

    /// <summary>As <see cref="Linear"/>, for outputs <paramref name="start"/> to <paramref name="end"/>, on thread <paramref name="worker"/> alone, inside a loop; it goes on with <paramref name="next"/>.</summary>
    public void LinearOnThread(in Weight w, int start, int end, RowSet x, RowSet y, int rowCount, int worker, in Weight next = default)
    {
        for (var row = 0; row < rowCount; row += RowsOnThread)
        {
            var rows = Math.Min(RowsOnThread, rowCount - row);
            Kernels.Linear(w, start, end, ArrangeOnThread(w, x.From(row), rows, worker), rows, y.From(row), Scratch(worker), next);
        }
    }

    /// <summary>Runs <paramref name="loop"/> over items that cost about <paramref name="multiplications"/> each.</summary>
    public void Run<TLoop>(ref TLoop loop, int count, long multiplications)
        where TLoop : struct, IParallelLoop
    {
        Workers.Run(ref loop, count, ItemsPerChunk(count, multiplications));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _arena.Dispose();
        _inputArena.Dispose();
    }

    private void Reserve(long inputFloats)
    {
        if (inputFloats <= _inputFloats)
            return;
        _inputArena.Dispose();
        _inputArena = new Arena();
        _inputFloats = inputFloats;
        _inputs = _inputArena.Floats(inputFloats);
    }

    /// <summary>Few enough chunks to be worth a hand-over, enough to keep all threads busy to the end.</summary>
    private int ItemsPerChunk(int count, long multiplications)
    {
        var each = Math.Max(multiplications, 1);
        return count * each <= WorthSharing ? count : (int)Math.Max(((WorthTaking - 1) / each) + 1, count / (ChunksPerThread * Workers.ThreadCount));
    }

    private struct ArrangeLoop : IParallelLoop
    {
        public Weight Weight;
        public RowSet X;
        public int RowCount;
        public float* Inputs;

        public readonly void Run(int start, int end, int worker) => Model.Kernels.Linear.Arrange(Weight, X, RowCount, start, end, Inputs);
    }

    private struct LinearLoop : IParallelLoop
    {
        public Compute Owner;
        public Weight Weight;
        public RowSet Y;
        public int RowCount;

        public readonly void Run(int start, int end, int worker) =>
            Owner.Kernels.Linear(Weight, start, end, Owner._inputs, RowCount, Y, Owner.Scratch(worker));
    }
}
