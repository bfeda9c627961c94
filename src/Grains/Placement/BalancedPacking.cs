namespace Conclave.Grains;

/// <summary>EPLB's packing: weighted items into packs that all take the same number of them.</summary>
internal static class BalancedPacking
{
    /// <summary>
    /// Takes the items by falling weight (equal ones by index) and puts each into the lightest pack with room (equally light ones by index). Returns the items
    /// of each pack in the order in which they were put there. Weights are added and compared as 32-bit floats, as the published program does.
    /// </summary>
    /// <param name="weights">Weight of each item.</param>
    /// <param name="packCount">Packs; divides the number of items.</param>
    public static int[][] Pack(float[] weights, int packCount)
    {
        int perPack = weights.Length / packCount;
        if (perPack == 1) return [.. Enumerable.Range(0, packCount).Select(item => new[] { item })];
        int[] items = [.. Enumerable.Range(0, weights.Length)];
        Array.Sort(items, (a, b) => weights[a] == weights[b] ? a.CompareTo(b) : weights[b].CompareTo(weights[a]));

        var packs = new int[packCount][];
        var counts = new int[packCount];
        var lightest = new PriorityQueue<int, (float Load, int Pack)>(packCount);
        for (int pack = 0; pack < packCount; pack++)
        {
            packs[pack] = new int[perPack];
            lightest.Enqueue(pack, (0, pack));
        }

        foreach (int item in items)
        {
            lightest.TryDequeue(out int pack, out (float Load, int) key);
            packs[pack][counts[pack]++] = item;
            // A full pack takes no more part.
            if (counts[pack] < perPack) lightest.Enqueue(pack, (key.Load + weights[item], pack));
        }

        return packs;
    }

    /// <summary>
    /// Swaps items between the heaviest pack and others for as long as that makes the heavier of the two lighter. The number of items a pack stays, and
    /// the maximum never rises: EPLB's packing is greedy and leaves a few per cent.
    /// </summary>
    /// <param name="packs">Items of each pack, changed in place.</param>
    /// <param name="loads">Load of each item.</param>
    public static void Improve(int[][] packs, double[] loads)
    {
        if (packs.Length < 2) return;
        // Positions in each pack by rising load, so that the best partner of an item is found by halving.
        int[][] sorted = [.. packs.Select(pack => Sorted(pack, loads))];
        double[] totals = [.. packs.Select(pack => pack.Sum(item => loads[item]))];
        // A bound on the work for huge inputs; usual ones end long before.
        for (long budget = 50_000_000; budget > 0; budget -= loads.Length)
        {
            int heavy = Array.IndexOf(totals, totals.Max());
            if (BestSwap(heavy, packs, sorted, totals, loads) is not { } swap) return;
            ref int mine = ref packs[heavy][swap.Mine], theirs = ref packs[swap.Pack][swap.Theirs];
            (mine, theirs) = (theirs, mine);
            foreach (int changed in new[] { heavy, swap.Pack })
            {
                sorted[changed] = Sorted(packs[changed], loads);
                totals[changed] = packs[changed].Sum(item => loads[item]);
            }
        }
    }

    private static (int Mine, int Pack, int Theirs)? BestSwap(int heavy, int[][] packs, int[][] sorted, double[] totals, double[] loads)
    {
        // Rounding must not pass for progress, or swaps could go round in circles.
        double best = totals[heavy] * (1 - 1e-12);
        (int, int, int)? swap = null;
        for (int pack = 0; pack < packs.Length; pack++)
        {
            double gap = totals[heavy] - totals[pack];
            if (gap <= 0) continue;
            int[] theirs = sorted[pack];
            for (int mine = 0; mine < packs[heavy].Length; mine++)
            {
                double load = loads[packs[heavy][mine]];
                // The ideal partner is lighter by half the gap; of its two neighbours one is the best.
                int above = FirstAtLeast(theirs, packs[pack], loads, load - (gap / 2));
                for (int i = Math.Max(above - 1, 0); i <= above && i < theirs.Length; i++)
                {
                    double difference = load - loads[packs[pack][theirs[i]]];
                    double heavier = Math.Max(totals[heavy] - difference, totals[pack] + difference);
                    if (heavier >= best) continue;
                    best = heavier;
                    swap = (mine, pack, theirs[i]);
                }
            }
        }

        return swap;
    }

    private static int FirstAtLeast(int[] sorted, int[] pack, double[] loads, double load)
    {
        int low = 0, high = sorted.Length;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (loads[pack[sorted[middle]]] < load) low = middle + 1;
            else high = middle;
        }

        return low;
    }

    private static int[] Sorted(int[] pack, double[] loads)
    {
        int[] positions = [.. Enumerable.Range(0, pack.Length)];
        Array.Sort(positions, (a, b) => loads[pack[a]] == loads[pack[b]] ? a.CompareTo(b) : loads[pack[a]].CompareTo(loads[pack[b]]));
        return positions;
    }
}
