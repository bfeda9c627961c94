using Orleans;
using Orleans.Concurrency;

namespace Conclave.Grains;

/// <summary>One slot of expert memory on a silo: holds a set of (layer, expert) pairs. Its key is <see cref="SiloKey"/> of the silo with the slot's number.</summary>
[Alias("conclave.IExpertShardGrain")]
public interface IExpertShardGrain : IGrainWithStringKey
{
    /// <summary>
    /// Makes the weights of exactly <paramref name="load"/> ready to answer. Returning is the acknowledgement that the map version may be used. An
    /// older version than the one held is ignored.
    /// </summary>
    /// <exception cref="ClusterException">The checkpoint lacks one of the experts.</exception>
    [Alias("Load")]
    Task Load(ShardLoad load);

    /// <summary>What the slot holds.</summary>
    [AlwaysInterleave, Alias("Status")]
    Task<ShardStatus> Status();
}

/// <summary>What a slot is to hold.</summary>
[GenerateSerializer, Immutable, Alias("conclave.ShardLoad")]
public sealed record ShardLoad
{
    /// <summary>Version of the expert map this belongs to.</summary>
    [Id(0)] public required long MapVersion { get; init; }

    /// <summary>Layer of each pair.</summary>
    [Id(1)] public required int[] Layers { get; init; }

    /// <summary>Expert of each pair.</summary>
    [Id(2)] public required int[] Experts { get; init; }
}

/// <summary>What a slot holds.</summary>
[GenerateSerializer, Immutable, Alias("conclave.ShardStatus")]
public sealed record ShardStatus
{
    /// <summary>Version of the expert map last loaded, 0 before the first.</summary>
    [Id(0)] public required long MapVersion { get; init; }

    /// <summary>(layer, expert) pairs held.</summary>
    [Id(1)] public required int ExpertCount { get; init; }
}
