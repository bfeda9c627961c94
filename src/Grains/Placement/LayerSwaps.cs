using System.Runtime.CompilerServices;

namespace Conclave.Grains;

/// <summary>Lowers the heaviest slot of a layer by swapping replicas with lighter slots.</summary>
internal static class LayerSwaps
{
    // Closer to the mean no step gets measurably faster, and the search takes long.
    private const double GoodEnough = 1.005, LeastStep = 0.001;

    /// <summary>Swaps that need no more loading and leave the experts on as many silos, hosts and zones.</summary>
    public static void Free(LayerPlacement layer)
    {
        double goodEnough = layer.SlotLoads.Sum() / layer.SlotLoads.Length * GoodEnough;
        while (layer.SlotLoads.Max() > goodEnough && Best(layer, mostCost: 0) is { } swap) layer.Swap(swap.Mine, swap.Heavy, swap.Theirs, swap.Light);
    }

    /// <summary>
    /// Any swaps, as long as they pay: those after the last one that lowered the maximum by a part of <paramref name="minGain"/> are taken back, and there is
    /// none once the maximum is so close to the mean that no such gain is left.
    /// </summary>
    public static void Paid(LayerPlacement layer, double minGain)
    {
        var tried = new Stack<(int Heavy, int Mine, int Light, int Theirs)>();
        double mean = layer.SlotLoads.Sum() / layer.SlotLoads.Length, reached = layer.SlotLoads.Max();
        while (layer.SlotLoads.Max() > mean * (1 + (minGain / 2)) && Best(layer, mostCost: 2) is { } swap)
        {
            layer.Swap(swap.Mine, swap.Heavy, swap.Theirs, swap.Light);
            tried.Push(swap);
            if (layer.SlotLoads.Max() > reached * (1 - (minGain / 4))) continue;
            reached = layer.SlotLoads.Max();
            tried.Clear();
        }

        while (tried.TryPop(out var swap)) layer.Swap(swap.Theirs, swap.Heavy, swap.Mine, swap.Light);
        Free(layer);
    }

    // Called seldom, but then with many rounds: waiting for the optimizer would cost more than the search.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static (int Heavy, int Mine, int Light, int Theirs)? Best(LayerPlacement layer, int mostCost)
    {
        double[] slotLoads = layer.SlotLoads, loads = layer.Load;
        int heavy = Array.IndexOf(slotLoads, slotLoads.Max());
        // Steps so small that nobody would notice are not worth the search; without a limit, rounding could even send swaps round in circles.
        double best = slotLoads[heavy] * (1 - LeastStep);
        (int, int, int, int)? swap = null;
        for (int light = 0; light < slotLoads.Length; light++)
        {
            if (slotLoads[light] >= best) continue;
            ReadOnlySpan<int> others = layer.Experts(light);
            // What it means for the spread to move one of them is looked up many times.
            int[] spreads = [.. Enumerable.Repeat(int.MinValue, others.Length)];
            foreach (int mine in layer.Experts(heavy))
            {
                if (layer.IsOn(mine, light)) continue;
                int spread = int.MinValue;
                for (int i = 0; i < others.Length; i++)
                {
                    int theirs = others[i];
                    double difference = loads[mine] - loads[theirs];
                    double heavier = Math.Max(slotLoads[heavy] - difference, slotLoads[light] + difference);
                    if (heavier >= best || layer.IsOn(theirs, heavy) || layer.MoveCost(mine, heavy, light) + layer.MoveCost(theirs, light, heavy) > mostCost) continue;
                    if (spread == int.MinValue) spread = layer.MoveShortfall(mine, heavy, light);
                    if (spreads[i] == int.MinValue) spreads[i] = layer.MoveShortfall(theirs, light, heavy);
                    if (spread + spreads[i] > 0) continue;
                    best = heavier;
                    swap = (heavy, mine, light, theirs);
                }
            }
        }

        return swap;
    }
}
