using Orleans;
using Orleans.Concurrency;

namespace Conclave.Grains;

/// <summary>The cluster as gateways and ranks see it: immutable, replaced as a whole.</summary>
[GenerateSerializer, Immutable, Alias("conclave.ClusterView")]
public sealed record ClusterView
{
    /// <summary>The view before the first silo has joined.</summary>
    public static ClusterView Empty { get; } = new() { Map = ExpertMap.Empty, Ranks = [] };

    /// <summary>Where the experts are.</summary>
    [Id(0)] public required ExpertMap Map { get; init; }

    /// <summary>Silos whose rank takes new sequences, parsable addresses.</summary>
    [Id(1)] public required string[] Ranks { get; init; }

    /// <summary>All members, draining ones too.</summary>
    [Id(2)] public SiloOffer[] Silos { get; init; } = [];

    /// <summary>Grows with each change of anything here; a view with a lower one is out of date.</summary>
    [Id(3)] public long Epoch { get; init; }

    /// <summary>Members that drain: their ranks take no new sequences, their slots leave the map.</summary>
    [Id(4)] public string[] Draining { get; init; } = [];

    /// <summary>Routed experts, over all layers, that no slot of <see cref="Map"/> holds. While there are any, requests cannot be served.</summary>
    [Id(5)] public int MissingExperts { get; init; }

    /// <summary>What people asked for; survives the grain's silo with the rest of the view.</summary>
    [Id(6)] public PlacementWishes Wishes { get; init; } = new();

    /// <summary>Whether every routed expert has a place.</summary>
    public bool IsComplete => MissingExperts == 0 && Map.Version > 0;
}

/// <summary>Where each routed expert is held. Immutable; a change is a new version.</summary>
[GenerateSerializer, Immutable, Alias("conclave.ExpertMap")]
public sealed record ExpertMap
{
    /// <summary>No slots, no experts: the map before the first silo has joined.</summary>
    public static ExpertMap Empty { get; } = new() { Version = 0, SlotKeys = [], ExpertCount = 0, Replicas = [] };

    /// <summary>Grows with each change.</summary>
    [Id(0)] public required long Version { get; init; }

    /// <summary>Keys of the shard grains, one a slot.</summary>
    [Id(1)] public required string[] SlotKeys { get; init; }

    /// <summary>Routed experts a layer.</summary>
    [Id(2)] public required int ExpertCount { get; init; }

    /// <summary>
    /// <c>[layer * ExpertCount + expert]</c>: indexes into <see cref="SlotKeys"/>, ascending; empty for layers without routed experts, and for an expert
    /// that no slot holds at the moment.
    /// </summary>
    [Id(3)] public required int[][] Replicas { get; init; }

    /// <summary>Version under which the slots loaded what this map names: its own, or an earlier one if silos were lost since then.</summary>
    [Id(4)] public long LoadedAs { get; init; }

    /// <summary>Whether the map has a slot of <paramref name="silo"/>, a parsable address.</summary>
    public bool Names(string silo) => SlotKeys.Any(key => SiloKey.Silo(key).ToParsableString() == silo);
}
