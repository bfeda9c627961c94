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
            E4M3Codes.Scalar(source, count, destination);
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
        // i + i+8 for two vectors at once, then i + i+4 for all four: each 128-bit quarter ends up with one vector's four partial sums.
        var ab = Avx512F.Shuffle4x128(a, b, 0b01_00_01_00) + Avx512F.Shuffle4x128(a, b, 0b11_10_11_10);
        var cd = Avx512F.Shuffle4x128(c, d, 0b01_00_01_00) + Avx512F.Shuffle4x128(c, d, 0b11_10_11_10);
        var quarters = Avx512F.Shuffle4x128(ab, cd, 0b10_00_10_00) + Avx512F.Shuffle4x128(ab, cd, 0b11_01_11_01);
        quarters += Avx512F.Permute4x32(quarters, 0b01_00_11_10);
        quarters += Avx512F.Permute4x32(quarters, 0b10_11_00_01);
        return Avx512F.PermuteVar16x32(quarters, Vector512.Create(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)).GetLower().GetLower();
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float MaxLane(Vector512<float> value)
    {
        var half = Vector256.Max(value.GetLower(), value.GetUpper());
        var quarter = Vector128.Max(half.GetLower(), half.GetUpper());
        return MathF.Max(MathF.Max(quarter[0], quarter[2]), MathF.Max(quarter[1], quarter[3]));
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
