using Orleans;
using Orleans.Concurrency;

namespace Conclave.Grains;

/// <summary>What people ask of the placement. A value that is null leaves things as they are.</summary>
[GenerateSerializer, Immutable, Alias("conclave.PlacementWishes")]
public sealed record PlacementWishes
{
    /// <summary>Replicas of every expert, 1 to 64.</summary>
    [Id(0)] public int? Replicas { get; init; }

    /// <summary>Further replicas for the busiest experts, per layer, 0 to 4096.</summary>
    [Id(1)] public int? RedundantExperts { get; init; }

    /// <summary>Balance anew when the heaviest slot's load gets lower by this fraction of it at least, above 0 and below 1.</summary>
    [Id(2)] public double? MinGain { get; init; }

    /// <summary>Seconds between two automatic rebalancings, at least 1.</summary>
    [Id(3)] public double? MinIntervalSeconds { get; init; }

    /// <summary>Whether to balance automatically.</summary>
    [Id(4)] public bool? Automatic { get; init; }
}

/// <summary>What a plan would do.</summary>
[GenerateSerializer, Immutable, Alias("conclave.PlacementProposal")]
public sealed record PlacementProposal
{
    /// <summary>Version of the map it starts from.</summary>
    [Id(0)] public required long FromVersion { get; init; }

    /// <summary>(layer, expert) pairs that some slot has to load.</summary>
    [Id(1)] public required int Moves { get; init; }

    /// <summary>Bytes of weights to load.</summary>
    [Id(2)] public required long MovedBytes { get; init; }

    /// <summary>Load of the heaviest slot over the mean before (<see cref="MapBalance.Ratio"/>).</summary>
    [Id(3)] public required double ImbalanceBefore { get; init; }

    /// <summary>The same after.</summary>
    [Id(4)] public required double ImbalanceAfter { get; init; }

    /// <summary>Experts left without a place for want of room.</summary>
    [Id(5)] public required int MissingExperts { get; init; }

    /// <summary>The map it leads to; its version is the one it would get if it were applied now.</summary>
    [Id(6)] public required ExpertMap Map { get; init; }
}

/// <summary>The placement as people look at it.</summary>
[GenerateSerializer, Immutable, Alias("conclave.PlacementStatus")]
public sealed record PlacementStatus
{
    /// <summary>The model.</summary>
    [Id(0)] public required string Model { get; init; }

    /// <summary>The current view, with the map in use.</summary>
    [Id(1)] public required ClusterView View { get; init; }

    /// <summary>The map that slots load for; null when nothing is in preparation.</summary>
    [Id(2)] public ExpertMap? Target { get; init; }

    /// <summary>All slots of the map in use and of the target.</summary>
    [Id(3)] public required SlotPlacement[] Slots { get; init; }

    /// <summary>Version of the map that each silo's rank uses, by silo.</summary>
    [Id(4)] public required Dictionary<string, long> UsedVersions { get; init; }

    /// <summary>Tokens routed to each expert, with decay: <c>[layer * ExpertCount + expert]</c>; empty before the first report.</summary>
    [Id(5)] public required double[] ExpertLoads { get; init; }

    /// <summary>Load of the heaviest slot over the mean (<see cref="MapBalance.Ratio"/>).</summary>
    [Id(6)] public double Imbalance { get; init; }

    /// <summary>The wishes in force, defaults filled in.</summary>
    [Id(7)] public required PlacementWishes Wishes { get; init; }

    /// <summary>Why the view could not be stored; null when it is.</summary>
    [Id(8)] public string? StorageFault { get; init; }

    /// <summary>Why no better map could be planned; null when it could.</summary>
    [Id(9)] public string? PlanFault { get; init; }
}

/// <summary>One slot as people look at it.</summary>
[GenerateSerializer, Immutable, Alias("conclave.SlotPlacement")]
public sealed record SlotPlacement
{
    /// <summary>The slot's key.</summary>
    [Id(0)] public required string Key { get; init; }

    /// <summary>Its silo, parsable.</summary>
    [Id(1)] public required string Silo { get; init; }

    /// <summary>(layer, expert) pairs of the map in use.</summary>
    [Id(2)] public int ExpertCount { get; init; }

    /// <summary>(layer, expert) pairs of the target; 0 without a target.</summary>
    [Id(3)] public int TargetCount { get; init; }

    /// <summary>Of those, the ones ready.</summary>
    [Id(4)] public int ReadyCount { get; init; }

    /// <summary>Its share of the load: 1 is the mean.</summary>
    [Id(5)] public double Load { get; init; }

    /// <summary>Why it cannot load; null while it can.</summary>
    [Id(6)] public string? Fault { get; init; }
}
