namespace Conclave.Grains;

/// <summary>
/// How evenly a map spreads load. A replica carries its expert's load divided by the expert's replicas. Layers run one after another, each as slow as its
/// heaviest slot, so maxima are taken in each layer and then added up.
/// </summary>
/// <param name="MaxLoad">Sum over the layers of the heaviest slot's load.</param>
/// <param name="MeanLoad">Sum over the layers of the mean slot's load.</param>
/// <param name="SlotLoads">Load of each slot, all layers.</param>
public sealed record MapBalance(double MaxLoad, double MeanLoad, IReadOnlyList<double> SlotLoads)
{
    /// <summary>Maximum over mean: 1 is even; 1 where there is no load.</summary>
    public double Ratio => MeanLoad > 0 ? MaxLoad / MeanLoad : 1;

    /// <summary>The balance of <paramref name="map"/> under <paramref name="loads"/>, <c>[layer * ExpertCount + expert]</c>; null means that all experts are alike.</summary>
    /// <exception cref="ArgumentException">Another number of loads than the map has experts.</exception>
    public static MapBalance Of(ExpertMap map, IReadOnlyList<double>? loads)
    {
        if (loads is not null && loads.Count != map.Replicas.Length)
            throw new ArgumentException($"loads: {loads.Count} values for {map.Replicas.Length} experts of the map", nameof(loads));
        int slots = map.SlotKeys.Length, layers = map.ExpertCount == 0 ? 0 : map.Replicas.Length / map.ExpertCount;
        double[] totals = new double[slots], layerLoads = new double[slots];
        double max = 0, mean = 0;
        for (int layer = 0; slots > 0 && layer < layers; layer++)
        {
            Array.Clear(layerLoads);
            for (int pair = layer * map.ExpertCount; pair < (layer + 1) * map.ExpertCount; pair++)
                foreach (int slot in map.Replicas[pair]) layerLoads[slot] += (loads?[pair] ?? 1) / map.Replicas[pair].Length;
            max += layerLoads.Max();
            mean += layerLoads.Sum() / slots;
            for (int slot = 0; slot < slots; slot++) totals[slot] += layerLoads[slot];
        }

        return new MapBalance(max, mean, totals);
    }
}
