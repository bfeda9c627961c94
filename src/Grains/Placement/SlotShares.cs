namespace Conclave.Grains;

/// <summary>
/// How many replicas each slot holds. Its share of a layer is in proportion to its capacity, but no more than fits, and no more than lets the replicas of
/// each expert be in different zones, on different hosts, in different silos. Layers round shares up or down so that the sum over layers comes out right.
/// </summary>
internal sealed class SlotShares
{
    // Shares are sums of quotients: whole numbers may come out a little below.
    private const double Rounding = 1e-7;

    private readonly SlotTopology _slots;
    private readonly int _expertCount;
    private readonly double[] _shares, _owed;
    private readonly int[] _floors;
    private readonly long[] _spareBytes;
    private double _due;

    /// <param name="input">Sizes, redundant experts and the slots' capacities.</param>
    /// <param name="slots">The slots.</param>
    /// <param name="spread">Different silos that each expert is to be on.</param>
    public SlotShares(PlacementInput input, SlotTopology slots, int spread)
    {
        _slots = slots;
        _expertCount = input.ExpertCount;
        _shares = Divide(input, slots, spread);
        _owed = new double[slots.Count];
        _floors = new int[slots.Count];
        _spareBytes = new long[slots.Count];
        long allLayers = input.ExpertSizeBytes.Sum();
        for (int slot = 0; slot < slots.Count; slot++)
        {
            _floors[slot] = (int)(_shares[slot] + Rounding);
            long capacity = slots.Slots[slot].CapacityBytes ?? long.MaxValue;
            // A capacity that is a byte short of a whole number must not be rounded up to it.
            if (_floors[slot] > 0 && allLayers > capacity / _floors[slot]) _floors[slot]--;
            _spareBytes[slot] = capacity == long.MaxValue ? capacity : capacity - (_floors[slot] * allLayers);
        }
    }

    /// <summary>Fewest replicas of <paramref name="slot"/> in a layer.</summary>
    public int Floor(int slot) => _floors[slot];

    /// <summary>Most replicas of <paramref name="slot"/> in a layer.</summary>
    public int Ceiling(int slot) => (int)Math.Ceiling(_shares[slot] - Rounding);

    /// <summary>
    /// The seats of each slot in the next layer: shares rounded up or down, so that those of silos, hosts and zones are too. Of slots that may have one more,
    /// those get it that need not drop a replica then, then those that are owed most from earlier layers.
    /// </summary>
    /// <param name="sizeBytes">Bytes of one expert in this layer.</param>
    /// <param name="held">Replicas of the layer that each slot holds already.</param>
    public int[] Next(long sizeBytes, int[] held)
    {
        int[] seats = [.. _floors];
        for (int slot = 0; slot < seats.Length; slot++) _owed[slot] += _shares[slot] - _floors[slot];
        _due += _shares.Sum();
        int rest = (int)(_due + Rounding) - seats.Sum();
        _due -= (int)(_due + Rounding);
        for (; rest > 0; rest--)
        {
            int best = -1;
            (int Urgency, bool KeepsReplica, double Owed) most = default;
            for (int slot = 0; slot < seats.Length; slot++)
            {
                if (_spareBytes[slot] < sizeBytes || seats[slot] >= _expertCount) continue;
                var key = (Urgency(slot, seats), held[slot] > seats[slot], Math.Round(_owed[slot], 6));
                if (best < 0 || key.CompareTo(most) > 0) (best, most) = (slot, key);
            }

            if (best < 0) break;
            seats[best]++;
            _owed[best]--;
            if (_spareBytes[best] != long.MaxValue) _spareBytes[best] -= sizeBytes;
        }

        return seats;
    }

    /// <summary>3 to 1: the slot's zone, host or silo still has to get a seat; 0: it may get one; -1: that would round up twice, which is only better than no seat.</summary>
    private int Urgency(int slot, int[] seats)
    {
        if (seats[slot] >= Ceiling(slot)) return -1;
        int urgency = 0, level = 1;
        foreach (int[] domain in new[] { _slots.Silo, _slots.Host, _slots.Zone })
        {
            double lacking = 0;
            for (int other = 0; other < seats.Length; other++)
                if (domain[other] == domain[slot]) lacking += _shares[other] - seats[other];
            if (lacking <= Rounding) return -1;
            if (lacking >= 1 - Rounding) urgency = level;
            level++;
        }

        return urgency;
    }

    private static double[] Divide(PlacementInput input, SlotTopology slots, int spread)
    {
        double experts = input.ExpertCount, bytes = input.ExpertSizeBytes.Sum();
        long[] sizes = [.. input.ExpertSizeBytes.Where(size => size > 0).Distinct()];
        // Where all experts are alike, what is left over a whole number of them is of no use.
        long Usable(long capacity) => sizes.Length == 1 ? capacity / sizes[0] * sizes[0] : capacity;
        double largest = slots.Slots.Max(slot => slot.CapacityBytes) is > 0 and var capacity ? Usable(capacity) : 1;
        // A slot without a limit is taken to be as large as the largest.
        double[] weights = [.. slots.Slots.Select(slot => slot.CapacityBytes is { } own ? Usable(own) : largest)];
        var single = slots.Slots.Select((slot, i) => new Domain([i], slot.CapacityBytes is { } own ? Math.Min(experts, Usable(own) / bytes) : experts)).ToList();
        var levels = SpreadBounds(input.ExpertCount, slots, weights, spread);
        var shares = new double[slots.Count];
        double rest = experts * spread;
        // Where domains are too few or too small for all replicas apart, first zones stop to matter, then hosts, at last silos.
        for (int level = 0; level <= levels.Length; level++)
        {
            if (level == levels.Length) rest += input.RedundantExperts;
            rest = Fill(shares, weights, rest, [.. single, .. levels[level..].SelectMany(bounds => bounds)]);
        }

        return shares;
    }

    /// <summary>Upper bounds of zones, hosts and silos that leave each expert's replicas room to be apart.</summary>
    private static List<Domain>[] SpreadBounds(double experts, SlotTopology slots, double[] weights, int spread)
    {
        List<Domain> Bounds(int[] domain)
        {
            int[][] members = [.. Enumerable.Range(0, slots.Count).Where(slot => weights[slot] > 0).GroupBy(slot => domain[slot]).Select(part => part.ToArray())];
            int most = members.Length == 0 ? 0 : (spread + members.Length - 1) / members.Length;
            return [.. members.Select(part => new Domain(part, experts * most))];
        }

        return [Bounds(slots.Zone), Bounds(slots.Host), Bounds(slots.Silo)];
    }

    /// <summary>Raises all shares in proportion to the weights until the amount is given out or bounds stop them; returns what is left.</summary>
    private static double Fill(double[] shares, double[] weights, double amount, List<Domain> bounds)
    {
        while (amount > Rounding)
        {
            var active = new bool[shares.Length];
            for (int slot = 0; slot < shares.Length; slot++) active[slot] = weights[slot] > 0;
            foreach (Domain bound in bounds)
                if (bound.Bound - bound.Slots.Sum(slot => shares[slot]) <= Rounding)
                    foreach (int slot in bound.Slots) active[slot] = false;
            double Weight(IEnumerable<int> slots) => slots.Sum(slot => active[slot] ? weights[slot] : 0);
            double all = Weight(Enumerable.Range(0, shares.Length));
            if (all == 0) return amount;
            double raise = amount / all;
            foreach (Domain bound in bounds)
                if (Weight(bound.Slots) is > 0 and var weight) raise = Math.Min(raise, (bound.Bound - bound.Slots.Sum(slot => shares[slot])) / weight);
            for (int slot = 0; slot < shares.Length; slot++)
                if (active[slot]) shares[slot] += raise * weights[slot];
            amount -= raise * all;
        }

        return 0;
    }

    private sealed record Domain(int[] Slots, double Bound);
}
