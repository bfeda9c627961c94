using Conclave.Engine;
using Conclave.Grains;
using Conclave.Grains.Transport;
using Microsoft.Extensions.Logging;
using Orleans;
using Orleans.Runtime;

namespace Conclave.Silo;

/// <summary>
/// Follows the cluster's view for this silo. It asks for the next view again and again, so a change arrives at once and a lost answer costs a second; it
/// hands views to whoever needs them, tells which map the rank uses, and repeats what the map grain should know about this silo until the view says so.
/// </summary>
internal sealed partial class ClusterWatch(
    IGrainFactory grains, ILocalSiloDetails silo, SiloOptions options, ClusterExpertDispatch dispatch, SiloPeers peers, TimeProvider clock, ILogger<ClusterWatch> logger)
{
    private static readonly TimeSpan CallLimit = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan SwitchLimit = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LoadsPeriod = TimeSpan.FromSeconds(5);

    private volatile ClusterView _view = ClusterView.Empty;
    private volatile TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool _hasRank;
    private long _loadsReportedAt;
    private long _loadsReported;
    private string? _failure;

    /// <summary>This silo, as views name it.</summary>
    public string Silo { get; } = silo.SiloAddress.ToParsableString();

    /// <summary>The latest view seen.</summary>
    public ClusterView View => _view;

    /// <summary>The model's map grain.</summary>
    public IExpertMapGrain Map => grains.GetGrain<IExpertMapGrain>(options.ModelName);

    /// <summary>The rank serves from now on, and the view is to name it.</summary>
    public void AnnounceRank() => _hasRank = true;

    /// <summary>Waits for a view that <paramref name="condition"/> holds for.</summary>
    public async Task UntilAsync(Func<ClusterView, bool> condition, CancellationToken cancellationToken)
    {
        while (true)
        {
            Task changed = _changed.Task;
            if (condition(_view)) return;
            await changed.WaitAsync(cancellationToken);
        }
    }

    /// <summary>Follows until cancelled.</summary>
    /// <exception cref="ClusterException">The cluster does not take this silo.</exception>
    public async Task RunAsync(SiloOffer offer, CancellationToken cancellationToken)
    {
        // Kept for good: a step that lacks an expert cannot wait for the next look at the silos.
        dispatch.Missing += missing => _ = RefreshAsync(missing);
        while (!cancellationToken.IsCancellationRequested)
        {
            try
            {
                await FollowAsync(offer, cancellationToken);
                if (_failure is not null) LogReachable();
                _failure = null;
            }
            catch (Exception e) when (Calls.MayBeRepeated(e) && !cancellationToken.IsCancellationRequested)
            {
                if (_failure != e.Message) LogUnreachable(e.Message);
                _failure = e.Message;
                await Task.Delay(RetryPause, clock, cancellationToken);
            }
        }
    }

    /// <summary>A step waits for experts that nobody has: the map grain is to look at once, should it not know yet.</summary>
    private async Task RefreshAsync(ExpertsMissing missing)
    {
        string hint = $"experts {string.Join(' ', missing.Experts)} of layer {missing.Layer} are missing at {Silo}";
        LogMissing(hint, missing.Waited.TotalMilliseconds);
        try
        {
            await Map.Refresh(hint).WaitAsync(CallLimit, clock);
        }
        catch (Exception e) when (Calls.MayBeRepeated(e))
        {
            LogUnreachable(e.Message);
        }
    }

    private async Task FollowAsync(SiloOffer offer, CancellationToken cancellationToken)
    {
        var report = new SiloReport { Silo = Silo, MapVersion = _hasRank ? dispatch.MapVersion : 0, Epoch = _view.Epoch };
        ClusterView view = await Map.Next(report).WaitAsync(CallLimit, clock, cancellationToken);
        if (view.Epoch < _view.Epoch)
        {
            await Map.Restore(_view).WaitAsync(CallLimit, clock, cancellationToken);
            return;
        }

        if (view.Epoch > _view.Epoch) await ApplyAsync(view, cancellationToken);
        if (!view.Silos.Any(o => o.Silo == Silo))
        {
            await Map.Join(offer).WaitAsync(CallLimit, clock, cancellationToken);
            // Should the grain not take the offer for good, this is no reason to hurry.
            if (view.Epoch == report.Epoch) await Task.Delay(RetryPause, clock, cancellationToken);
        }
        else if (_hasRank && !view.Ranks.Contains(Silo) && !view.Draining.Contains(Silo))
        {
            await Map.RankReady(Silo).WaitAsync(CallLimit, clock, cancellationToken);
        }

        await ReportLoadsAsync(cancellationToken);
    }

    private async Task ApplyAsync(ClusterView view, CancellationToken cancellationToken)
    {
        peers.Use(view);
        dispatch.Use(view);
        _view = view;
        TaskCompletionSource changed = _changed;
        _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        changed.TrySetResult();
        LogView(view.Epoch, view.Map.Version, view.Silos.Length, view.Ranks.Length, view.MissingExperts);
        // The step under way ends soon; waiting for it here tells the map grain at once rather than a second later.
        long start = clock.GetTimestamp();
        while (_hasRank && dispatch.MapVersion < view.Map.Version && clock.GetElapsedTime(start) < SwitchLimit)
            await Task.Delay(TimeSpan.FromMilliseconds(5), clock, cancellationToken);
    }

    private async Task ReportLoadsAsync(CancellationToken cancellationToken)
    {
        if (!_hasRank || clock.GetElapsedTime(_loadsReportedAt) < LoadsPeriod) return;
        _loadsReportedAt = clock.GetTimestamp();
        long[] totals = dispatch.Counter.Totals();
        long sum = totals.Sum();
        if (sum == _loadsReported) return;
        await Map.ReportLoads(Silo, totals).WaitAsync(CallLimit, clock, cancellationToken);
        _loadsReported = sum;
    }

    [LoggerMessage(Level = LogLevel.Debug, Message = "view {Epoch}: map version {MapVersion}, {Silos} silos, {Ranks} ranks, {Missing} experts without a place")]
    private partial void LogView(long epoch, long mapVersion, int silos, int ranks, int missing);

    [LoggerMessage(Level = LogLevel.Warning, Message = "the map grain cannot be reached, the last view goes on: {Reason}")]
    private partial void LogUnreachable(string reason);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Hint}: a step has waited for them {WaitedMs:F0} ms")]
    private partial void LogMissing(string hint, double waitedMs);

    [LoggerMessage(Level = LogLevel.Information, Message = "the map grain answers again")]
    private partial void LogReachable();
}
