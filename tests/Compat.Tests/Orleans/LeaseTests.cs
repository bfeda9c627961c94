using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans;
using Orleans.Configuration;
using Orleans.Runtime;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>Who reaches neither the membership table nor any other silo for its lease stops, and nobody else.</summary>
public sealed class LeaseTests : IAsyncLifetime
{
    private static readonly SiloAddress Self = SiloAddress.New(IPAddress.Loopback, 11111, 1);

    private readonly HandClock _clock = new();
    private readonly Table _table = new();
    private readonly ClusterMembershipOptions _options = new() { IAmAliveTablePublishTimeout = TimeSpan.FromMinutes(10), TableRefreshTimeout = TimeSpan.FromMinutes(10), NumMissedTableIAmAliveLimit = 3 };
    private readonly List<string> _verdicts = [];
    private MembershipAgent _agent = null!;

    public async Task InitializeAsync()
    {
        _agent = new MembershipAgent(Self, _ => throw new InvalidOperationException("there is no other silo"), _options, _clock, NullLogger.Instance);
        _agent.DeclaredDead += _verdicts.Add;
        await _agent.EnterAsync(_table, "alone", 30000, default);
        await _agent.SetStatusAsync(SiloStatus.Active, default);
    }

    public async Task DisposeAsync() => await _agent.DisposeAsync();

    [Fact]
    public async Task Within_its_lease_a_silo_goes_on_without_anyone()
    {
        _table.IsLost = true;
        _clock.Advance(TimeSpan.FromMinutes(29));
        await _agent.OnNobodyAnswersAsync();
        Assert.Empty(_verdicts);
    }

    [Fact]
    public async Task When_its_lease_has_run_out_it_stops_and_says_why()
    {
        _table.IsLost = true;
        _clock.Advance(TimeSpan.FromMinutes(31));
        await _agent.OnNobodyAnswersAsync();
        await _agent.OnNobodyAnswersAsync();
        Assert.Contains("could not renew its lease for 1860 s", Assert.Single(_verdicts), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_table_that_is_back_renews_the_lease_before_the_verdict()
    {
        _table.IsLost = true;
        _clock.Advance(TimeSpan.FromMinutes(31));
        _table.IsLost = false;
        await _agent.OnNobodyAnswersAsync();
        _table.IsLost = true;
        _clock.Advance(TimeSpan.FromMinutes(29));
        await _agent.OnNobodyAnswersAsync();
        Assert.Empty(_verdicts);
    }

    [Fact]
    public async Task A_table_of_one_host_is_no_lease()
    {
        _table.IsLeased = false;
        _table.IsLost = true;
        _clock.Advance(TimeSpan.FromHours(10));
        await _agent.OnNobodyAnswersAsync();
        Assert.Empty(_verdicts);
    }

    /// <summary>A table in memory that can be out of reach.</summary>
    private sealed class Table : MembershipTable
    {
        private readonly MemoryMembershipTable _rows = new();

        public bool IsLost { get; set; }

        public bool IsLeased { get; set; } = true;

        public override bool IsLease => IsLeased;

        public override Task<MembershipData> ReadAsync(CancellationToken token) => Reach(_rows.Read);

        public override Task<bool> TryWriteAsync(long expectedVersion, long nextVersion, MembershipRow row, CancellationToken token) => Reach(() => _rows.TryWrite(expectedVersion, nextVersion, row));

        public override Task NoteAliveAsync(SiloAddress silo, DateTimeOffset at, CancellationToken token) => Reach(() => IsLost);

        public override Task PruneAsync(DateTimeOffset before, CancellationToken token) => Reach(() => IsLost);

        private Task<T> Reach<T>(Func<T> action) => IsLost ? Task.FromException<T>(new TimeoutException("the table is out of reach")) : Task.FromResult(action());
    }

    /// <summary>A clock that is set by hand; its timers are the machine's, and none of this class's comes round.</summary>
    private sealed class HandClock : TimeProvider
    {
        private long _ticks = new DateTime(2026, 1, 1, 0, 0, 0, DateTimeKind.Utc).Ticks;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public void Advance(TimeSpan time) => _ticks += time.Ticks;

        public override long GetTimestamp() => _ticks;

        public override DateTimeOffset GetUtcNow() => new(_ticks, TimeSpan.Zero);
    }
}
