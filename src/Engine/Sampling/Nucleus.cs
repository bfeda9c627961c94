using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Conclave.Engine.Sampling;

/// <summary>
/// Top-p truncation (Holtzman et al., arXiv 1904.09751) without a sort: the bits of non-negative floats order as the floats do, so the
/// smallest weight that stays is found digit by digit, each pass adding up the mass of one digit's values.
/// </summary>
internal static class Nucleus
{
    /// <summary>Buckets of the widest digit.</summary>
    public const int BucketCount = 1 << 12;

    /// <summary>
    /// Keeps the fewest of the heaviest weights that together reach <paramref name="target"/>, of equal ones those of lowest id; zeroes the others.
    /// </summary>
    /// <param name="weights">Non-negative, whole vectors.</param>
    /// <param name="mass">Their sum.</param>
    /// <param name="target">Above 0, at most <paramref name="mass"/> but for rounding.</param>
    /// <param name="heavy">Working memory, as long as <paramref name="weights"/>.</param>
    /// <param name="buckets">Working memory of <see cref="BucketCount"/>.</param>
    public static void Keep(Span<float> weights, double mass, double target, Span<float> heavy, Span<double> buckets)
    {
        // Of what is to go, weights below this are not the half, however many they are: none of them can be in the nucleus.
        float floor = MathF.Max((float)(0.5 * (mass - target) / weights.Length), float.Epsilon);
        heavy = heavy[..Lanes.Compact(weights, floor, heavy, places: default)];

        double heavier = 0;
        uint prefix = 0;
        prefix = Descend(heavy, prefix, shift: 20, width: 12, target, ref heavier, buckets);
        prefix = Descend(heavy, prefix, shift: 8, width: 12, target, ref heavier, buckets);
        float lightest = BitConverter.UInt32BitsToSingle(Descend(heavy, prefix, shift: 0, width: 8, target, ref heavier, buckets));
        Truncate(weights, lightest, heavier, target);
    }

    /// <summary>Zeroes what is lighter than <paramref name="lightest"/>, and of what is as light all that is not needed to get from <paramref name="kept"/> to the target.</summary>
    private static void Truncate(Span<float> weights, float lightest, double kept, double target)
    {
        Vector512<float> least = Vector512.Create(lightest);
        foreach (ref Vector512<float> vector in MemoryMarshal.Cast<float, Vector512<float>>(weights))
        {
            if (Vector512.EqualsAny(vector, least))
            {
                for (int i = 0; i < Lanes.Width; i++)
                {
                    if (vector[i] != lightest)
                        continue;
                    if (kept < target)
                        kept += lightest;
                    else
                        vector = vector.WithElement(i, 0);
                }
            }

            vector = Vector512.ConditionalSelect(Vector512.GreaterThanOrEqual(vector, least), vector, Vector512<float>.Zero);
        }
    }

    /// <summary>
    /// Among the weights whose bits begin with <paramref name="prefix"/>, finds the next digit of the one that reaches the target, and adds
    /// the mass of the heavier ones to <paramref name="heavier"/>.
    /// </summary>
    private static uint Descend(ReadOnlySpan<float> weights, uint prefix, int shift, int width, double target, ref double heavier, Span<double> buckets)
    {
        buckets.Clear();
        uint mask = (1u << width) - 1;
        foreach (float weight in weights)
        {
            ulong bits = BitConverter.SingleToUInt32Bits(weight);
            if (bits >> (shift + width) == prefix)
                buckets[(int)((bits >> shift) & mask)] += weight;
        }

        uint lightest = mask;
        double mass = 0;
        for (int digit = (int)mask; digit >= 0; digit--)
        {
            if (buckets[digit] == 0)
                continue;

            // Added one digit late: should rounding keep the sum below the target, the lightest there is must not count as heavier.
            heavier += mass;
            mass = buckets[digit];
            lightest = (uint)digit;
            if (heavier + mass >= target)
                break;
        }

        return (prefix << width) | lightest;
    }
}
