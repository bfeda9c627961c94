using Conclave.Engine;
using Conclave.Model.Checkpoints;
using Microsoft.Extensions.Logging;
using Orleans;
using Orleans.Concurrency;
using Orleans.Runtime;

namespace Conclave.Grains;

/// <summary>
/// Owns the expert map of one model. Calls change the view in memory and return; a timer does what takes time: looks for silos that are gone, plans,
/// has slots load, publishes, stores, lets old weights go. Every step can be repeated, and none waits for another silo longer than a moment.
/// </summary>
[Reentrant]
public sealed partial class ExpertMapGrain : Grain, IExpertMapGrain
{
    /// <summary>Name of the grain storage that keeps the map.</summary>
    public const string Storage = "maps";

    // What a predecessor may have published and could not store has epochs and versions in this gap.
    private const int Gap = 100;
    private static readonly TimeSpan Period = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan PollWait = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LoadHalfLife = TimeSpan.FromMinutes(2);

    private readonly IPersistentState<ExpertMapState> _state;
    private readonly Checkpoint _checkpoint;
    private readonly IReadOnlyList<long> _expertSizes;
    private readonly IClusterMembershipService _membership;
    private readonly TimeProvider _clock;
    private readonly ILogger<ExpertMapGrain> _logger;
    private readonly ExpertLoads _loads;
    private readonly Dictionary<string, SiloReport> _reports = [];
    private ClusterView _view = ClusterView.Empty;
    private long _lastVersion;
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private IGrainTimer? _timer;

    /// <summary>Made by Orleans.</summary>
    public ExpertMapGrain(
        [PersistentState("map", Storage)] IPersistentState<ExpertMapState> state, Checkpoint checkpoint, IClusterMembershipService membership, TimeProvider clock,
        ILogger<ExpertMapGrain> logger)
    {
        (_state, _checkpoint, _membership, _clock, _logger) = (state, checkpoint, membership, clock, logger);
        _expertSizes = ExpertSizes.Of(checkpoint);
        _loads = new ExpertLoads(_expertSizes.Count * checkpoint.Config.RoutedExpertCount, LoadHalfLife, clock);
    }

    /// <summary>Takes up the stored view, and leaves a gap in its numbers.</summary>
    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        if (_state.RecordExists)
        {
            _view = _state.State.ToView();
            (_storedEpoch, _storedLoadedAs) = (_view.Epoch, _view.Map.LoadedAs);
            _lastVersion = _view.Map.Version + Gap;
            Publish(_view with { Epoch = _view.Epoch + Gap });
            PlanSoon("the map grain has started");
        }

        _timer = this.RegisterGrainTimer(TickAsync, new GrainTimerCreationOptions(TimeSpan.Zero, Period) { Interleave = true, KeepAlive = true });
        return Task.CompletedTask;
    }

    /// <summary>Answers those who wait for news.</summary>
    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        _timer?.Dispose();
        _changed.TrySetResult();
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<ClusterView> Join(SiloOffer offer)
    {
        if (!SiloOffers.AreEqual(_view.Silos.FirstOrDefault(o => o.Silo == offer.Silo), offer))
        {
            if (_view.Silos.FirstOrDefault(o => o.Fingerprint != offer.Fingerprint && o.Silo != offer.Silo) is { } other)
                throw new ClusterException(OperatingError.InvalidRequest, $"the silo has {offer.Fingerprint}, silo {other.Silo} has {other.Fingerprint}: give all silos the same --model, --dispatch-dtype and --kv-dtype");
            LogJoined(offer.Silo, offer.Slots, offer.Attention);
            Publish(_view.With(offer, _expertSizes, _lastVersion + 1));
            PlanSoon("a silo joined");
        }

        return Current();
    }

    /// <inheritdoc/>
    public Task RankReady(string silo)
    {
        if (_view.Ranks.Contains(silo) || _view.Draining.Contains(silo)) return Task.CompletedTask;
        if (!IsMember(silo)) throw new ClusterException(OperatingError.Unavailable, $"silo {silo} is no member; it has to join first");
        LogRankReady(silo);
        Publish(_view with { Ranks = [.. _view.Ranks, silo] });
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<bool> Drain(string silo)
    {
        if (!IsMember(silo)) return Task.FromResult(true);
        if (!_view.Draining.Contains(silo))
        {
            LogDraining(silo);
            Publish(_view.WithDraining(silo));
            PlanSoon("a silo drains");
        }

        bool othersTake = _view.Silos.Any(o => o.Slots > 0 && !_view.Draining.Contains(o.Silo));
        return Task.FromResult(!othersTake || (!_view.Map.Names(silo) && LeastUsed(except: silo) >= _view.Map.LoadedAs));
    }

    /// <inheritdoc/>
    public Task Leave(string silo)
    {
        if (IsMember(silo)) Drop([silo], "left");
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<ClusterView> Current() => Task.FromResult(_view);

    /// <inheritdoc/>
    public async Task<ClusterView> Next(SiloReport report)
    {
        if (IsMember(report.Silo)) _reports[report.Silo] = report;
        if (report.Epoch == _view.Epoch) await Task.WhenAny(_changed.Task, Task.Delay(PollWait, _clock));
        return _view;
    }

    /// <inheritdoc/>
    public Task Restore(ClusterView seen)
    {
        if (seen.Epoch <= _view.Epoch) return Task.CompletedTask;
        LogRestored(seen.Epoch, seen.Map.Version, _view.Epoch);
        // What joined here meanwhile must not be lost with the older view.
        SiloOffer[] joined = [.. _view.Silos.Where(o => seen.Silos.All(other => other.Silo != o.Silo))];
        _lastVersion = Math.Max(_lastVersion, seen.Map.Version) + Gap;
        ClusterView view = seen;
        foreach (SiloOffer offer in joined) view = view.With(offer, _expertSizes, _lastVersion + 1);
        Publish(view);
        PlanSoon("the view was restored");
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public async Task Refresh(string hint)
    {
        LogRefresh(hint);
        try
        {
            await _membership.Refresh();
        }
        catch (Exception e)
        {
            // Whatever the membership's storage throws: what is known already has to do.
            LogNotRefreshed(e.Message);
        }

        if (_view.MissingExperts > 0) PlanSoon(hint);
        WakeUp();
    }

    private bool IsMember(string silo) => _view.Silos.Any(o => o.Silo == silo);

    /// <summary>The oldest map version that a rank may still use; <see cref="long.MaxValue"/> without ranks, 0 if one has not reported yet.</summary>
    private long LeastUsed(string? except = null)
    {
        long least = long.MaxValue;
        foreach (SiloOffer offer in _view.Silos)
        {
            if (offer.Silo == except || !offer.Attention) continue;
            long used = _reports.GetValueOrDefault(offer.Silo)?.MapVersion ?? 0;
            bool serves = used > 0 || _view.Ranks.Contains(offer.Silo);
            if (serves) least = Math.Min(least, used);
        }

        return least;
    }

    private void Publish(ClusterView view)
    {
        _view = view with { Epoch = Math.Max(view.Epoch, _view.Epoch + 1) };
        _lastVersion = Math.Max(_lastVersion, _view.Map.Version);
        TaskCompletionSource changed = _changed;
        _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        changed.TrySetResult();
        WakeUp();
    }

    /// <summary>Silos are gone: their ranks and slots leave the view at once, and what they held is placed anew.</summary>
    private void Drop(IReadOnlyCollection<string> silos, string why)
    {
        foreach (string silo in silos)
        {
            _reports.Remove(silo);
            _loads.Forget(silo);
            LogDropped(silo, why);
        }

        Publish(_view.Without(silos.Contains, _expertSizes, _lastVersion + 1));
        PlanSoon($"a silo {why}");
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "silo {Silo} joins with {Slots} expert slots, attention {Attention}")]
    private partial void LogJoined(string silo, int slots, bool attention);

    [LoggerMessage(Level = LogLevel.Information, Message = "the rank of silo {Silo} serves")]
    private partial void LogRankReady(string silo);

    [LoggerMessage(Level = LogLevel.Information, Message = "silo {Silo} drains")]
    private partial void LogDraining(string silo);

    [LoggerMessage(Level = LogLevel.Information, Message = "silo {Silo} is out of the map: it {Why}")]
    private partial void LogDropped(string silo, string why);

    [LoggerMessage(Level = LogLevel.Warning, Message = "the view of epoch {Epoch} with map version {MapVersion} came back from a silo; only epoch {KnownEpoch} was stored")]
    private partial void LogRestored(long epoch, long mapVersion, long knownEpoch);

    [LoggerMessage(Level = LogLevel.Debug, Message = "asked to look again: {Hint}")]
    private partial void LogRefresh(string hint);

    [LoggerMessage(Level = LogLevel.Warning, Message = "the membership cannot be read at the moment: {Reason}")]
    private partial void LogNotRefreshed(string reason);
}
