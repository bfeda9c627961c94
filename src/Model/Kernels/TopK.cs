using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Conclave.Model.Kernels;

/// <summary>Choosing the k largest; of equal values the lower index wins.</summary>
public static unsafe class TopK
{
    // The bits of a key that each pass looks at, from the top: 11, 11 and 10.
    private const int FirstShift = 21;
    private const int SecondShift = 10;
    private const int Bins = 1 << 11;

    /// <summary>
    /// Writes the indexes of the <paramref name="k"/> largest of <paramref name="count"/> (more than <paramref name="k"/>) values, ascending. NaN counts as smallest. Linear: a pass over all values finds the
    /// bin that the k-th largest falls into, two more look into that bin alone, a last one writes.
    /// </summary>
    public static void Select(float* values, int count, int k, int* indexes)
    {
        var histogram = stackalloc int[Bins];
        var rest = k;
        CountAll(values, count, histogram);
        var prefix = Find(histogram, Bins, ref rest);
        Count(values, count, FirstShift, SecondShift, prefix, Bins, histogram);
        prefix = (prefix << (FirstShift - SecondShift)) | Find(histogram, Bins, ref rest);
        Count(values, count, SecondShift, 0, prefix, 1 << SecondShift, histogram);
        prefix = (prefix << SecondShift) | Find(histogram, 1 << SecondShift, ref rest);
        Write(values, count, prefix, rest, indexes);
    }

    /// <summary>The highest bin with which at least <paramref name="rest"/> values are counted; takes off those above it.</summary>
    private static uint Find(int* histogram, int bins, ref int rest)
    {
        var bin = bins - 1;
        while (histogram[bin] < rest)
            rest -= histogram[bin--];
        return (uint)bin;
    }

    /// <summary>Counts the uppermost bits of all keys.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CountAll(float* values, int count, int* histogram)
    {
        new Span<int>(histogram, Bins).Clear();
        // Two histograms: neighbours often fall into the same bin, and an increment waits for the one before it.
        var odd = stackalloc int[Bins];
        new Span<int>(odd, Bins).Clear();
        var bins = stackalloc uint[Lanes.Count];
        var i = 0;
        for (; i + Lanes.Count <= count; i += Lanes.Count)
        {
            (SortableBits(Vector512.Load(values + i)) >> FirstShift).Store(bins);
            for (var j = 0; j < Lanes.Count; j += 2)
            {
                histogram[bins[j]]++;
                odd[bins[j + 1]]++;
            }
        }

        for (; i < count; i++)
            histogram[SortableBits(values[i]) >> FirstShift]++;
        for (var bin = 0; bin < Bins; bin++)
            histogram[bin] += odd[bin];
    }

    /// <summary>Counts the bits from <paramref name="shift"/> up of the keys whose bits from <paramref name="prefixShift"/> up are <paramref name="prefix"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Count(float* values, int count, int prefixShift, int shift, uint prefix, int bins, int* histogram)
    {
        new Span<int>(histogram, bins).Clear();
        var mask = (uint)bins - 1;
        var wanted = Vector512.Create(prefix);
        var i = 0;
        for (; i + Lanes.Count <= count; i += Lanes.Count)
        {
            var hits = Vector512.Equals(SortableBits(Vector512.Load(values + i)) >> prefixShift, wanted).ExtractMostSignificantBits();
            for (; hits != 0; hits &= hits - 1)
                histogram[(SortableBits(values[i + (int)ulong.TrailingZeroCount(hits)]) >> shift) & mask]++;
        }

        for (; i < count; i++)
        {
            var key = SortableBits(values[i]);
            if (key >> prefixShift == prefix)
                histogram[(key >> shift) & mask]++;
        }
    }

    /// <summary>Writes the indexes of keys above <paramref name="threshold"/>, and the first <paramref name="ties"/> of those equal to it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Write(float* values, int count, uint threshold, int ties, int* indexes)
    {
        var wanted = Vector512.Create(threshold);
        var i = 0;
        for (; i + Lanes.Count <= count; i += Lanes.Count)
        {
            var hits = Vector512.GreaterThanOrEqual(SortableBits(Vector512.Load(values + i)), wanted).ExtractMostSignificantBits();
            for (; hits != 0; hits &= hits - 1)
            {
                var index = i + (int)ulong.TrailingZeroCount(hits);
                if (SortableBits(values[index]) > threshold || ties-- > 0)
                    *indexes++ = index;
            }
        }

        for (; i < count; i++)
        {
            var key = SortableBits(values[i]);
            if (key > threshold || (key == threshold && ties-- > 0))
                *indexes++ = i;
        }
    }

    /// <summary>Bits that sort as unsigned integers as the values do.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> SortableBits(Vector512<float> value)
    {
        // Adding 0 turns -0 into +0, which is equal.
        var bits = (value + Vector512<float>.Zero).AsInt32();
        var keys = (bits ^ ((bits >> 31) | Vector512.Create(int.MinValue))).AsUInt32();
        return keys & Vector512.Equals(value, value).AsUInt32();
    }

    private static uint SortableBits(float value)
    {
        if (float.IsNaN(value))
            return 0;
        var bits = BitConverter.SingleToUInt32Bits(value + 0f);
        return (bits & 0x80000000) != 0 ? ~bits : bits | 0x80000000;
    }
}
