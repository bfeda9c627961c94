using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;

namespace Orleans.Runtime;

/// <summary>
/// A silo's view of the membership: what it last read or was told, and its own changes to the table. It never goes back: a table that has
/// lost its memory (a Redis that was started again without data) is told what the silos still know.
/// </summary>
internal sealed partial class MembershipAgent : IAsyncDisposable
{
    private const int MaxAttempts = 100;
    private static readonly TimeSpan RetryDelay = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan PollDelay = TimeSpan.FromMilliseconds(20);

    private readonly Lock _gate = new();
    private readonly SiloAddress _self;
    private readonly ClusterMembershipOptions _options;
    private readonly Func<SiloAddress, ISiloControl> _control;
    private readonly TimeProvider _clock;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _stop = new();
    private MembershipTable? _table;
    private MembershipData _data = MembershipData.Empty;
    private MembershipRow? _own;
    private Version _latest = new(MembershipData.Empty.ToSnapshot());
    private int _refreshing;
    private long _lastReached;

    /// <param name="self">The silo.</param>
    /// <param name="control">Reaches other silos, to tell them of changes.</param>
    /// <param name="options">Times and limits.</param>
    /// <param name="clock">Tells the time.</param>
    /// <param name="logger">Hears of waiting and of deaths.</param>
    public MembershipAgent(SiloAddress self, Func<SiloAddress, ISiloControl> control, ClusterMembershipOptions options, TimeProvider clock, ILogger logger) =>
        (_self, _control, _options, _clock, _logger) = (self, control, options, clock, logger);

    /// <summary>Raised after each change, one after another: the snapshots before and after it.</summary>
    public event Action<ClusterMembershipSnapshot, ClusterMembershipSnapshot>? Changed;

    /// <summary>Raised once when the silo learns that it counts as dead.</summary>
    public event Action<string>? DeclaredDead;

    public ClusterMembershipSnapshot Current => Volatile.Read(ref _latest).Snapshot;

    public MembershipData Data => Volatile.Read(ref _data);

    private TimeSpan LeaseAge => _clock.GetElapsedTime(Volatile.Read(ref _lastReached));

    private MembershipTable Table => _table ?? throw new InvalidOperationException("The silo has not been started; membership works once the host runs.");

    public async IAsyncEnumerable<ClusterMembershipSnapshot> Updates([EnumeratorCancellation] CancellationToken token = default)
    {
        while (true)
        {
            Version version = Volatile.Read(ref _latest);
            yield return version.Snapshot;
            await version.Next.Task.WaitAsync(token);
        }
    }

    /// <summary>Reads the table.</summary>
    public Task RefreshAsync(CancellationToken token) => ReadAsync(token);

    /// <summary>Waits until the membership known here has at least the given version, by reading the table or by word of another silo.</summary>
    /// <exception cref="OrleansException">It does not come.</exception>
    public async Task CatchUpAsync(long version, CancellationToken token)
    {
        for (int attempt = 0; Data.Version < version; attempt++)
        {
            if (attempt == MaxAttempts) throw new OrleansException($"Version {version} of the membership cannot be read; version {Data.Version} is known here.");
            await TryAsync(() => ReadAsync(token));
            if (Data.Version < version) await Task.Delay(PollDelay, _clock, token);
        }
    }

    /// <summary>Reads the table in the background, once for all who ask meanwhile, and until it can be read.</summary>
    public void RefreshSoon()
    {
        if (_table is null || _stop.IsCancellationRequested || Interlocked.Exchange(ref _refreshing, 1) == 1) return;
        _ = Task.Run(async () =>
        {
            TimeSpan delay = TimeSpan.FromMilliseconds(Random.Shared.Next(5, 50));
            while (!_stop.IsCancellationRequested && Volatile.Read(ref _refreshing) == 1)
            {
                await Task.Delay(delay, _clock).ConfigureAwait(false);
                delay = RetryDelay;
                await TryAsync(async () =>
                {
                    await ReadAsync(_stop.Token);
                    Volatile.Write(ref _refreshing, 0);
                });
            }
        });
    }

    /// <summary>Takes over what another silo knows.</summary>
    public void OnGossip(MembershipData data) => Adopt(data);

    public ValueTask DisposeAsync()
    {
        _stop.Cancel();
        return _table?.DisposeAsync() ?? default;
    }

    private async Task ReadAsync(CancellationToken token)
    {
        long known = Data.Version;
        MembershipData data = await Table.ReadAsync(token);
        Volatile.Write(ref _lastReached, _clock.GetTimestamp());
        // The table only ever counts up and keeps who lives, so otherwise it was lost and made anew.
        bool isLost = data.Version < known || data.Find(_self) is null;
        Adopt(data);
        if (!isLost || _own is not { IsLive: true } own) return;
        LogTableLost(data.Version, known);
        await UpdateAsync(latest => latest.Version < Data.Version || latest.Find(_self) is null ? own : null, token);
    }

    /// <summary>Makes a version of the table the current one, unless it is older.</summary>
    private void Adopt(MembershipData data)
    {
        string? verdict;
        lock (_gate)
        {
            if (data.Version <= _data.Version) return;
            data = Merge(data, _data);
            Volatile.Write(ref _data, data);
            Version previous = _latest;
            Volatile.Write(ref _latest, new Version(data.ToSnapshot()));
            previous.Next.SetResult();
            Changed?.Invoke(previous.Snapshot, _latest.Snapshot);
            verdict = Verdict(data);
        }
        if (verdict is not null) OnDeclaredDead(verdict);
    }

    /// <summary>Rows are only ever marked dead; one that is missing was lost, or is so old that it does not matter.</summary>
    private static MembershipData Merge(MembershipData next, MembershipData known)
    {
        IEnumerable<MembershipRow> missing = known.Rows.Where(row => next.Find(row.Silo) is null)
            .Select(row => next.Rows.Any(later => later.Silo.Endpoint.Equals(row.Silo.Endpoint) && later.Silo.Generation > row.Silo.Generation) ? row with { Status = SiloStatus.Dead } : row);
        return next with { Rows = [.. next.Rows, .. missing] };
    }

    /// <summary>Why this silo counts as dead; null if it does not.</summary>
    private string? Verdict(MembershipData data)
    {
        if (_own is null or { Status: SiloStatus.Dead }) return null;
        if (data.Find(_self) is { Status: SiloStatus.Dead } row)
            return $"Silo {_self} was declared dead by {(row.Suspicions.Length == 0 ? "another silo" : string.Join(", ", row.Suspicions.Select(suspicion => suspicion.By)))}, as the membership table says at version {data.Version}.";
        MembershipRow? later = Array.Find(data.Rows, other => other.Silo.Endpoint.Equals(_self.Endpoint) && other.Silo.Generation > _self.Generation && other.Status != SiloStatus.Dead);
        return later is null ? null : $"Silo {later.Silo} was started at the endpoint of silo {_self} and takes its place.";
    }

    /// <summary>Another silo, or the table, says that this one is dead.</summary>
    public void OnDeclaredDead(string reason)
    {
        lock (_gate)
        {
            if (_own is null or { Status: SiloStatus.Dead }) return;
            _own = _own with { Status = SiloStatus.Dead };
        }
        DeclaredDead?.Invoke(reason);
    }

    private sealed class Version(ClusterMembershipSnapshot snapshot)
    {
        public ClusterMembershipSnapshot Snapshot { get; } = snapshot;

        /// <summary>Completes when there is a newer version.</summary>
        public TaskCompletionSource Next { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    [LoggerMessage(LogLevel.Warning, "The membership could not be read: {Reason}")]
    private partial void LogNotRead(string reason);

    [LoggerMessage(LogLevel.Warning, "The membership table is at version {Version}, but {Known} was seen before: it has lost its data, and this silo enters itself again")]
    private partial void LogTableLost(long version, long known);
}
