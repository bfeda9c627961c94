using System.Collections.Immutable;

namespace Orleans.Runtime;

/// <summary>The life of a silo.</summary>
public enum SiloStatus
{
    /// <summary>Not known.</summary>
    None = 0,

    /// <summary>Made, not started.</summary>
    Created = 1,

    /// <summary>Starting.</summary>
    Joining = 2,

    /// <summary>Serving.</summary>
    Active = 3,

    /// <summary>Leaving; its grains move away.</summary>
    ShuttingDown = 4,

    /// <summary>Leaving at once.</summary>
    Stopping = 5,

    /// <summary>Gone for good; a restart has a new address.</summary>
    Dead = 6,
}

/// <summary>A silo in the membership.</summary>
public sealed class ClusterMember(SiloAddress siloAddress, SiloStatus status, string name) : IEquatable<ClusterMember>
{
    /// <summary>The silo's address.</summary>
    public SiloAddress SiloAddress { get; } = siloAddress;

    /// <summary>The silo's status.</summary>
    public SiloStatus Status { get; } = status;

    /// <summary>The silo's name.</summary>
    public string Name { get; } = name;

    /// <inheritdoc/>
    public bool Equals(ClusterMember? other) => other is not null && SiloAddress.Equals(other.SiloAddress) && Status == other.Status && Name == other.Name;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as ClusterMember);

    /// <inheritdoc/>
    public override int GetHashCode() => SiloAddress.GetHashCode();

    /// <inheritdoc/>
    public override string ToString() => $"{SiloAddress}/{Name}/{Status}";
}

/// <summary>The membership at one version.</summary>
public sealed class ClusterMembershipSnapshot(ImmutableDictionary<SiloAddress, ClusterMember> members, MembershipVersion version)
{
    /// <summary>All silos known, dead ones too.</summary>
    public ImmutableDictionary<SiloAddress, ClusterMember> Members { get; } = members;

    /// <summary>The version; it grows with each change.</summary>
    public MembershipVersion Version { get; } = version;

    /// <summary>
    /// The status of a silo. A silo that is not listed is dead if a later start at its endpoint is listed, otherwise unknown.
    /// </summary>
    public SiloStatus GetSiloStatus(SiloAddress silo)
    {
        if (Members.TryGetValue(silo, out ClusterMember? member)) return member.Status;
        foreach (SiloAddress known in Members.Keys)
            if (known.Endpoint.Equals(silo.Endpoint) && known.Generation > silo.Generation) return SiloStatus.Dead;
        return SiloStatus.None;
    }

    /// <inheritdoc/>
    public override string ToString() => $"[{Version}: {string.Join(", ", Members.Values)}]";
}

/// <summary>Tells which silos there are.</summary>
public interface IClusterMembershipService
{
    /// <summary>The latest membership known here.</summary>
    ClusterMembershipSnapshot CurrentSnapshot { get; }

    /// <summary>The current membership, then each later one. A slow reader sees the latest and skips what lay between.</summary>
    IAsyncEnumerable<ClusterMembershipSnapshot> MembershipUpdates { get; }

    /// <summary>Reads the membership until it has at least the given version.</summary>
    ValueTask Refresh(MembershipVersion minimumVersion = default, CancellationToken cancellationToken = default);

    /// <summary>Declares a silo dead, without asking it. Whether it is dead now.</summary>
    Task<bool> TryKill(SiloAddress siloAddress);
}

/// <summary>The silo of this host.</summary>
public interface ILocalSiloDetails
{
    /// <summary>The silo's name.</summary>
    string Name { get; }

    /// <summary>The cluster's identity.</summary>
    string ClusterId { get; }

    /// <summary>The host's DNS name.</summary>
    string DnsHostName { get; }

    /// <summary>Where other silos reach this one.</summary>
    SiloAddress SiloAddress { get; }

    /// <summary>Where clients reach this silo.</summary>
    SiloAddress GatewayAddress { get; }
}

/// <summary>The membership as services of a silo see it.</summary>
internal sealed class ClusterMembershipService(SiloRuntime silo) : IClusterMembershipService
{
    public ClusterMembershipSnapshot CurrentSnapshot => silo.Membership.Current;

    public IAsyncEnumerable<ClusterMembershipSnapshot> MembershipUpdates => silo.Membership.Updates();

    // Both leave the scheduler of the grain that may call them: what a change sets off must not wait for its turns.
    public ValueTask Refresh(MembershipVersion minimumVersion = default, CancellationToken cancellationToken = default) =>
        new(Task.Run(() => minimumVersion.Value > 0 ? silo.Membership.CatchUpAsync(minimumVersion.Value, cancellationToken) : silo.Membership.RefreshAsync(cancellationToken), cancellationToken));

    public Task<bool> TryKill(SiloAddress siloAddress) => Task.Run(() => silo.Membership.TryKillAsync(siloAddress));
}
