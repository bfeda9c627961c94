namespace Conclave.Grains;

/// <summary>One slot of expert memory as the planner sees it.</summary>
public sealed record PlacementSlot
{
    /// <summary>Key of the shard grain; unique among the slots of one plan.</summary>
    public required string Key { get; init; }

    /// <summary>The silo whose process holds the slot: dies as a whole.</summary>
    public required string Silo { get; init; }

    /// <summary>The machine the silo runs on: a stronger domain of failure than the silo.</summary>
    public required string Host { get; init; }

    /// <summary>Bytes of expert weights the slot takes; null where nothing limits it.</summary>
    public long? CapacityBytes { get; init; }

    /// <summary>Labels of the silo, for example <c>zone</c> and <c>gpu</c>.</summary>
    public IReadOnlyDictionary<string, string> Labels { get; init; } = new Dictionary<string, string>();

    /// <summary>Label <c>zone</c>, empty where the silo has none: the strongest domain of failure.</summary>
    public string Zone => Labels.GetValueOrDefault("zone", "");
}

/// <summary>All that a plan depends on: the same input gives the same map.</summary>
public sealed record PlacementInput
{
    /// <summary>Bytes of one routed expert in each layer, MTP layers last, as <see cref="ExpertSizes"/> computes them; 0 for a layer without routed experts.</summary>
    public required IReadOnlyList<long> ExpertSizeBytes { get; init; }

    /// <summary>Routed experts a layer.</summary>
    public required int ExpertCount { get; init; }

    /// <summary>Slots that may hold experts. Those of a silo that drains or is dead are left out.</summary>
    public required IReadOnlyList<PlacementSlot> Slots { get; init; }

    /// <summary>Load of each expert, <c>[layer * ExpertCount + expert]</c>, not negative, in any unit; null, or a layer of zeros, means that all are alike.</summary>
    public IReadOnlyList<double>? Loads { get; init; }

    /// <summary>Different silos that each expert is to be on, at least 1; fewer where silos or capacity do not suffice.</summary>
    public int MinReplicas { get; init; } = 1;

    /// <summary>Replicas that each layer gets on top, for its hottest experts.</summary>
    public int RedundantExperts { get; init; }

    /// <summary>The map in use, whose slots already hold weights; null to start from nothing.</summary>
    public ExpertMap? Previous { get; init; }

    /// <summary>Checks every field.</summary>
    /// <exception cref="ArgumentException">The message begins with the first wrong field's name.</exception>
    public void Validate()
    {
        Check(ExpertCount >= 0, nameof(ExpertCount), ExpertCount, "must not be negative");
        Check(ExpertSizeBytes.All(size => size >= 0), nameof(ExpertSizeBytes), ExpertSizeBytes.DefaultIfEmpty().Min(), "must not be negative");
        Check(MinReplicas >= 1, nameof(MinReplicas), MinReplicas, "must be at least 1");
        Check(RedundantExperts >= 0, nameof(RedundantExperts), RedundantExperts, "must not be negative");
        foreach (PlacementSlot slot in Slots) Check(slot.CapacityBytes is null or >= 0, $"{nameof(Slots)}[{slot.Key}].{nameof(slot.CapacityBytes)}", slot.CapacityBytes!, "must not be negative");
        foreach (var key in Slots.CountBy(slot => slot.Key)) Check(key.Value == 1, nameof(Slots), key.Key, "is the key of more than one slot");
        if (Loads is null) return;
        Check(Loads.Count == ExpertSizeBytes.Count * ExpertCount, nameof(Loads), Loads.Count, $"values for {ExpertSizeBytes.Count} layers of {ExpertCount} experts");
        foreach (double load in Loads) Check(double.IsFinite(load) && load >= 0, nameof(Loads), load, "must be finite and not negative");
    }

    private static void Check(bool holds, string field, object value, string rule)
    {
        if (!holds) throw new ArgumentException(FormattableString.Invariant($"{field}: {value} {rule}"));
    }
}
