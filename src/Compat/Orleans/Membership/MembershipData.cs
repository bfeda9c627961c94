namespace Orleans.Runtime;

/// <summary>The record of a silo in the membership table.</summary>
[GenerateSerializer, Immutable]
internal sealed record MembershipRow
{
    /// <summary>The silo; a restart has another address.</summary>
    [Id(0)] public required SiloAddress Silo { get; init; }

    [Id(1)] public required SiloStatus Status { get; init; }

    [Id(2)] public required string Name { get; init; }

    /// <summary>Port for clients at the silo's address; 0 if it takes none.</summary>
    [Id(3)] public int GatewayPort { get; init; }

    /// <summary>Who believes that the silo is dead.</summary>
    [Id(4)] public Suspicion[] Suspicions { get; init; } = [];

    /// <summary>When the silo joined or, if dead, when that was found.</summary>
    [Id(5)] public DateTimeOffset Since { get; init; }

    /// <summary>When the silo last noted that it lives.</summary>
    [Id(6)] public DateTimeOffset AliveAt { get; init; }

    /// <summary>Whether the silo can be asked something: it has joined and has not left.</summary>
    public bool IsLive => Status is SiloStatus.Active or SiloStatus.ShuttingDown or SiloStatus.Stopping;
}

/// <summary>One silo's belief that another is dead.</summary>
[GenerateSerializer, Immutable]
internal sealed record Suspicion([property: Id(0)] SiloAddress By, [property: Id(1)] DateTimeOffset At);

/// <summary>The membership table at one version.</summary>
[GenerateSerializer, Immutable]
internal sealed record MembershipData([property: Id(0)] long Version, [property: Id(1)] MembershipRow[] Rows)
{
    public static readonly MembershipData Empty = new(0, []);

    public MembershipRow? Find(SiloAddress silo) => Array.Find(Rows, row => row.Silo.Equals(silo));

    /// <summary>The table after a row was written.</summary>
    public MembershipData With(MembershipRow row, long version) => new(version, [.. Rows.Where(other => !other.Silo.Equals(row.Silo)), row]);

    public ClusterMembershipSnapshot ToSnapshot()
    {
        var members = System.Collections.Immutable.ImmutableDictionary.CreateBuilder<SiloAddress, ClusterMember>();
        foreach (MembershipRow row in Rows) members[row.Silo] = new ClusterMember(row.Silo, row.Status, row.Name);
        return new ClusterMembershipSnapshot(members.ToImmutable(), new MembershipVersion(Version));
    }
}
