namespace Conclave.Grains;

/// <summary>Plans the layers of a model one after another and adds up what comes of it.</summary>
internal sealed class ClusterPlacement
{
    private readonly PlacementInput _input;
    private readonly SlotTopology _slots;
    private readonly int[] _previousSlots;
    private readonly int _spread;

    public ClusterPlacement(PlacementInput input)
    {
        _input = input;
        _slots = new SlotTopology(input.Slots);
        var numbers = input.Slots.Select((slot, i) => (slot.Key, i)).ToDictionary();
        // A map of another model tells nothing.
        bool isSameModel = input.Previous is { } previous && previous.ExpertCount == input.ExpertCount && previous.Replicas.Length == input.ExpertSizeBytes.Count * input.ExpertCount;
        _previousSlots = isSameModel ? [.. input.Previous!.SlotKeys.Select(key => numbers.GetValueOrDefault(key, -1))] : [];
        _spread = Math.Min(input.MinReplicas, input.Slots.Where(slot => slot.CapacityBytes != 0).Select(slot => slot.Silo).Distinct().Count());
    }

    /// <summary>Plans every layer by <paramref name="place"/>.</summary>
    public PlacementPlan Plan(Func<PlannedLayer, LayerPlacement> place)
    {
        int experts = _input.ExpertCount, layers = _input.ExpertSizeBytes.Count, moved = 0, least = 0;
        long movedBytes = 0;
        var replicas = new int[layers * experts][];
        Array.Fill(replicas, []);
        SlotShares? shares = _spread > 0 && experts > 0 && _input.ExpertSizeBytes.Any(size => size > 0) ? new SlotShares(_input, _slots, _spread) : null;
        for (int layer = 0; layer < layers; layer++)
        {
            if (shares is null || _input.ExpertSizeBytes[layer] == 0) continue;
            PlannedLayer planned = Prepare(layer, shares);
            LayerPlacement placement = place(planned);
            for (int expert = 0; expert < experts; expert++) replicas[(layer * experts) + expert] = placement.Places(expert);
            int movedHere = placement.MovedCount();
            moved += movedHere;
            movedBytes += movedHere * _input.ExpertSizeBytes[layer];
            least += planned.LeastMovedCount(shares);
        }

        int pairs = _input.ExpertSizeBytes.Count(size => size > 0) * experts;
        int wellReplicated = replicas.Count(places => places.Select(slot => _slots.Silo[slot]).Distinct().Count() >= _input.MinReplicas);
        var map = new ExpertMap { Version = (_input.Previous?.Version ?? 0) + 1, SlotKeys = [.. _input.Slots.Select(slot => slot.Key)], ExpertCount = experts, Replicas = replicas };
        return new PlacementPlan
        {
            Map = map,
            PairCount = pairs,
            CoveredCount = replicas.Count(places => places.Length > 0),
            UnderReplicatedCount = pairs - wellReplicated,
            MovedCount = moved,
            MovedSizeBytes = movedBytes,
            LeastMovedCount = least,
            Balance = MapBalance.Of(map, _input.Loads),
        };
    }

    private PlannedLayer Prepare(int layer, SlotShares shares)
    {
        int experts = _input.ExpertCount;
        var held = new bool[experts * _slots.Count];
        var heldBySlot = new int[_slots.Count];
        var there = new int[experts];
        for (int expert = 0; expert < experts && _previousSlots.Length > 0; expert++)
            foreach (int before in _input.Previous!.Replicas[(layer * experts) + expert])
            {
                if (_previousSlots[before] is not (>= 0 and var slot)) continue;
                held[(expert * _slots.Count) + slot] = true;
                heldBySlot[slot]++;
                there[expert]++;
            }

        double[] loads = [.. Enumerable.Range(layer * experts, experts).Select(pair => _input.Loads?[pair] ?? 1)];
        // No load at all is no reason to pile everything up.
        if (loads.Sum() <= 0) Array.Fill(loads, 1);
        int[] seats = shares.Next(_input.ExpertSizeBytes[layer], heldBySlot);
        return new PlannedLayer { Layer = layer, Slots = _slots, Seats = seats, Loads = loads, Spread = _spread, Held = held, HeldBySlot = heldBySlot, There = there };
    }
}

/// <summary>What is known of a layer before its replicas are placed.</summary>
internal sealed class PlannedLayer
{
    /// <summary>Its number.</summary>
    public required int Layer { get; init; }

    /// <summary>The slots.</summary>
    public required SlotTopology Slots { get; init; }

    /// <summary>Replicas that each slot takes.</summary>
    public required int[] Seats { get; init; }

    /// <summary>Load of each expert, some above 0.</summary>
    public required double[] Loads { get; init; }

    /// <summary>Different silos that each expert is to be on.</summary>
    public required int Spread { get; init; }

    /// <summary>What the slots hold by the previous map, <c>[expert * slots + slot]</c>.</summary>
    public required bool[] Held { get; init; }

    /// <summary>Replicas that each slot holds.</summary>
    public required int[] HeldBySlot { get; init; }

    /// <summary>Replicas of each expert that are held.</summary>
    public required int[] There { get; init; }

    /// <summary>The placement with the fewest moves.</summary>
    public LayerPlacement Keep()
    {
        LayerPlacement placement = Place(There);
        LayerSwaps.Free(placement);
        return placement;
    }

    /// <summary>That of <see cref="Keep"/>, or one with more moves where the heaviest slot gains at least <paramref name="minGain"/> by it: first with the replica counts as they are, then with new ones.</summary>
    public LayerPlacement Rebalance(double minGain)
    {
        LayerPlacement best = Keep();
        foreach (int[] there in new[] { There, new int[There.Length] })
        {
            LayerPlacement candidate = Place(there);
            LayerSwaps.Free(candidate);
            LayerSwaps.Paid(candidate, minGain);
            if (candidate.SlotLoads.Max() <= best.SlotLoads.Max() * (1 - minGain)) best = candidate;
        }

        return best;
    }

    /// <summary>See <see cref="PlacementPlan.LeastMovedCount"/>.</summary>
    public int LeastMovedCount(SlotShares shares)
    {
        int total = Seats.Sum(), kept = 0, missing = 0;
        for (int slot = 0; slot < Seats.Length; slot++)
        {
            kept += Math.Min(HeldBySlot[slot], Math.Max(Seats[slot], shares.Ceiling(slot)));
            missing += Math.Max(0, Math.Min(Seats[slot], shares.Floor(slot)) - HeldBySlot[slot]);
        }

        return Math.Max(missing, total - Math.Min(total, kept));
    }

    private LayerPlacement Place(int[] there) => new(Slots, Seats, ReplicaCounts.Of(Loads, there, Seats.Sum(), Spread, Seats.Count(seats => seats > 0)), Loads, Spread, Held, Layer % Slots.Count);
}
