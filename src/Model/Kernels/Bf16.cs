namespace Conclave.Model.Kernels;

/// <summary>bfloat16: the upper half of a float32.</summary>
public static class Bf16
{
    /// <summary>The nearest bfloat16, ties to even; NaN stays NaN.</summary>
    public static ushort Encode(float value)
    {
        var bits = BitConverter.SingleToUInt32Bits(value);
        // A NaN keeps its upper bits and stays one; rounding could carry it into an infinity.
        if (float.IsNaN(value))
            return (ushort)((bits >> 16) | 0x40);
        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    /// <summary>Exact value of <paramref name="code"/>.</summary>
    public static float Decode(ushort code) => BitConverter.UInt32BitsToSingle((uint)code << 16);
}
