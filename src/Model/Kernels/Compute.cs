namespace Conclave.Model.Kernels;

/// <summary>How a pass runs kernels: a tier, the threads, and scratch memory for each thread.</summary>
public sealed unsafe class Compute : IDisposable
{
    /// <summary>Multiplications of a loop below which waking another thread for it costs more than it saves: some microseconds.</summary>
    private const long WorthSharing = 1 << 14;

    /// <summary>Multiplications of a chunk below which taking it costs more than the better balance saves.</summary>
    private const long WorthTaking = 1 << 12;

    /// <summary>Chunks of each thread's share of a large loop: so little is left to wait for at its end.</summary>
    private const int ChunksPerThread = 8;

    private readonly Arena _arena = new();
    private readonly nint[] _scratch;

    /// <summary>Prepares <paramref name="scratchFloats"/> of scratch for each thread of <paramref name="workers"/>.</summary>
    public Compute(WorkerPool workers, KernelSet kernels, long scratchFloats)
    {
        Workers = workers;
        Kernels = kernels;
        _scratch = new nint[workers.ThreadCount];
        for (var i = 0; i < _scratch.Length; i++)
            _scratch[i] = (nint)_arena.Floats(scratchFloats);
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
        const int Panel = Model.Kernels.Linear.PanelRows;
        var loop = new LinearLoop { Owner = this, Weight = w, X = x, Y = y, RowCount = rowCount };
        Workers.Run(ref loop, w.Rows, Panel * ItemsPerChunk(((w.Rows - 1) / Panel) + 1, (long)Panel * w.Columns * rowCount));
    }

    /// <summary>Runs <paramref name="loop"/> over items that cost about <paramref name="multiplications"/> each.</summary>
    public void Run<TLoop>(ref TLoop loop, int count, long multiplications)
        where TLoop : struct, IParallelLoop
    {
        Workers.Run(ref loop, count, ItemsPerChunk(count, multiplications));
    }

    /// <inheritdoc/>
    public void Dispose() => _arena.Dispose();

    /// <summary>Few enough chunks to be worth a hand-over, enough to keep all threads busy to the end.</summary>
    private int ItemsPerChunk(int count, long multiplications)
    {
        var each = Math.Max(multiplications, 1);
        return count * each <= WorthSharing ? count : (int)Math.Max(((WorthTaking - 1) / each) + 1, count / (ChunksPerThread * Workers.ThreadCount));
    }

    private struct LinearLoop : IParallelLoop
    {
        public Compute Owner;
        public Weight Weight;
        public RowSet X;
        public RowSet Y;
        public int RowCount;

        public readonly void Run(int start, int end, int worker) =>
            Owner.Kernels.Linear(Weight, start, end, X, Y, RowCount, Owner.Scratch(worker));
    }
}
