using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Conclave.Model.Kernels;

namespace Conclave.Engine.Sampling;

/// <summary>Passes over a vocabulary, sixteen values at a time. All results have the same bits on every machine.</summary>
internal static class Lanes
{
    /// <summary>Values of one vector.</summary>
    public const int Width = 16;

    /// <summary>Values of one block of <see cref="FillMaxima"/>.</summary>
    public const int BlockLength = 64;

    /// <summary>Values of one partial sum of <see cref="Sum"/>.</summary>
    public const int SumLength = 1024;

    /// <summary><paramref name="count"/> rounded up to whole vectors.</summary>
    public static int Padded(int count) => (count + Width - 1) / Width * Width;

    /// <summary>Blocks of <paramref name="count"/> values.</summary>
    public static int BlockCount(int count) => (count + BlockLength - 1) / BlockLength;

    /// <summary>The sixteen values from <paramref name="start"/>; negative infinity behind the end.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Load(ReadOnlySpan<float> values, int start) => start + Width <= values.Length
        ? Vector512.LoadUnsafe(ref MemoryMarshal.GetReference(values), (nuint)start)
        : LoadTail(values[start..]);

    /// <summary>Writes the largest value of each block to <paramref name="maxima"/> and returns the largest of all; NaN if one is NaN.</summary>
    public static float FillMaxima(ReadOnlySpan<float> values, Span<float> maxima)
    {
        float largest = float.NegativeInfinity;
        for (int block = 0; block < maxima.Length; block++)
        {
            int start = block * BlockLength, end = Math.Min(start + BlockLength, values.Length);
            // The native maximum passes over NaN, which has to be seen by itself.
            Vector512<float> best = Load(values, start);
            Vector512<float> isNumber = Vector512.Equals(best, best);
            for (int i = start + Width; i < end; i += Width)
            {
                Vector512<float> vector = Load(values, i);
                isNumber &= Vector512.Equals(vector, vector);
                best = Vector512.MaxNative(best, vector);
            }

            maxima[block] = isNumber.AsUInt32() == Vector512<uint>.AllBitsSet ? Max(best) : float.NaN;
            largest = MathF.Max(largest, maxima[block]);
        }

        return largest;
    }

    /// <summary>The first of <paramref name="values"/> that is <paramref name="largest"/>, by what <see cref="FillMaxima"/> found.</summary>
    public static int FirstOf(ReadOnlySpan<float> values, float largest, ReadOnlySpan<float> maxima)
    {
        int block = 0;
        while (maxima[block] != largest)
            block++;
        int first = block * BlockLength;
        while (values[first] != largest)
            first++;
        return first;
    }

    /// <summary>
    /// Copies the values that are at least <paramref name="floor"/> and below <paramref name="ceiling"/> to <paramref name="kept"/>, which may be where they are, and, if there is room for
    /// them, their places to <paramref name="places"/>; returns how many.
    /// </summary>
    public static int Compact(ReadOnlySpan<float> values, float floor, float ceiling, Span<float> kept, Span<int> places)
    {
        int count = 0;
        Vector512<float> floors = Vector512.Create(floor);
        Vector512<float> ceilings = Vector512.Create(ceiling);
        for (int start = 0; start < values.Length; start += Width)
        {
            Vector512<float> vector = Load(values, start);
            ulong bits = (Vector512.GreaterThanOrEqual(vector, floors) & Vector512.LessThan(vector, ceilings)).ExtractMostSignificantBits();
            if (bits == 0xFFFF && places.IsEmpty)
            {
                vector.StoreUnsafe(ref kept[count]);
                count += Width;
                continue;
            }

            for (; bits != 0; bits &= bits - 1)
            {
                int place = start + BitOperations.TrailingZeroCount(bits);
                if (!places.IsEmpty)
                    places[count] = place;
                kept[count++] = values[place];
            }
        }

        return count;
    }

    /// <summary>
    /// Writes <c>exp((logit - max) / temperature)</c> of every logit, and 0 for those below <paramref name="least"/>; whole vectors, so that what is behind the logits gets 0 too.
    /// </summary>
    public static void Weigh(ReadOnlySpan<float> logits, Span<float> weights, float max, float temperature, float least)
    {
        // One division in all: temperatures are far from where their reciprocal is infinite.
        Vector512<float> inverse = Vector512.Create(1 / temperature);
        Vector512<float> maxima = Vector512.Create(max);
        Vector512<float> floors = Vector512.Create(least);
        for (int start = 0; start < logits.Length; start += Width)
        {
            Vector512<float> weight = Elementwise.Exp<Vector512Lanes, Vector512<float>>((Load(logits, start) - maxima) * inverse);
            weight = Vector512.ConditionalSelect(Vector512.GreaterThanOrEqual(weight, floors), weight, Vector512<float>.Zero);
            weight.StoreUnsafe(ref weights[start]);
        }
    }

    /// <summary>The sum of <paramref name="values"/> (whole vectors) in double precision: <see cref="PartialSum"/> after the other.</summary>
    public static double Sum(ReadOnlySpan<float> values)
    {
        double sum = 0;
        for (int start = 0; start < values.Length; start += SumLength)
            sum += PartialSum(values, start);
        return sum;
    }

    /// <summary>The sum of the <see cref="SumLength"/> values from <paramref name="start"/>, or what there is: sixteen lanes, then the lanes in order.</summary>
    public static double PartialSum(ReadOnlySpan<float> values, int start)
    {
        Vector512<double> low = Vector512<double>.Zero;
        Vector512<double> high = Vector512<double>.Zero;
        ReadOnlySpan<float> part = values.Slice(start, Math.Min(SumLength, values.Length - start));
        foreach (Vector512<float> vector in MemoryMarshal.Cast<float, Vector512<float>>(part))
        {
            (Vector512<double> lower, Vector512<double> upper) = Vector512.Widen(vector);
            low += lower;
            high += upper;
        }

        return Total(low + high);
    }

    /// <summary>The lanes' sum, in order.</summary>
    public static double Total(Vector512<double> lanes)
    {
        double sum = 0;
        for (int i = 0; i < Vector512<double>.Count; i++)
            sum += lanes[i];
        return sum;
    }

    private static float Max(Vector512<float> vector)
    {
        Vector256<float> eight = Vector256.Max(vector.GetLower(), vector.GetUpper());
        Vector128<float> four = Vector128.Max(eight.GetLower(), eight.GetUpper());
        return MathF.Max(MathF.Max(four[0], four[1]), MathF.Max(four[2], four[3]));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Vector512<float> LoadTail(ReadOnlySpan<float> rest)
    {
        Span<float> padded = stackalloc float[Width];
        padded.Fill(float.NegativeInfinity);
        rest.CopyTo(padded);
        return Vector512.Create<float>(padded);
    }
}
