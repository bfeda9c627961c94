using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Conclave.Model.Kernels;

/// <summary>One 512-bit vector. Portable: where the processor has no such registers the runtime composes the operations of smaller ones.</summary>
public readonly unsafe struct Vector512Lanes : ILanes<Vector512<float>>
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Broadcast(float value) => Vector512.Create(value);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load(float* source) => Vector512.Load(source);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> LoadBf16(ushort* source) => (Widen(source) << 16).AsSingle();

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> LoadBf16Even(ushort* source) => (Vector512.Load((uint*)source) << 16).AsSingle();

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> LoadBf16Odd(ushort* source) => (Vector512.Load((uint*)source) & Vector512.Create(0xFFFF0000)).AsSingle();

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> LoadF16(ushort* source)
    {
        var half = Widen(source);
        var magnitude = half & Vector512.Create(0x7FFFu);
        // The exponent moves to the wider field; multiplying by 2^112 mends its bias and normalizes subnormals.
        var finite = ((magnitude << 13).AsSingle() * Vector512.Create(5.192296858534828e33f)).AsUInt32();
        var special = (magnitude << 13) | Vector512.Create(0x7F800000u);
        var bits = Vector512.ConditionalSelect(Vector512.GreaterThanOrEqual(magnitude, Vector512.Create(0x7C00u)), special, finite);
        return (bits | ((half & Vector512.Create(0x8000u)) << 16)).AsSingle();
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> LoadE4M3(byte* source)
    {
        var code = Widen(source);
        var magnitude = code & Vector512.Create(0x7Fu);
        // Exponent and mantissa move to their places in float32, rebiased by 120. A subnormal code came out as 2^-7 (1 + m/8) instead of 2^-6 m/8.
        var normal = ((magnitude << 20) + Vector512.Create(120u << 23)).AsSingle();
        var subnormal = normal + normal - Vector512.Create(0.015625f);
        var value = Vector512.ConditionalSelect(Vector512.LessThan(magnitude, Vector512.Create(8u)).AsSingle(), subnormal, normal);
        value = Vector512.ConditionalSelect(Vector512.Equals(magnitude, Vector512.Create(0x7Fu)).AsSingle(), Vector512.Create(0x7FC00000u).AsSingle(), value);
        return (value.AsUInt32() | ((code & Vector512.Create(0x80u)) << 24)).AsSingle();
    }

    /// <inheritdoc/>
    public static void UnpackE4M3(byte* source, int count, ushort* destination)
    {
        if (Avx512BW.IsSupported)
            E4M3Codes.Wide(source, count, destination);
        else
            E4M3Codes.Short(source, count, destination);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector512<float> value, float* destination) => value.Store(destination);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Add(Vector512<float> a, Vector512<float> b) => a + b;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Subtract(Vector512<float> a, Vector512<float> b) => a - b;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Multiply(Vector512<float> a, Vector512<float> b) => a * b;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Divide(Vector512<float> a, Vector512<float> b) => a / b;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> FusedMultiplyAdd(Vector512<float> a, Vector512<float> b, Vector512<float> c) =>
        Vector512.FusedMultiplyAdd(a, b, c);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Max(Vector512<float> a, Vector512<float> b) => Vector512.Max(a, b);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Min(Vector512<float> a, Vector512<float> b) => Vector512.Min(a, b);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> SelectLess(Vector512<float> a, Vector512<float> b, Vector512<float> ifTrue, Vector512<float> ifFalse) =>
        Vector512.ConditionalSelect(Vector512.LessThan(a, b), ifTrue, ifFalse);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> ScaleByPowerOfTwo(Vector512<float> value, Vector512<float> exponent) =>
        (value.AsInt32() + (Vector512.ConvertToInt32Native(exponent) << 23)).AsSingle();

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Vector512<float> value) => SumQuarter(Halve(value));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Sum(Vector512<float> a, Vector512<float> b, Vector512<float> c, Vector512<float> d)
    {
        if (!Avx512F.IsSupported)
            return Vector128.Create(Sum(a), Sum(b), Sum(c), Sum(d));
        var quarters = Quarters(a, b, c, d);
        quarters += Avx512F.Permute4x32(quarters, 0b01_00_11_10);
        quarters += Avx512F.Permute4x32(quarters, 0b10_11_00_01);
        return Avx512F.PermuteVar16x32(quarters, Vector512.Create(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)).GetLower().GetLower();
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Sum(
        Vector512<float> a00, Vector512<float> a01, Vector512<float> a02, Vector512<float> a03, Vector512<float> a10, Vector512<float> a11, Vector512<float> a12, Vector512<float> a13, Vector512<float> a20, Vector512<float> a21, Vector512<float> a22, Vector512<float> a23, Vector512<float> a30, Vector512<float> a31, Vector512<float> a32, Vector512<float> a33)
    {
        if (!Avx512F.IsSupported)
            return Lanes.Join<Vector512Lanes, Vector512<float>>(Sum(a00, a01, a02, a03), Sum(a10, a11, a12, a13), Sum(a20, a21, a22, a23), Sum(a30, a31, a32, a33));
        Vector512<float> o0 = Quarters(a00, a10, a20, a30), o1 = Quarters(a01, a11, a21, a31), o2 = Quarters(a02, a12, a22, a32), o3 = Quarters(a03, a13, a23, a33);
        // Now i + i+2 for two outputs at once, then i + i+1 for all four.
        var o01 = (Avx512F.UnpackLow(o0.AsDouble(), o1.AsDouble()).AsSingle() + Avx512F.UnpackHigh(o0.AsDouble(), o1.AsDouble()).AsSingle());
        var o23 = (Avx512F.UnpackLow(o2.AsDouble(), o3.AsDouble()).AsSingle() + Avx512F.UnpackHigh(o2.AsDouble(), o3.AsDouble()).AsSingle());
        return Avx512F.Shuffle(o01, o23, 0b10_00_10_00) + Avx512F.Shuffle(o01, o23, 0b11_01_11_01);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float MaxLane(Vector512<float> value)
    {
        var half = Vector256.Max(value.GetLower(), value.GetUpper());
        var quarter = Vector128.Max(half.GetLower(), half.GetUpper());
        return MathF.Max(MathF.Max(quarter[0], quarter[2]), MathF.Max(quarter[1], quarter[3]));
    }

    /// <summary>i + i+8 for two vectors at once, then i + i+4 for all four: each 128-bit quarter ends up with one vector's four partial sums.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Quarters(Vector512<float> a, Vector512<float> b, Vector512<float> c, Vector512<float> d)
    {
        // Written out: of two halves the JIT would make it anew each time.
        var upper = Vector512.Create(0, 0, 0, 0, 0, 0, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1).AsSingle();
        var ab = Vector512.ConditionalSelect(upper, b, a) + Avx512F.Shuffle4x128(a, b, 0b01_00_11_10);
        var cd = Vector512.ConditionalSelect(upper, d, c) + Avx512F.Shuffle4x128(c, d, 0b01_00_11_10);
        return Avx512F.Shuffle4x128(ab, cd, 0b10_00_10_00) + Avx512F.Shuffle4x128(ab, cd, 0b11_01_11_01);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static float SumQuarter(Vector256<float> half)
    {
        var quarter = half.GetLower() + half.GetUpper();
        var pair = quarter + Vector128.Shuffle(quarter, Vector128.Create(2, 3, 0, 1));
        return pair[0] + pair[1];
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Halve(Vector512<float> value) => value.GetLower() + value.GetUpper();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> Widen(ushort* source)
    {
        var narrow = Vector256.Load(source);
        if (Avx512F.IsSupported)
            return Avx512F.ConvertToVector512UInt32(narrow);
        var (lower, upper) = Vector256.Widen(narrow);
        return Vector512.Create(lower, upper);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> Widen(byte* source)
    {
        var narrow = Vector128.Load(source);
        if (Avx512F.IsSupported)
            return Avx512F.ConvertToVector512UInt32(narrow);
        var (lower, upper) = Vector128.Widen(narrow);
        var (first, second) = Vector128.Widen(lower);
        var (third, fourth) = Vector128.Widen(upper);
        return Vector512.Create(Vector256.Create(first, second), Vector256.Create(third, fourth));
    }
}
