using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Conclave.Model.Kernels;

/// <summary>
/// Sixteen float32 lanes. Every kernel is written once against this interface, and a tier is one implementation of it; each operation is a
/// correctly rounded IEEE one, lane by lane, so that all tiers give the same bits.
/// </summary>
/// <typeparam name="TVector">What holds the lanes.</typeparam>
public unsafe interface ILanes<TVector>
    where TVector : unmanaged
{
    /// <summary>All lanes <paramref name="value"/>.</summary>
    static abstract TVector Broadcast(float value);

    /// <summary>Sixteen floats; any alignment.</summary>
    static abstract TVector Load(float* source);

    /// <summary>Sixteen bfloat16, widened exactly.</summary>
    static abstract TVector LoadBf16(ushort* source);

    /// <summary>Those of even place among thirty-two bfloat16, widened exactly.</summary>
    static abstract TVector LoadBf16Even(ushort* source);

    /// <summary>Those of odd place among thirty-two bfloat16, widened exactly.</summary>
    static abstract TVector LoadBf16Odd(ushort* source);

    /// <summary>Sixteen binary16, widened exactly.</summary>
    static abstract TVector LoadF16(ushort* source);

    /// <summary>Sixteen E4M3FN codes, widened exactly; 0x7F and 0xFF become NaN.</summary>
    static abstract TVector LoadE4M3(byte* source);

    /// <summary>E4M3FN codes to bfloat16 in the order of <see cref="E4M3Codes"/>, filled up with zeros to a multiple of 64.</summary>
    static abstract void UnpackE4M3(byte* source, int count, ushort* destination);

    /// <summary>Writes sixteen floats; any alignment.</summary>
    static abstract void Store(TVector value, float* destination);

    /// <summary><c>a + b</c>.</summary>
    static abstract TVector Add(TVector a, TVector b);

    /// <summary><c>a - b</c>.</summary>
    static abstract TVector Subtract(TVector a, TVector b);

    /// <summary><c>a * b</c>.</summary>
    static abstract TVector Multiply(TVector a, TVector b);

    /// <summary><c>a / b</c>.</summary>
    static abstract TVector Divide(TVector a, TVector b);

    /// <summary><c>a * b + c</c>, rounded once.</summary>
    static abstract TVector FusedMultiplyAdd(TVector a, TVector b, TVector c);

    /// <summary>The larger of both, NaN if either is.</summary>
    static abstract TVector Max(TVector a, TVector b);

    /// <summary>The smaller of both, NaN if either is.</summary>
    static abstract TVector Min(TVector a, TVector b);

    /// <summary><c>a &lt; b ? ifTrue : ifFalse</c>.</summary>
    static abstract TVector SelectLess(TVector a, TVector b, TVector ifTrue, TVector ifFalse);

    /// <summary><c>value * 2^exponent</c> for integral exponents that keep the result a normal number: added to the exponent bits.</summary>
    static abstract TVector ScaleByPowerOfTwo(TVector value, TVector exponent);

    /// <summary>Sum of the lanes in the fixed order that <see cref="Lanes.Sum"/> spells out.</summary>
    static abstract float Sum(TVector value);

    /// <summary>The sums of four vectors, each in the order of <see cref="Sum(TVector)"/>.</summary>
    static abstract Vector128<float> Sum(TVector a, TVector b, TVector c, TVector d);

    /// <summary>The sums of sixteen vectors, each in the order of <see cref="Sum(TVector)"/>: lane 4 r + o is that of the vector named r, o.</summary>
    static abstract TVector Sum(
        TVector a00, TVector a01, TVector a02, TVector a03, TVector a10, TVector a11, TVector a12, TVector a13, TVector a20, TVector a21, TVector a22, TVector a23, TVector a30, TVector a31, TVector a32, TVector a33);

    /// <summary>The largest lane, NaN if one is.</summary>
    static abstract float MaxLane(TVector value);
}

/// <summary>Partial vectors, and the order of sums that all tiers share.</summary>
public static unsafe class Lanes
{
    /// <summary>Lanes of a vector, in every tier.</summary>
    public const int Count = 16;

    /// <summary>
    /// The order of a horizontal sum: lane i + lane i+8, of those i + i+4, then i + i+2, then the last two. <paramref name="lanes"/> is overwritten.
    /// </summary>
    public static float Sum(Span<float> lanes)
    {
        for (var half = Count / 2; half > 0; half /= 2)
        {
            for (var i = 0; i < half; i++)
                lanes[i] += lanes[i + half];
        }

        return lanes[0];
    }

    /// <summary>Sixteen sums, four at a time.</summary>
    public static TVector Join<TLanes, TVector>(Vector128<float> first, Vector128<float> second, Vector128<float> third, Vector128<float> fourth)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        var sums = stackalloc float[Count];
        first.Store(sums);
        second.Store(sums + 4);
        third.Store(sums + 8);
        fourth.Store(sums + 12);
        return TLanes.Load(sums);
    }

    /// <summary>The first <paramref name="count"/> (1 to 15) elements of <typeparamref name="TFormat"/>, the other lanes 0; reads nothing behind them.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static TVector LoadPartial<TLanes, TVector, TFormat>(byte* source, int count)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        var padded = stackalloc byte[Count * sizeof(float)];
        NativeMemory.Clear(padded, Count * sizeof(float));
        NativeMemory.Copy(source, padded, (nuint)(count * TFormat.SizeBytes));
        return TFormat.Load<TLanes, TVector>(padded);
    }

    /// <summary>The first <paramref name="count"/> floats, the other lanes 0.</summary>
    public static TVector LoadPartial<TLanes, TVector>(float* source, int count)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        LoadPartial<TLanes, TVector, F32Format>((byte*)source, count);

    /// <summary>Writes the first <paramref name="count"/> lanes.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void StorePartial<TLanes, TVector>(TVector value, float* destination, int count)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        var padded = stackalloc float[Count];
        TLanes.Store(value, padded);
        NativeMemory.Copy(padded, destination, (nuint)(count * sizeof(float)));
    }
}
