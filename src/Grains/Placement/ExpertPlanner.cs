using Conclave.Model;

namespace Conclave.Grains;

/// <summary>Where experts go: pure functions from a model and slots to a map.</summary>
public static class ExpertPlanner
{
    /// <summary>
    /// One replica of every routed expert, dealt out to the slots in turn, so that no two slots differ by more than one expert in any layer. MTP
    /// layers count as layers.
    /// </summary>
    /// <param name="config">The model.</param>
    /// <param name="slotKeys">Slots that may hold experts, at least one if the model has routed experts.</param>
    /// <param name="version">Version of the new map.</param>
    /// <exception cref="ArgumentException">Experts but no slot.</exception>
    public static ExpertMap Plan(ModelConfig config, IReadOnlyList<string> slotKeys, long version)
    {
        int layers = config.LayerCount + config.NextTokenPredictLayers, experts = config.RoutedExpertCount;
        if (slotKeys.Count == 0 && experts > 0) throw new ArgumentException("no silo offers a slot for experts", nameof(slotKeys));
        var replicas = new int[layers * experts][];
        for (int layer = 0; layer < layers; layer++)
            for (int expert = 0; expert < experts; expert++)
                replicas[(layer * experts) + expert] = config.IsMoeLayer(layer) ? [expert % slotKeys.Count] : [];
        return new ExpertMap { Version = version, SlotKeys = [.. slotKeys], ExpertCount = experts, Replicas = replicas };
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
