using Conclave.Model.Experts;
using Conclave.Model.Kernels;

namespace Conclave.Model;

/// <summary>
/// A window of rows of the step under way, and how to compute: the whole step, or one of the two micro-batches that it is cut into. Layers see rows 0 to
/// <see cref="Rows"/> of their pass only; what differs between windows is where the shared buffers begin.
/// </summary>
internal sealed unsafe class Pass(ModelConfig config, Compute compute, StepBuffers step)
{
    private StepBatch? _batch;

    /// <summary>Threads, kernels and their scratch.</summary>
    public Compute Compute { get; } = compute;

    /// <summary>The batch under way.</summary>
    public StepBatch Batch => _batch!;

    /// <summary>Which micro-batch this is: 0 or 1.</summary>
    public int MicroBatch { get; private set; }

    /// <summary>The window's first row in the batch.</summary>
    public int FirstRow { get; private set; }

    /// <summary>Rows of the window.</summary>
    public int Rows { get; private set; }

    /// <summary>Positions <c>[Rows]</c>.</summary>
    public int* Positions => Batch.Positions + FirstRow;

    /// <summary>Cosines <c>[Rows, qk_rope_head_dim / 2]</c> at the rows' positions.</summary>
    public float* Cosines => step.Cosines + ((long)FirstRow * config.QkRopeHeadDim / 2);

    /// <summary>Sines, likewise.</summary>
    public float* Sines => step.Sines + ((long)FirstRow * config.QkRopeHeadDim / 2);

    /// <summary>The residual stream <c>[Rows, HiddenSize]</c>.</summary>
    public float* Hidden => step.Hidden + ((long)FirstRow * config.HiddenSize);

    /// <summary>The normed input of the block under way <c>[Rows, HiddenSize]</c>.</summary>
    public float* Normed => step.Normed + ((long)FirstRow * config.HiddenSize);

    /// <summary>What the block under way gives <c>[Rows, HiddenSize]</c>; of an MoE block the shared experts' part.</summary>
    public float* BlockOutput => step.BlockOutput + ((long)FirstRow * config.HiddenSize);

    /// <summary>Chosen experts <c>[Rows, k]</c>, ascending within a row.</summary>
    public int* ExpertIds => step.ExpertIds + ((long)FirstRow * config.ExpertsPerToken);

    /// <summary>Their weights <c>[Rows, k]</c>.</summary>
    public float* ExpertWeights => step.ExpertWeights + ((long)FirstRow * config.ExpertsPerToken);

    /// <summary>Routed expert outputs <c>[Rows, k, HiddenSize]</c>.</summary>
    public float* ExpertOutputs => step.ExpertOutputs + ((long)FirstRow * config.ExpertsPerToken * config.HiddenSize);

    /// <summary>The rows with their routing, as the expert dispatch takes them.</summary>
    public RoutedRows RoutedRows => new()
    {
        MicroBatch = MicroBatch,
        RowCount = Rows,
        ExpertsPerToken = config.ExpertsPerToken,
        Input = Normed,
        ExpertIds = ExpertIds,
        Output = ExpertOutputs,
    };

    /// <summary>Who watches, if anyone.</summary>
    public IForwardProbe? Probe => step.Probe;

    /// <summary>Pages of the sequence that <paramref name="row"/> belongs to.</summary>
    public KvPageTable Pages(int row) => Batch.Pages(FirstRow + row);

    /// <summary>Takes rows <paramref name="firstRow"/> to <paramref name="firstRow"/> + <paramref name="rows"/> of <paramref name="batch"/>.</summary>
    public void Take(StepBatch batch, int microBatch, int firstRow, int rows)
    {
        _batch = batch;
        MicroBatch = microBatch;
        FirstRow = firstRow;
        Rows = rows;
    }

    /// <summary>Notes on the timeline, if there is one, what the step's thread does from now on.</summary>
    public void Mark(StepActivity activity, int layer) => step.Timeline?.Mark(activity, layer, MicroBatch);

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

    /// <summary>Adds the experts' outputs, in ascending expert id, and <see cref="BlockOutput"/> to the residual stream.</summary>
    public void AddExpertsToResidual()
    {
        var loop = new CombineLoop { Pass = this, Config = config };
        Compute.Run(ref loop, Rows, (long)config.ExpertsPerToken * config.HiddenSize);
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

    private struct CombineLoop : IParallelLoop
    {
        public Pass Pass;
        public ModelConfig Config;

        public readonly void Run(int start, int end, int worker)
        {
            int hidden = Config.HiddenSize, k = Config.ExpertsPerToken;
            for (long row = start; row < end; row++)
            {
                var shared = Config.SharedExpertCount > 0 ? Pass.BlockOutput + (row * hidden) : null;
                Pass.Compute.Kernels.CombineExperts(Pass.Hidden + (row * hidden), Pass.ExpertOutputs + (row * k * hidden), Pass.ExpertWeights + (row * k), k, shared, hidden);
            }
        }
    }
}
