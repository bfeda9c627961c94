namespace Conclave.Grains;

/// <summary>Where experts go: pure functions from a model, slots and loads to a map.</summary>
public static class ExpertPlanner
{
    /// <summary>
    /// A map for the input's slots that moves no more than it must: replicas stay where they are unless their slot is gone or has more than its share, or a
    /// silo, host or zone holds several replicas of an expert that could be apart. What is free to choose is chosen by load.
    /// </summary>
    /// <exception cref="ArgumentException">A field of the input is out of range; the message names it.</exception>
    public static PlacementPlan Plan(PlacementInput input)
    {
        input.Validate();
        return new ClusterPlacement(input).Plan(layer => layer.Keep());
    }

    /// <summary>
    /// A map that spreads the input's loads better than the previous one. Moves more than <see cref="Plan"/>, but only where the heaviest slot of a layer
    /// loses at least <paramref name="minGain"/> of its load.
    /// </summary>
    /// <param name="input">As for <see cref="Plan"/>.</param>
    /// <param name="minGain">Above 0, below 1.</param>
    /// <exception cref="ArgumentException">A field of the input is out of range; the message names it.</exception>
    public static PlacementPlan Rebalance(PlacementInput input, double minGain)
    {
        input.Validate();
        if (!(minGain is > 0 and < 1)) throw new ArgumentOutOfRangeException(nameof(minGain), minGain, "must be above 0 and below 1");
        return new ClusterPlacement(input).Plan(layer => layer.Rebalance(minGain));
    }

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
