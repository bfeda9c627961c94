using Conclave.Model.Attention;
using Conclave.Model.Kernels;

namespace Conclave.Model;

/// <summary>What all layers of one forward pass share: the batch, its rotary table, and how to compute.</summary>
internal sealed unsafe class Pass(ModelConfig config, Compute compute, int maxRows, Arena arena)
{
    private readonly RopeTable _rope = new(config);
    private StepBatch? _batch;

    /// <summary>Threads, kernels and their scratch.</summary>
    public Compute Compute { get; } = compute;

    /// <summary>The batch under way.</summary>
    public StepBatch Batch => _batch!;

    /// <summary>Its rows.</summary>
    public int Rows { get; private set; }

    /// <summary>Cosines <c>[Rows, qk_rope_head_dim / 2]</c> at the rows' positions.</summary>
    public float* Cosines { get; } = arena.Floats((long)maxRows * config.QkRopeHeadDim / 2);

    /// <summary>Sines, likewise.</summary>
    public float* Sines { get; } = arena.Floats((long)maxRows * config.QkRopeHeadDim / 2);

    /// <summary>The residual stream <c>[Rows, HiddenSize]</c>.</summary>
    public float* Hidden { get; } = arena.Floats((long)maxRows * config.HiddenSize);

    /// <summary>The normed input of the block under way <c>[Rows, HiddenSize]</c>.</summary>
    public float* Normed { get; } = arena.Floats((long)maxRows * config.HiddenSize);

    /// <summary>What the block under way gives <c>[Rows, HiddenSize]</c>.</summary>
    public float* BlockOutput { get; } = arena.Floats((long)maxRows * config.HiddenSize);

    /// <summary>Who watches, if anyone.</summary>
    public IForwardProbe? Probe { get; set; }

    /// <summary>Starts a pass over <paramref name="batch"/>.</summary>
    public void Begin(StepBatch batch)
    {
        if (batch.RowCount > maxRows)
            throw new ArgumentException($"The batch has {batch.RowCount} rows, this model has scratch memory for {maxRows}.", nameof(batch));
        _batch = batch;
        Rows = batch.RowCount;
        var pairs = config.QkRopeHeadDim / 2;
        for (var row = 0; row < Rows; row++)
            _rope.Fill(batch.Positions[row], Cosines + ((long)row * pairs), Sines + ((long)row * pairs));
    }

    /// <summary>RMSNorm of <paramref name="rows"/> rows of <paramref name="x"/> into <paramref name="y"/>.</summary>
    public void RmsNorm(RowSet x, float* weight, RowSet y, int rows, int width)
    {
        var loop = new RmsNormLoop { Kernels = Compute.Kernels, X = x, Y = y, Weight = weight, Epsilon = config.RmsNormEpsilon, Width = width };
        Compute.Run(ref loop, rows, width);
    }

    /// <summary>Adds <see cref="BlockOutput"/> to the residual stream.</summary>
    public void AddToResidual()
    {
        var loop = new AddLoop { Kernels = Compute.Kernels, X = BlockOutput, Y = Hidden, Width = config.HiddenSize };
        Compute.Run(ref loop, Rows, config.HiddenSize);
    }

    private struct RmsNormLoop : IParallelLoop
    {
        public KernelSet Kernels;
        public RowSet X;
        public RowSet Y;
        public float* Weight;
        public float Epsilon;
        public int Width;

        public readonly void Run(int start, int end, int worker)
        {
            for (var row = start; row < end; row++)
                Kernels.RmsNorm(X.Row(row), Weight, Epsilon, Y.Row(row), Width);
        }
    }

    private struct AddLoop : IParallelLoop
    {
        public KernelSet Kernels;
        public float* X;
        public float* Y;
        public int Width;

        public readonly void Run(int start, int end, int worker) =>
            Kernels.Add(Y + ((long)start * Width), X + ((long)start * Width), (end - start) * Width);
    }
}
