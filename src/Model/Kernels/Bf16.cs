using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Conclave.Model.Kernels;

/// <summary>bfloat16: the upper half of a float32.</summary>
public static unsafe class Bf16
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

    /// <summary>The codes of <paramref name="count"/> values, as <see cref="Encode(float)"/> makes them one by one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Encode(float* x, int count, ushort* codes)
    {
        var i = 0;
        for (; i + 16 <= count; i += 16)
            Vector256.Narrow(Encode(Vector256.Load((uint*)x + i)), Encode(Vector256.Load((uint*)x + i + 8))).Store(codes + i);
        for (; i < count; i++)
            codes[i] = Encode(x[i]);
    }

    /// <summary>Exact value of <paramref name="code"/>.</summary>
    public static float Decode(ushort code) => BitConverter.UInt32BitsToSingle((uint)code << 16);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Encode(Vector256<uint> bits)
    {
        var isNaN = Vector256.GreaterThan((bits & Vector256.Create(0x7FFFFFFFu)).AsInt32(), Vector256.Create(0x7F800000)).AsUInt32();
        var upper = bits >> 16;
        return Vector256.ConditionalSelect(isNaN, upper | Vector256.Create(0x40u), (bits + Vector256.Create(0x7FFFu) + (upper & Vector256<uint>.One)) >> 16);
    }
}
