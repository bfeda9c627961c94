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
    /// Keeps the fewest of the heaviest weights that together reach <paramref name="target"/>, of equal ones those of lowest id; zeroes the
    /// others. Returns the mass kept.
    /// </summary>
    /// <param name="weights">Non-negative.</param>
    /// <param name="target">Above 0, at most their sum.</param>
    /// <param name="buckets">Working memory of <see cref="BucketCount"/>.</param>
    public static double Keep(Span<float> weights, double target, Span<double> buckets)
    {
        double heavier = 0;
        uint prefix = 0;
        prefix = Descend(weights, prefix, shift: 20, width: 12, target, ref heavier, buckets);
        prefix = Descend(weights, prefix, shift: 8, width: 12, target, ref heavier, buckets);
        float lightest = BitConverter.UInt32BitsToSingle(Descend(weights, prefix, shift: 0, width: 8, target, ref heavier, buckets));

        double kept = heavier;
        foreach (ref float weight in weights)
        {
            if (weight > lightest)
                continue;
            if (weight == lightest && kept < target)
                kept += weight;
            else
                weight = 0;
        }

        return kept;
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
            if (weight != 0 && bits >> (shift + width) == prefix)
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
