using System.Collections.Immutable;
using Conclave.Engine;
using Conclave.Grains;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans;

namespace Conclave.Gateway.Ranks;

/// <summary>
/// Knows which ranks serve the model and picks one for each sequence. Looks at cluster and ranks in the background; picking is local and never waits
/// for a silo, least of all a dead one.
/// </summary>
public sealed partial class RankDirectory(IClusterClient cluster, ServedModel model, FailoverOptions options, TimeProvider clock, ILogger<RankDirectory> logger) : BackgroundService
{
    /// <summary>How often to look while no rank can be used.</summary>
    private static readonly TimeSpan Hurry = TimeSpan.FromMilliseconds(100);

    /// <summary>For so long after the last rank has gone it may be a false alarm.</summary>
    private static readonly TimeSpan Doubt = TimeSpan.FromSeconds(2);

    private readonly Polly.ResiliencePipeline<ClusterView> _viewing = Resilience.View(options, clock);
    private readonly TaskCompletionSource _looked = NewSignal();
    private volatile ImmutableList<KnownRank> _ranks = [];
    private volatile TaskCompletionSource _changed = NewSignal();
    private volatile string _trouble = "the cluster has not been reached yet";
    private readonly PrefixHints _hints = new();
    private bool _hasView;
    private int _turn;
    private long _lastRank;

    /// <summary>Whether a sequence could be sent somewhere now.</summary>
    public bool HasRank => UsableCount > 0;

    /// <summary>Ranks that take sequences now.</summary>
    public int UsableCount => _ranks.Count(rank => rank.IsUsable);

    /// <summary>The same, but not disturbed by a rank that is asked again after a failure.</summary>
    public bool IsReady => HasRank || (Interlocked.Read(ref _lastRank) is var last and not 0 && clock.GetElapsedTime(last) < Doubt);

    /// <summary>Cluster and ranks have been looked at once.</summary>
    public Task Looked => _looked.Task;

    /// <summary>Why there is no rank, for people.</summary>
    public string Trouble => _trouble;

    /// <inheritdoc/>
    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        // A host that has started can serve at once if the cluster can.
        await RefreshAsync(cancellationToken);
        _looked.TrySetResult();
        await base.StartAsync(cancellationToken);
    }

    /// <summary>
    /// The rank that takes sequences and costs least by <see cref="RankCost"/>; <paramref name="preferred"/> if it is usable. Waits until there is one. The sequence is taken to go there.
    /// </summary>
    /// <param name="preferred">A silo that expects the sequence; null for none.</param>
    /// <param name="prefix">The sequence's tokens so far, as <see cref="PrefixHints.Blocks"/>.</param>
    /// <param name="patience">How long to wait.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="OperatingException">There was none all the time.</exception>
    internal async ValueTask<KnownRank> PickAsync(string? preferred, ulong[] prefix, TimeSpan patience, CancellationToken cancellationToken)
    {
        long start = clock.GetTimestamp();
        while (true)
        {
            // The signal first: what changes after the look then wakes the wait.
            Task changed = _changed.Task;
            if (TryPick(preferred, prefix) is { } rank)
            {
                _hints.Note(prefix, rank.Silo);
                return rank;
            }

            TimeSpan left = patience - clock.GetElapsedTime(start);
            if (left <= TimeSpan.Zero) throw new OperatingException(OperatingError.Unavailable, $"no silo serves the model at the moment ({_trouble}); try again shortly");
            await changed.WaitAsync(left, clock, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            cancellationToken.ThrowIfCancellationRequested();
        }
    }

    /// <summary><paramref name="rank"/> has computed a sequence that begins with <paramref name="prefix"/>.</summary>
    internal void Note(KnownRank rank, ulong[] prefix) => _hints.Note(prefix, rank.Silo);

    /// <summary><paramref name="rank"/> has failed a request: it is avoided until it answers again, and asked at once.</summary>
    internal void Report(KnownRank rank)
    {
        rank.Avoid();
        _ = ProbeAsync(rank, CancellationToken.None);
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            await Task.Delay(HasRank ? TimeSpan.FromMilliseconds(options.RefreshMs) : Hurry, clock, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (!stoppingToken.IsCancellationRequested) await RefreshAsync(stoppingToken);
        }
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private KnownRank? TryPick(string? preferred, ulong[] prefix)
    {
        ImmutableList<KnownRank> ranks = _ranks;
        if (preferred is not null)
        {
            KnownRank wanted = ranks.Find(rank => rank.Silo == preferred) ?? Know(preferred);
            // One that is new here has not been asked yet; whoever sent us there knows that it is well.
            if (wanted.IsUsable || !ranks.Contains(wanted)) return wanted;
        }

        // Equal ones in turn, so that gateways that start together do not all begin with the same.
        Dictionary<string, int> cached = ranks.Count > 1 ? _hints.CachedTokens(prefix) : [];
        int first = ranks.Count == 0 ? 0 : (int)((uint)Interlocked.Increment(ref _turn) % ranks.Count);
        KnownRank? best = null;
        long leastCost = long.MaxValue;
        for (int i = 0; i < ranks.Count; i++)
        {
            KnownRank rank = ranks[(first + i) % ranks.Count];
            if (!rank.IsUsable) continue;
            long cost = RankCost.Of(rank.Load, cached.GetValueOrDefault(rank.Silo));
            if (cost < leastCost) (best, leastCost) = (rank, cost);
        }

        return best;
    }

    private async Task RefreshAsync(CancellationToken cancellationToken)
    {
        ImmutableList<KnownRank> known = _ranks;
        await Task.WhenAll([ReadViewAsync(cancellationToken), .. known.Select(rank => ProbeAsync(rank, cancellationToken))]);
        await Task.WhenAll(_ranks.Except(known).Select(rank => ProbeAsync(rank, cancellationToken)));
    }

    private async Task ReadViewAsync(CancellationToken cancellationToken)
    {
        try
        {
            ClusterView view = await _viewing.ExecuteAsync(async token => await cluster.GetGrain<IExpertMapGrain>(model.Name).Current().WaitAsync(token), cancellationToken);
            ImmutableList<KnownRank> known = _ranks;
            _ranks = [.. view.Ranks.Distinct().Select(silo => known.Find(rank => rank.Silo == silo) ?? Know(silo))];
            if (!_hasView) LogReached(model.Name, view.Ranks.Length);
            _hasView = true;
            if (_ranks.IsEmpty) _trouble = "no silo of the cluster has a rank";
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            // The map's silo may be gone, and the map on its way to another one: the ranks known last are still the best guess.
            if (_ranks.IsEmpty) _trouble = $"the cluster does not answer: {e.Message}";
            if (_hasView) LogViewLost(e.Message);
            else LogWaiting(e.Message);
        }
    }

    private KnownRank Know(string silo) => new(silo, cluster.GetGrain<IGatewayGrain>(SiloKey.Rank(silo)), Resilience.Probe(options, clock), options.ProbeTimeoutMs, clock);

    private async Task ProbeAsync(KnownRank rank, CancellationToken cancellationToken)
    {
        bool hasChanged = await rank.Probe(
            trouble =>
            {
                _trouble = $"silo {rank.Silo}: {trouble}";
                LogAvoided(rank.Silo, trouble);
            },
            cancellationToken);
        if (rank.IsUsable) Interlocked.Exchange(ref _lastRank, clock.GetTimestamp());
        if (hasChanged || rank.IsUsable) Interlocked.Exchange(ref _changed, NewSignal()).TrySetResult();
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "reached the cluster: {Ranks} ranks serve {Model}")]
    private partial void LogReached(string model, int ranks);

    [LoggerMessage(Level = LogLevel.Warning, Message = "waiting for the cluster: {Reason}")]
    private partial void LogWaiting(string reason);

    [LoggerMessage(Level = LogLevel.Debug, Message = "the cluster's view cannot be read at the moment, the ranks known last are used: {Reason}")]
    private partial void LogViewLost(string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "silo {Silo} gets no new sequences until it answers again: {Reason}")]
    private partial void LogAvoided(string silo, string reason);
}
