using Orleans;
using Orleans.Concurrency;

namespace Conclave.Grains;

/// <summary>One slot of expert memory on a silo: holds a set of (layer, expert) pairs. Its key is <see cref="SiloKey"/> of the silo with the slot's number.</summary>
[Alias("conclave.IExpertShardGrain")]
public interface IExpertShardGrain : IGrainWithStringKey
{
    /// <summary>
    /// Starts to make the weights of <paramref name="load"/> ready, beside those of older versions, and returns; <see cref="Status"/> tells when
    /// they are. A version at or below the one asked for last is ignored.
    /// </summary>
    [Alias("Load")]
    Task Load(ShardLoad load);

    /// <summary>Lets go of weights that only versions below <paramref name="mapVersion"/> need.</summary>
    [Alias("Retain")]
    Task Retain(long mapVersion);

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
    /// <summary>Version of the expert map whose weights are all ready, 0 before the first.</summary>
    [Id(0)] public required long MapVersion { get; init; }

    /// <summary>(layer, expert) pairs of that version.</summary>
    [Id(1)] public required int ExpertCount { get; init; }

    /// <summary>Version asked for last; above <see cref="MapVersion"/> while its weights load or when they cannot be loaded.</summary>
    [Id(2)] public long LoadingVersion { get; init; }

    /// <summary>(layer, expert) pairs of <see cref="LoadingVersion"/> that are ready.</summary>
    [Id(3)] public int ReadyCount { get; init; }

    /// <summary>Bytes of weights held, those of older versions too.</summary>
    [Id(4)] public long HeldBytes { get; init; }

    /// <summary>Why <see cref="LoadingVersion"/> cannot be loaded; null while it can.</summary>
    [Id(5)] public string? Fault { get; init; }
}
