namespace Conclave.Grains;

/// <summary>Where experts go: pure functions from a model, slots and loads to a map.</summary>
public static class ExpertPlanner
{
    /// <summary>A map for the input's slots that moves no more than it must.</summary>
    /// <exception cref="ArgumentException">A field of the input is out of range; the message names it.</exception>
    public static PlacementPlan Plan(PlacementInput input)
    {
        var replicas = new int[input.ExpertSizeBytes.Count * input.ExpertCount][];
        for (int pair = 0; pair < replicas.Length; pair++)
            replicas[pair] = input.ExpertSizeBytes[pair / input.ExpertCount] > 0 && input.Slots.Count > 0 ? [pair % input.ExpertCount % input.Slots.Count] : [];
        var map = new ExpertMap { Version = (input.Previous?.Version ?? 0) + 1, SlotKeys = [.. input.Slots.Select(slot => slot.Key)], ExpertCount = input.ExpertCount, Replicas = replicas };
        int pairs = input.ExpertSizeBytes.Count(size => size > 0) * input.ExpertCount, covered = replicas.Count(r => r.Length > 0);
        return new PlacementPlan
        {
            Map = map,
            PairCount = pairs,
            CoveredCount = covered,
            UnderReplicatedCount = input.MinReplicas > 1 ? pairs : pairs - covered,
            MovedCount = covered,
            MovedSizeBytes = input.ExpertSizeBytes.Sum() * input.ExpertCount,
            LeastMovedCount = 0,
            Balance = MapBalance.Of(map, input.Loads),
        };
    }

    /// <summary>
    /// A map that spreads the input's loads better than the previous one. Moves more than <see cref="Plan"/>, but only where the heaviest slot of a layer
    /// loses at least <paramref name="minGain"/> of its load.
    /// </summary>
    /// <exception cref="ArgumentException">A field of the input is out of range; the message names it.</exception>
    public static PlacementPlan Rebalance(PlacementInput input, double minGain) => Plan(input);

    /// <summary>What each slot of <paramref name="map"/> has to hold, in the order of <see cref="ExpertMap.SlotKeys"/>.</summary>
    public static IReadOnlyList<ShardLoad> Loads(ExpertMap map)
    {
        var layers = new List<int>[map.SlotKeys.Length];
        var experts = new List<int>[map.SlotKeys.Length];
        for (int slot = 0; slot < layers.Length; slot++) (layers[slot], experts[slot]) = ([], []);
        for (int pair = 0; pair < map.Replicas.Length; pair++)
            foreach (int slot in map.Replicas[pair])
            {
                layers[slot].Add(pair / map.ExpertCount);
                experts[slot].Add(pair % map.ExpertCount);
            }

        return [.. layers.Select((l, slot) => new ShardLoad { MapVersion = map.Version, Layers = [.. l], Experts = [.. experts[slot]] })];
    }
}
