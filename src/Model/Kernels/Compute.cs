namespace Conclave.Model.Kernels;

/// <summary>How a pass runs kernels: a tier, the threads, and scratch memory for each thread.</summary>
public sealed unsafe class Compute : IDisposable
{
    /// <summary>Multiplications below which handing work to another thread costs more than it saves.</summary>
    private const long WorthSharing = 1 << 15;

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
        var loop = new LinearLoop { Owner = this, Weight = w, X = x, Y = y, RowCount = rowCount };
        Workers.Run(ref loop, w.Rows, OutputsPerChunk(w.Rows, (long)w.Columns * rowCount));
    }

    /// <summary>Runs <paramref name="loop"/> over items that cost about <paramref name="multiplications"/> each.</summary>
    public void Run<TLoop>(ref TLoop loop, int count, long multiplications)
        where TLoop : struct, IParallelLoop
    {
        var perChunk = (int)Math.Clamp(WorthSharing / Math.Max(multiplications, 1), 1, Math.Max(count, 1));
        Workers.Run(ref loop, count, perChunk);
    }

    /// <inheritdoc/>
    public void Dispose() => _arena.Dispose();

    /// <summary>Whole panels; few enough chunks to be worth a hand-over, enough to keep all threads busy to the end.</summary>
    internal int OutputsPerChunk(int outputs, long multiplicationsPerOutput)
    {
        const int Panel = Model.Kernels.Linear.PanelRows;
        var worth = WorthSharing / Math.Max(multiplicationsPerOutput, 1);
        var balanced = outputs / (4 * Workers.ThreadCount);
        var chunk = Math.Max(Math.Max(worth, balanced), Panel);
        return (int)Math.Min((chunk + Panel - 1) / Panel * Panel, int.MaxValue / 2);
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
