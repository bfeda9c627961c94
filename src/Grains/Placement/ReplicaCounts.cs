namespace Conclave.Grains;

/// <summary>How many replicas each expert of a layer gets.</summary>
internal static class ReplicaCounts
{
    /// <summary>
    /// Counts that add up to <paramref name="total"/>. Every expert gets one before any gets two, and the wished minimum before any gets more; what is left
    /// goes to the hottest as in EPLB. Replicas that are there stay where that leaves them a place.
    /// </summary>
    /// <param name="loads">Load of each expert.</param>
    /// <param name="there">Replicas of each expert to keep if possible; zeros to count anew.</param>
    /// <param name="total">Replicas that the slots take.</param>
    /// <param name="minimum">Wished replicas of each expert.</param>
    /// <param name="most">Replicas that an expert can have: the slots.</param>
    public static int[] Of(double[] loads, int[] there, int total, int minimum, int most)
    {
        int experts = loads.Length, sure = Math.Min(minimum, total / experts);
        // Not enough for all to have the minimum: nobody gets more than one above the others.
        if (sure < minimum) most = sure + 1;
        int[] counts = [.. there.Select(count => Math.Clamp(count, sure, most))];
        int given = counts.Sum();
        for (; given > total; given--) counts[Coldest(loads, counts, sure)]--;
        if (sure == 0)
        {
            foreach (int expert in Enumerable.Range(0, experts).Where(expert => counts[expert] == 0).OrderByDescending(expert => loads[expert]).Take(total - given)) counts[expert] = 1;
            return counts;
        }

        ExpertReplication.Grow([.. loads.Select(load => (float)load)], counts, total - given, most);
        return counts;
    }

    /// <summary>The expert whose replicas are the least loaded once it has one less.</summary>
    private static int Coldest(double[] loads, int[] counts, int sure)
    {
        int coldest = -1;
        double least = 0;
        for (int expert = 0; expert < counts.Length; expert++)
        {
            if (counts[expert] <= sure) continue;
            double left = loads[expert] / Math.Max(counts[expert] - 1, 1);
            if (coldest >= 0 && left >= least) continue;
            (coldest, least) = (expert, left);
        }

        return coldest;
    }
}
