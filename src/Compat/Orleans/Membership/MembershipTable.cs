namespace Orleans.Runtime;

/// <summary>
/// Where the membership of a cluster is kept. A row is written together with the table's version, and only if that version is still
/// the one that the writer has read: all changes lie in one order, and every verdict is made in knowledge of the others.
/// </summary>
internal abstract class MembershipTable : IAsyncDisposable
{
    /// <summary>Raised when the table can be reached again after it could not.</summary>
    public event Action? Restored;

    public abstract Task<MembershipData> ReadAsync(CancellationToken token);

    /// <summary>Writes a row if the table is at the expected version, and raises it to the next one; otherwise false.</summary>
    public abstract Task<bool> TryWriteAsync(long expectedVersion, long nextVersion, MembershipRow row, CancellationToken token);

    /// <summary>Whether a silo that reaches neither the table nor any other silo has to stop, since the others may go on without it.</summary>
    public virtual bool IsLease => false;

    /// <summary>Whether the table is gone for good, so that nobody need be told of leaving.</summary>
    public virtual bool IsGone(MembershipData data) => false;

    /// <summary>Notes that a silo lives. The version stays as it is.</summary>
    public abstract Task NoteAliveAsync(SiloAddress silo, DateTimeOffset at, CancellationToken token);

    /// <summary>Deletes rows of silos that died before a point in time.</summary>
    public abstract Task PruneAsync(DateTimeOffset before, CancellationToken token);

    public virtual ValueTask DisposeAsync() => default;

    protected void RaiseRestored() => Restored?.Invoke();
}

/// <summary>The table in the memory of the primary silo.</summary>
internal sealed class MemoryMembershipTable
{
    private readonly Lock _gate = new();
    private MembershipData _data = MembershipData.Empty;

    public MembershipData Read()
    {
        lock (_gate) return _data;
    }

    public bool TryWrite(long expectedVersion, long nextVersion, MembershipRow row)
    {
        lock (_gate)
        {
            if (_data.Version != expectedVersion) return false;
            _data = _data.With(row, nextVersion);
            return true;
        }
    }

    public void NoteAlive(SiloAddress silo, DateTimeOffset at)
    {
        lock (_gate)
            if (_data.Find(silo) is { } row) _data = _data.With(row with { AliveAt = at }, _data.Version);
    }

    public void Prune(DateTimeOffset before)
    {
        lock (_gate) _data = _data with { Rows = [.. _data.Rows.Where(row => row.Status != SiloStatus.Dead || row.Since >= before)] };
    }
}

/// <summary>The table of a cluster on one machine: the primary silo has it, the others ask that one.</summary>
internal sealed class LocalhostMembershipTable(SiloRuntime silo, System.Net.IPEndPoint primary) : MembershipTable
{
    // The primary may be started again, so no generation is asked for.
    private readonly ISiloControl _primary = silo.Control(primary.Equals(silo.Address.Endpoint) ? silo.Address : SiloAddress.New(primary, 0));

    public override bool IsGone(MembershipData data) =>
        data.Rows.Any(row => row.Silo.Endpoint.Equals(primary)) && data.Rows.All(row => !row.Silo.Endpoint.Equals(primary) || row.Status == SiloStatus.Dead);

    public override Task<MembershipData> ReadAsync(CancellationToken token) => _primary.ReadTable().WaitAsync(token);

    public override Task<bool> TryWriteAsync(long expectedVersion, long nextVersion, MembershipRow row, CancellationToken token) =>
        _primary.WriteTable(expectedVersion, nextVersion, row).WaitAsync(token);

    public override Task NoteAliveAsync(SiloAddress silo, DateTimeOffset at, CancellationToken token) => _primary.NoteAlive(silo, at).WaitAsync(token);

    public override Task PruneAsync(DateTimeOffset before, CancellationToken token) => _primary.PruneTable(before).WaitAsync(token);
}
