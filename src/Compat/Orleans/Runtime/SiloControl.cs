namespace Orleans.Runtime;

/// <summary>What silos ask each other's runtimes.</summary>
[Alias("sys.silo")]
internal interface ISiloControl : IAddressable
{
    /// <summary>Answers; that is all.</summary>
    Task Ping();

    /// <summary>Tells of a change of the membership.</summary>
    [Concurrency.OneWay] Task Gossip(MembershipData data);

    /// <summary>The membership table, of the primary silo of a cluster on one machine.</summary>
    Task<MembershipData> ReadTable();

    Task<bool> WriteTable(long expectedVersion, long nextVersion, MembershipRow row);

    Task NoteAlive(SiloAddress silo, DateTimeOffset at);

    Task PruneTable(DateTimeOffset before);

    /// <summary>Where a grain lives, asked of the silo whose part of the directory it is in.</summary>
    Task<DirectoryAnswer> Lookup(GrainId grain, long version);

    /// <summary>Enters an activation unless another one lives; the one that it takes over from does not count.</summary>
    Task<DirectoryAnswer> Register(GrainAddress address, GrainAddress? previous, long version);

    Task<DirectoryAnswer> Unregister(GrainAddress address, long version);

    /// <summary>The activations of this silo that a silo's part of the directory should know, once membership has the given version.</summary>
    Task<ActivationsAnswer> ActivationsOf(SiloAddress owner, long version);
}

/// <inheritdoc cref="ISiloControl"/>
internal sealed class SiloControl(SiloRuntime silo) : ISiloControl
{
    private readonly MemoryMembershipTable _table = new();

    public Task Ping() => Task.CompletedTask;

    public Task Gossip(MembershipData data)
    {
        silo.Membership.OnGossip(data);
        return Task.CompletedTask;
    }

    public Task<MembershipData> ReadTable() => Task.FromResult(_table.Read());

    public Task<bool> WriteTable(long expectedVersion, long nextVersion, MembershipRow row) => Task.FromResult(_table.TryWrite(expectedVersion, nextVersion, row));

    public Task NoteAlive(SiloAddress silo, DateTimeOffset at)
    {
        _table.NoteAlive(silo, at);
        return Task.CompletedTask;
    }

    public Task PruneTable(DateTimeOffset before)
    {
        _table.Prune(before);
        return Task.CompletedTask;
    }

    public Task<DirectoryAnswer> Lookup(GrainId grain, long version) => silo.Directory.AnswerLookupAsync(grain, version);

    public Task<DirectoryAnswer> Register(GrainAddress address, GrainAddress? previous, long version) => silo.Directory.AnswerRegisterAsync(address, previous, version);

    public Task<DirectoryAnswer> Unregister(GrainAddress address, long version) => silo.Directory.AnswerUnregisterAsync(address, version);

    public Task<ActivationsAnswer> ActivationsOf(SiloAddress owner, long version) => silo.Directory.AnswerActivationsAsync(owner, version);
}
