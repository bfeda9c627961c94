using Conclave.Model.Checkpoints;

namespace Conclave.Model.Kernels;

/// <summary>Small vectors of a checkpoint (norms, biases), widened once when the model is bound.</summary>
internal static unsafe class Vectors
{
    /// <summary>The vector <paramref name="name"/> as float32, in memory of <paramref name="arena"/>.</summary>
    public static float* Load(Checkpoint checkpoint, string name, int count, Arena arena)
    {
        var tensor = checkpoint.Require(name, count);
        if (tensor.DType is not (DType.F32 or DType.F16 or DType.BF16))
            throw new CheckpointException($"{name}: vectors of type {tensor.DType} are not supported; expected F32, F16 or BF16");
        var result = arena.Floats(count);
        KernelSet.Best.Widen(new Weight((byte*)tensor.Data, tensor.DType, 1, count), 0, 1, result);
        return result;
    }
}
