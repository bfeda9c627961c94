using Conclave.Model.Checkpoints;
using Conclave.Model.Kernels;

namespace Conclave.Model.Experts;

/// <summary>One SwiGLU block: <c>down(silu(gate(x)) * up(x))</c>. A dense layer's MLP, a routed expert, or the shared experts as one.</summary>
/// <param name="Gate"><c>gate_proj.weight</c> <c>[width, hidden]</c>.</param>
/// <param name="Up"><c>up_proj.weight</c> <c>[width, hidden]</c>.</param>
/// <param name="Down"><c>down_proj.weight</c> <c>[hidden, width]</c>.</param>
internal readonly record struct MlpWeights(Weight Gate, Weight Up, Weight Down)
{
    /// <summary>Intermediate width.</summary>
    public int Width => Gate.Rows;

    /// <summary>Binds <c>{prefix}gate_proj.weight</c> and so on.</summary>
    public static MlpWeights Bind(Checkpoint checkpoint, string prefix, int hidden, int width) => new(
        Weight.Bind(checkpoint, prefix + "gate_proj.weight", width, hidden),
        Weight.Bind(checkpoint, prefix + "up_proj.weight", width, hidden),
        Weight.Bind(checkpoint, prefix + "down_proj.weight", hidden, width));
}

/// <summary>Runs one SwiGLU block over all rows of a pass.</summary>
internal sealed unsafe class Mlp(ModelConfig config, int maxWidth, int maxRows, Arena arena)
{
    private readonly float* _gate = arena.Floats((long)maxRows * maxWidth);
    private readonly float* _up = arena.Floats((long)maxRows * maxWidth);

    /// <summary><c>y = down(silu(gate(x)) * up(x))</c> for <paramref name="rows"/> rows of width <c>hidden_size</c>.</summary>
    public void Forward(Compute compute, in MlpWeights weights, float* x, float* y, int rows)
    {
        var loop = new GateUpLoop { Compute = compute, Weights = weights, X = new RowSet(x, config.HiddenSize), Gate = _gate, Up = _up, Rows = rows };
        compute.Workers.Run(ref loop, weights.Width, compute.OutputsPerChunk(weights.Width, 2L * rows * config.HiddenSize));
        compute.Linear(weights.Down, new RowSet(_gate, weights.Width), new RowSet(y, config.HiddenSize), rows);
    }

    private struct GateUpLoop : IParallelLoop
    {
        public Compute Compute;
        public MlpWeights Weights;
        public RowSet X;
        public float* Gate;
        public float* Up;
        public int Rows;

        public readonly void Run(int start, int end, int worker)
        {
            var kernels = Compute.Kernels;
            var width = Weights.Width;
            kernels.Linear(Weights.Gate, start, end, X, new RowSet(Gate, width), Rows, Compute.Scratch(worker));
            kernels.Linear(Weights.Up, start, end, X, new RowSet(Up, width), Rows, Compute.Scratch(worker));
            for (var row = 0; row < Rows; row++)
                kernels.SiluMultiply(Gate + ((long)row * width) + start, Up + ((long)row * width) + start, end - start);
        }
    }
}
