using Orleans;
using Orleans.Concurrency;

namespace Conclave.Grains;

/// <summary>One a model, keyed by the model's name: owns the versioned expert map and knows which silos serve.</summary>
[Alias("conclave.IExpertMapGrain")]
public interface IExpertMapGrain : IGrainWithStringKey
{
    /// <summary>
    /// A silo offers its slots. The map is planned anew, every slot loads what it misses, and only then the new version counts. Returns it.
    /// </summary>
    [Alias("Join")]
    Task<ClusterView> Join(SiloOffer offer);

    /// <summary>A silo's engine runs: gateways may send sequences to its rank.</summary>
    [Alias("RankReady")]
    Task RankReady(string silo);

    /// <summary>A silo leaves: it gets no new sequences.</summary>
    [Alias("Leave")]
    Task Leave(string silo);

    /// <summary>The current map and ranks.</summary>
    [AlwaysInterleave, Alias("Current")]
    Task<ClusterView> Current();
}

/// <summary>What a silo brings.</summary>
[GenerateSerializer, Immutable, Alias("conclave.SiloOffer")]
public sealed record SiloOffer
{
    /// <summary>The silo's address, parsable.</summary>
    [Id(0)] public required string Silo { get; init; }

    /// <summary>Slots of expert memory, 0 for a silo without experts.</summary>
    [Id(1)] public required int Slots { get; init; }
}

/// <summary>The cluster as gateways and ranks see it: immutable, replaced as a whole.</summary>
[GenerateSerializer, Immutable, Alias("conclave.ClusterView")]
public sealed record ClusterView
{
    /// <summary>Where the experts are.</summary>
    [Id(0)] public required ExpertMap Map { get; init; }

    /// <summary>Silos whose rank serves, parsable addresses.</summary>
    [Id(1)] public required string[] Ranks { get; init; }
}

/// <summary>Where each routed expert is held. Immutable; a change is a new version.</summary>
[GenerateSerializer, Immutable, Alias("conclave.ExpertMap")]
public sealed record ExpertMap
{
    /// <summary>No slots, no experts: the map before the first silo has joined.</summary>
    public static ExpertMap Empty { get; } = new() { Version = 0, SlotKeys = [], ExpertCount = 0, Replicas = [] };

    /// <summary>Counts up by one with each change.</summary>
    [Id(0)] public required long Version { get; init; }

    /// <summary>Keys of the shard grains, one a slot.</summary>
    [Id(1)] public required string[] SlotKeys { get; init; }

    /// <summary>Routed experts a layer.</summary>
    [Id(2)] public required int ExpertCount { get; init; }

    /// <summary><c>[layer * ExpertCount + expert]</c>: indexes into <see cref="SlotKeys"/>, ascending; empty for layers without routed experts.</summary>
    [Id(3)] public required int[][] Replicas { get; init; }
}
