using Conclave.Model.Checkpoints;
using Conclave.Model.Kernels;

namespace Conclave.Model.Experts;

/// <summary>One SwiGLU block: <c>down(silu(gate(x)) * up(x))</c>. A dense layer's MLP, a routed expert, or the shared experts as one.</summary>
/// <param name="Gate"><c>gate_proj.weight</c> <c>[width, hidden]</c>.</param>
/// <param name="Up"><c>up_proj.weight</c> <c>[width, hidden]</c>.</param>
/// <param name="Down"><c>down_proj.weight</c> <c>[hidden, width]</c>.</param>
internal readonly record struct MlpWeights(Weight Gate, Weight Up, Weight Down)
{
    /// <summary>Intermediate width; 0 of no block at all.</summary>
    public int Width => Gate.Rows;

    /// <summary>Binds <c>{prefix}gate_proj.weight</c> and so on.</summary>
    /// <exception cref="CheckpointException">One is missing, has another shape, or gate and up are stored in different types.</exception>
    public static MlpWeights Bind(Checkpoint checkpoint, string prefix, int hidden, int width)
    {
        var gate = Weight.BindProduct(checkpoint, prefix + "gate_proj.weight", width, hidden);
        var up = Weight.BindProduct(checkpoint, prefix + "up_proj.weight", width, hidden);
        // Their inputs are arranged once for both.
        if (!Linear.ShareInputs(gate, up))
            throw new CheckpointException($"{prefix}up_proj.weight: stored as {up.Type}, but {prefix}gate_proj.weight as {gate.Type}; convert one of them, both must have the same type");
        return new(gate, up, Weight.BindProduct(checkpoint, prefix + "down_proj.weight", hidden, width));
    }
}
