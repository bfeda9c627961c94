using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Conclave.Model.Kernels;

/// <summary>Sixteen floats in memory.</summary>
[InlineArray(Lanes.Count)]
public struct FloatArray16
{
    private float _first;
}

/// <summary>The reference tier: plain scalar code, one lane after the other.</summary>
public readonly unsafe struct ScalarLanes : ILanes<FloatArray16>
{
    /// <inheritdoc/>
    public static FloatArray16 Broadcast(float value)
    {
        FloatArray16 result = default;
        ((Span<float>)result).Fill(value);
        return result;
    }

    /// <inheritdoc/>
    public static FloatArray16 Load(float* source)
    {
        FloatArray16 result = default;
        for (var i = 0; i < Lanes.Count; i++)
            result[i] = source[i];
        return result;
    }

    /// <inheritdoc/>
    public static FloatArray16 LoadBf16(ushort* source)
    {
        FloatArray16 result = default;
        for (var i = 0; i < Lanes.Count; i++)
            result[i] = BitConverter.UInt32BitsToSingle((uint)source[i] << 16);
        return result;
    }

    /// <inheritdoc/>
    public static FloatArray16 LoadBf16Even(ushort* source)
    {
        FloatArray16 result = default;
        for (var i = 0; i < Lanes.Count; i++)
            result[i] = BitConverter.UInt32BitsToSingle((uint)source[2 * i] << 16);
        return result;
    }

    /// <inheritdoc/>
    public static FloatArray16 LoadBf16Odd(ushort* source) => LoadBf16Even(source + 1);

    /// <inheritdoc/>
    public static FloatArray16 LoadF16(ushort* source)
    {
        FloatArray16 result = default;
        for (var i = 0; i < Lanes.Count; i++)
            result[i] = (float)BitConverter.UInt16BitsToHalf(source[i]);
        return result;
    }

    /// <inheritdoc/>
    public static FloatArray16 LoadE4M3(byte* source)
    {
        FloatArray16 result = default;
        for (var i = 0; i < Lanes.Count; i++)
            result[i] = Fp8.Decode(source[i]);
        return result;
    }

    /// <inheritdoc/>
    public static void UnpackE4M3(byte* source, int count, ushort* destination) => E4M3Codes.Scalar(source, count, destination);

    /// <inheritdoc/>
    public static void Store(FloatArray16 value, float* destination)
    {
        for (var i = 0; i < Lanes.Count; i++)
            destination[i] = value[i];
    }

    /// <inheritdoc/>
    public static FloatArray16 Add(FloatArray16 a, FloatArray16 b)
    {
        for (var i = 0; i < Lanes.Count; i++)
            a[i] += b[i];
        return a;
    }

    /// <inheritdoc/>
    public static FloatArray16 Subtract(FloatArray16 a, FloatArray16 b)
    {
        for (var i = 0; i < Lanes.Count; i++)
            a[i] -= b[i];
        return a;
    }

    /// <inheritdoc/>
    public static FloatArray16 Multiply(FloatArray16 a, FloatArray16 b)
    {
        for (var i = 0; i < Lanes.Count; i++)
            a[i] *= b[i];
        return a;
    }

    /// <inheritdoc/>
    public static FloatArray16 Divide(FloatArray16 a, FloatArray16 b)
    {
        for (var i = 0; i < Lanes.Count; i++)
            a[i] /= b[i];
        return a;
    }

    /// <inheritdoc/>
    public static FloatArray16 FusedMultiplyAdd(FloatArray16 a, FloatArray16 b, FloatArray16 c)
    {
        for (var i = 0; i < Lanes.Count; i++)
            c[i] = MathF.FusedMultiplyAdd(a[i], b[i], c[i]);
        return c;
    }

    /// <inheritdoc/>
    public static FloatArray16 Max(FloatArray16 a, FloatArray16 b)
    {
        for (var i = 0; i < Lanes.Count; i++)
            a[i] = MathF.Max(a[i], b[i]);
        return a;
    }

    /// <inheritdoc/>
    public static FloatArray16 Min(FloatArray16 a, FloatArray16 b)
    {
        for (var i = 0; i < Lanes.Count; i++)
            a[i] = MathF.Min(a[i], b[i]);
        return a;
    }

    /// <inheritdoc/>
    public static FloatArray16 SelectLess(FloatArray16 a, FloatArray16 b, FloatArray16 ifTrue, FloatArray16 ifFalse)
    {
        for (var i = 0; i < Lanes.Count; i++)
            a[i] = a[i] < b[i] ? ifTrue[i] : ifFalse[i];
        return a;
    }

    /// <inheritdoc/>
    public static FloatArray16 ScaleByPowerOfTwo(FloatArray16 value, FloatArray16 exponent)
    {
        for (var i = 0; i < Lanes.Count; i++)
            value[i] = BitConverter.Int32BitsToSingle(BitConverter.SingleToInt32Bits(value[i]) + ((int)exponent[i] << 23));
        return value;
    }

    /// <inheritdoc/>
    public static float Sum(FloatArray16 value) => Lanes.Sum(value);

    /// <inheritdoc/>
    public static Vector128<float> Sum(FloatArray16 a, FloatArray16 b, FloatArray16 c, FloatArray16 d) =>
        Vector128.Create(Lanes.Sum(a), Lanes.Sum(b), Lanes.Sum(c), Lanes.Sum(d));

    /// <inheritdoc/>
    public static FloatArray16 Sum(
        FloatArray16 a00, FloatArray16 a01, FloatArray16 a02, FloatArray16 a03, FloatArray16 a10, FloatArray16 a11, FloatArray16 a12, FloatArray16 a13, FloatArray16 a20, FloatArray16 a21, FloatArray16 a22, FloatArray16 a23, FloatArray16 a30, FloatArray16 a31, FloatArray16 a32, FloatArray16 a33) =>
        Lanes.Join<ScalarLanes, FloatArray16>(Sum(a00, a01, a02, a03), Sum(a10, a11, a12, a13), Sum(a20, a21, a22, a23), Sum(a30, a31, a32, a33));

    /// <inheritdoc/>
    public static float MaxLane(FloatArray16 value)
    {
        var result = value[0];
        for (var i = 1; i < Lanes.Count; i++)
            result = MathF.Max(result, value[i]);
        return result;
    }
}
