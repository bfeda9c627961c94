namespace Conclave.Grains;

/// <summary>EPLB's replication: where extra replicas do most good.</summary>
internal static class ExpertReplication
{
    /// <summary>
    /// Gives one more replica again and again to the expert with the largest load per replica (of equal ones the first), divided and compared as
    /// 32-bit floats as the published program does.
    /// </summary>
    /// <param name="weights">Load of each expert.</param>
    /// <param name="counts">Replicas of each expert, at least 1; raised in place.</param>
    /// <param name="extra">Replicas to give.</param>
    /// <param name="most">Replicas that one expert may have.</param>
    /// <returns>The experts in the order in which they were given a replica; fewer than <paramref name="extra"/> once all have the most.</returns>
    public static List<int> Grow(ReadOnlySpan<float> weights, int[] counts, int extra, int most = int.MaxValue)
    {
        var given = new List<int>(extra);
        var heaviest = new PriorityQueue<int, (float NegativeLoad, int Expert)>(counts.Length);
        for (int expert = 0; expert < counts.Length; expert++)
            if (counts[expert] < most) heaviest.Enqueue(expert, (-weights[expert] / counts[expert], expert));
        while (given.Count < extra && heaviest.TryDequeue(out int expert, out _))
        {
            given.Add(expert);
            if (++counts[expert] < most) heaviest.Enqueue(expert, (-weights[expert] / counts[expert], expert));
        }

        return given;
    }
}
