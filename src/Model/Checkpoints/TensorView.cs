namespace Conclave.Model.Checkpoints;

/// <summary>Element types that a checkpoint may hold (safetensors names).</summary>
public enum DType
{
    /// <summary>IEEE binary32.</summary>
    F32,

    /// <summary>IEEE binary16.</summary>
    F16,

    /// <summary>bfloat16.</summary>
    BF16,

    /// <summary>E4M3FN: 1 sign, 4 exponent, 3 mantissa bits; no infinity, maximum 448.</summary>
    F8E4M3,

    /// <summary>Signed 32-bit integers (only in files that this project writes).</summary>
    I32,
}

/// <summary>One tensor of a mapped file, used in place: valid as long as its <see cref="Checkpoint"/> is not disposed.</summary>
/// <param name="Name">The tensor's name in the checkpoint.</param>
/// <param name="DType">Element type.</param>
/// <param name="Shape">Dimensions, outermost first; data is row-major and contiguous.</param>
/// <param name="Data">First element, in the map. Not necessarily aligned to more than one byte.</param>
/// <param name="SizeBytes">Length of the data.</param>
public sealed record TensorView(string Name, DType DType, IReadOnlyList<long> Shape, nint Data, long SizeBytes);
