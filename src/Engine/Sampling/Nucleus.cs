using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Conclave.Engine.Sampling;

/// <summary>
/// Top-p truncation (Holtzman et al., arXiv 1904.09751) without a sort: the smallest weight that stays is found by bisection. The bits of non-negative floats order as the floats
/// do, so that thirty halvings at most leave one value, and few weights are left to look at after the first of them.
/// </summary>
internal static class Nucleus
{
    /// <summary>Halvings between two looks at what is still in question.</summary>
    private const int StepsPerRound = 8;

    /// <summary>
    /// Keeps the fewest of the heaviest weights that together reach <paramref name="target"/>, of equal ones those of lowest id; zeroes the others.
    /// </summary>
    /// <param name="weights">Non-negative, whole vectors.</param>
    /// <param name="mass">Their sum.</param>
    /// <param name="target">Above 0, at most <paramref name="mass"/> but for rounding.</param>
    /// <param name="working">Working memory, as long as <paramref name="weights"/>.</param>
    public static void Keep(Span<float> weights, double mass, double target, Span<float> working)
    {
        // Of what is to go, weights below this are not the half, however many they are: none of them can be in the nucleus.
        float lightest = MathF.Max((float)(0.5 * (mass - target) / weights.Length), float.Epsilon);
        float heaviest = float.PositiveInfinity;
        double heavier = 0;
        ReadOnlySpan<float> open = weights;
        while (BitConverter.SingleToUInt32Bits(heaviest) - BitConverter.SingleToUInt32Bits(lightest) > 1)
        {
            int count = Lanes.Compact(open, lightest, heaviest, working, places: default);
            open = working[..count];
            double beyond = heavier;
            for (int step = 0; step < StepsPerRound && Middle(lightest, heaviest) is var middle && middle > lightest; step++)
            {
                double reached = beyond + MassFrom(open, middle);
                if (reached >= target)
                    lightest = middle;
                else
                    (heaviest, heavier) = (middle, reached);
            }
        }

        Truncate(weights, lightest, heavier, target);
    }

    /// <summary>The float in the middle of those between two, the lower one if there is none between them.</summary>
    private static float Middle(float low, float high)
    {
        uint lowBits = BitConverter.SingleToUInt32Bits(low), highBits = BitConverter.SingleToUInt32Bits(high);
        return BitConverter.UInt32BitsToSingle(lowBits + ((highBits - lowBits) / 2));
    }

    /// <summary>The sum of the weights that are at least <paramref name="floor"/>: sixteen lanes, then the lanes in order.</summary>
    private static double MassFrom(ReadOnlySpan<float> weights, float floor)
    {
        Vector512<float> floors = Vector512.Create(floor);
        Vector512<double> low = Vector512<double>.Zero;
        Vector512<double> high = Vector512<double>.Zero;
        for (int start = 0; start < weights.Length; start += Lanes.Width)
        {
            Vector512<float> vector = Lanes.Load(weights, start);
            vector = Vector512.ConditionalSelect(Vector512.GreaterThanOrEqual(vector, floors), vector, Vector512<float>.Zero);
            (Vector512<double> lower, Vector512<double> upper) = Vector512.Widen(vector);
            low += lower;
            high += upper;
        }

        return Lanes.Total(low + high);
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
}
