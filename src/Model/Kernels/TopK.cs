using System.Runtime.CompilerServices;

namespace Conclave.Model.Kernels;

/// <summary>Choosing the k largest; of equal values the lower index wins.</summary>
public static unsafe class TopK
{
    /// <summary>Writes the indexes of the <paramref name="k"/> largest of <paramref name="count"/> (more than <paramref name="k"/>) values, ascending. NaN counts as smallest.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Select(float* values, int count, int k, int* indexes)
    {
        // The k-th largest value, byte by byte of its sortable bits; rest: how many of exactly that value belong to the chosen.
        uint prefix = 0;
        var rest = k;
        var histogram = stackalloc int[256];
        for (var shift = 24; shift >= 0; shift -= 8)
        {
            new Span<int>(histogram, 256).Clear();
            var above = shift == 24 ? 0 : uint.MaxValue << (shift + 8);
            for (var i = 0; i < count; i++)
            {
                var key = SortableBits(values[i]);
                if ((key & above) == prefix)
                    histogram[(key >> shift) & 255]++;
            }

            var digit = 255;
            while (histogram[digit] < rest)
                rest -= histogram[digit--];
            prefix |= (uint)digit << shift;
        }

        for (var i = 0; i < count; i++)
        {
            var key = SortableBits(values[i]);
            if (key > prefix || (key == prefix && rest-- > 0))
                *indexes++ = i;
        }
    }

    private static uint SortableBits(float value)
    {
        if (float.IsNaN(value))
            return 0;
        // Adding 0 turns -0 into +0, which is equal.
        var bits = BitConverter.SingleToUInt32Bits(value + 0f);
        return (bits & 0x80000000) != 0 ? ~bits : bits | 0x80000000;
    }
}
