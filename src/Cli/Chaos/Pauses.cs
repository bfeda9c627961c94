using System.Diagnostics;

namespace Conclave.Cli.Chaos;

/// <summary>What happened to the cluster, and when; <see cref="Stopwatch"/> ticks.</summary>
/// <param name="Kind">What.</param>
/// <param name="Name">Whom.</param>
/// <param name="Began">When it was done.</param>
/// <param name="Ended">When the cluster was whole again.</param>
internal sealed record Disturbance(ChaosKind Kind, string Name, long Began, long Ended);

/// <summary>The middle, the worst but one in a hundred, and the worst of some pauses.</summary>
internal sealed record PauseSummary(int Count, double P50Ms, double P99Ms, double MaxMs)
{
    public static PauseSummary Of(IEnumerable<double> pausesMs)
    {
        double[] sorted = [.. pausesMs.Order()];
        return sorted.Length == 0 ? new PauseSummary(0, 0, 0, 0) : new PauseSummary(sorted.Length, At(sorted, 0.5), At(sorted, 0.99), sorted[^1]);
    }

    private static double At(double[] sorted, double share) => sorted[Math.Clamp((int)Math.Ceiling(share * sorted.Length) - 1, 0, sorted.Length - 1)];
}

/// <summary>How long streams stood still: pure functions over what was noted.</summary>
internal static class Pauses
{
    /// <summary>The median gap between two pieces of a stream, in milliseconds; 0 without any.</summary>
    public static double NormalGapMs(IEnumerable<Exchange> exchanges)
    {
        double[] gaps = [.. exchanges.SelectMany(exchange => exchange.Arrivals.Zip(exchange.Arrivals.Skip(1), (a, b) => Ms(b - a))).Order()];
        return gaps.Length == 0 ? 0 : gaps[gaps.Length / 2];
    }

    /// <summary>
    /// The longest time that any stream stood still because of <paramref name="disturbance"/>: of all streams that ran when it began, the longest gap
    /// between two pieces that reaches into the time until the cluster was whole again, less the normal gap. Null if no stream ran.
    /// </summary>
    public static double? LongestMs(Disturbance disturbance, IEnumerable<Exchange> exchanges, double normalGapMs)
    {
        double? longest = null;
        foreach (IReadOnlyList<long> arrivals in exchanges.Select(exchange => exchange.Arrivals))
        {
            if (arrivals.Count < 2 || arrivals[0] > disturbance.Began || arrivals[^1] < disturbance.Began) continue;
            for (int i = 1; i < arrivals.Count; i++)
                if (arrivals[i] > disturbance.Began && arrivals[i - 1] < disturbance.Ended)
                    longest = Math.Max(longest ?? 0, Ms(arrivals[i] - arrivals[i - 1]) - normalGapMs);
        }

        return longest;
    }

    private static double Ms(long ticks) => ticks * 1000.0 / Stopwatch.Frequency;
}
