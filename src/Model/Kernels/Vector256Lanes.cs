using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Conclave.Model.Kernels;

/// <summary>Lanes 0 to 7 and 8 to 15.</summary>
public struct Vector256Pair(Vector256<float> lower, Vector256<float> upper)
{
    /// <summary>Lanes 0 to 7.</summary>
    public Vector256<float> Lower = lower;

    /// <summary>Lanes 8 to 15.</summary>
    public Vector256<float> Upper = upper;
}

/// <summary>Two 256-bit vectors: for processors with AVX2 and FMA (or two pairs of 128 bits on Arm) but no 512-bit registers.</summary>
public readonly unsafe struct Vector256Lanes : ILanes<Vector256Pair>
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256Pair Broadcast(float value) => new(Vector256.Create(value), Vector256.Create(value));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256Pair Load(float* source) => new(Vector256.Load(source), Vector256.Load(source + 8));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256Pair LoadBf16(ushort* source)
    {
        var (lower, upper) = Vector256.Widen(Vector256.Load(source));
        return new((lower << 16).AsSingle(), (upper << 16).AsSingle());
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256Pair LoadBf16Even(ushort* source) => new((Vector256.Load((uint*)source) << 16).AsSingle(), (Vector256.Load((uint*)source + 8) << 16).AsSingle());

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256Pair LoadBf16Odd(ushort* source)
    {
        var high = Vector256.Create(0xFFFF0000);
        return new((Vector256.Load((uint*)source) & high).AsSingle(), (Vector256.Load((uint*)source + 8) & high).AsSingle());
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256Pair LoadF16(ushort* source)
    {
        var (lower, upper) = Vector256.Widen(Vector256.Load(source));
        return new(FromHalf(lower), FromHalf(upper));
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256Pair LoadE4M3(byte* source)
    {
        var (lower, upper) = Vector128.Widen(Vector128.Load(source));
        return new(FromE4M3(Vector256.Create(Vector128.WidenLower(lower), Vector128.WidenUpper(lower))), FromE4M3(Vector256.Create(Vector128.WidenLower(upper), Vector128.WidenUpper(upper))));
    }

    /// <inheritdoc/>
    public static void UnpackE4M3(byte* source, int count, ushort* destination) => E4M3Codes.Short(source, count, destination);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector256Pair value, float* destination)
    {
        value.Lower.Store(destination);
        value.Upper.Store(destination + 8);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256Pair Add(Vector256Pair a, Vector256Pair b) => new(a.Lower + b.Lower, a.Upper + b.Upper);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256Pair Subtract(Vector256Pair a, Vector256Pair b) => new(a.Lower - b.Lower, a.Upper - b.Upper);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256Pair Multiply(Vector256Pair a, Vector256Pair b) => new(a.Lower * b.Lower, a.Upper * b.Upper);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256Pair Divide(Vector256Pair a, Vector256Pair b) => new(a.Lower / b.Lower, a.Upper / b.Upper);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256Pair FusedMultiplyAdd(Vector256Pair a, Vector256Pair b, Vector256Pair c) =>
        new(Vector256.FusedMultiplyAdd(a.Lower, b.Lower, c.Lower), Vector256.FusedMultiplyAdd(a.Upper, b.Upper, c.Upper));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256Pair Max(Vector256Pair a, Vector256Pair b) => new(Vector256.Max(a.Lower, b.Lower), Vector256.Max(a.Upper, b.Upper));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256Pair Min(Vector256Pair a, Vector256Pair b) => new(Vector256.Min(a.Lower, b.Lower), Vector256.Min(a.Upper, b.Upper));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256Pair SelectLess(Vector256Pair a, Vector256Pair b, Vector256Pair ifTrue, Vector256Pair ifFalse) =>
        new(
            Vector256.ConditionalSelect(Vector256.LessThan(a.Lower, b.Lower), ifTrue.Lower, ifFalse.Lower),
            Vector256.ConditionalSelect(Vector256.LessThan(a.Upper, b.Upper), ifTrue.Upper, ifFalse.Upper));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256Pair ScaleByPowerOfTwo(Vector256Pair value, Vector256Pair exponent) =>
        new(
            (value.Lower.AsInt32() + (Vector256.ConvertToInt32Native(exponent.Lower) << 23)).AsSingle(),
            (value.Upper.AsInt32() + (Vector256.ConvertToInt32Native(exponent.Upper) << 23)).AsSingle());

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Vector256Pair value) => Vector512Lanes.SumQuarter(value.Lower + value.Upper);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Sum(Vector256Pair a, Vector256Pair b, Vector256Pair c, Vector256Pair d) =>
        Vector128.Create(Sum(a), Sum(b), Sum(c), Sum(d));

    /// <inheritdoc/>
    public static Vector256Pair Sum(
        Vector256Pair a00, Vector256Pair a01, Vector256Pair a02, Vector256Pair a03, Vector256Pair a10, Vector256Pair a11, Vector256Pair a12, Vector256Pair a13, Vector256Pair a20, Vector256Pair a21, Vector256Pair a22, Vector256Pair a23, Vector256Pair a30, Vector256Pair a31, Vector256Pair a32, Vector256Pair a33) =>
        Lanes.Join<Vector256Lanes, Vector256Pair>(Sum(a00, a01, a02, a03), Sum(a10, a11, a12, a13), Sum(a20, a21, a22, a23), Sum(a30, a31, a32, a33));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float MaxLane(Vector256Pair value) => Vector512Lanes.MaxLane(Vector512.Create(value.Lower, value.Upper));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> FromHalf(Vector256<uint> half)
    {
        var magnitude = half & Vector256.Create(0x7FFFu);
        var finite = ((magnitude << 13).AsSingle() * Vector256.Create(5.192296858534828e33f)).AsUInt32();
        var special = (magnitude << 13) | Vector256.Create(0x7F800000u);
        var bits = Vector256.ConditionalSelect(Vector256.GreaterThanOrEqual(magnitude, Vector256.Create(0x7C00u)), special, finite);
        return (bits | ((half & Vector256.Create(0x8000u)) << 16)).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> FromE4M3(Vector256<uint> code)
    {
        var magnitude = code & Vector256.Create(0x7Fu);
        var normal = ((magnitude << 20) + Vector256.Create(120u << 23)).AsSingle();
        var subnormal = normal + normal - Vector256.Create(0.015625f);
        var value = Vector256.ConditionalSelect(Vector256.LessThan(magnitude, Vector256.Create(8u)).AsSingle(), subnormal, normal);
        value = Vector256.ConditionalSelect(Vector256.Equals(magnitude, Vector256.Create(0x7Fu)).AsSingle(), Vector256.Create(0x7FC00000u).AsSingle(), value);
        return (value.AsUInt32() | ((code & Vector256.Create(0x80u)) << 24)).AsSingle();
    }
}
