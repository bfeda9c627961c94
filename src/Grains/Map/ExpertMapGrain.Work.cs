using Microsoft.Extensions.Logging;
using Orleans;
using Orleans.Runtime;
using Orleans.Storage;

namespace Conclave.Grains;

/// <content>What takes time, one round of the timer after the other.</content>
public sealed partial class ExpertMapGrain
{
    private static readonly TimeSpan AskLimit = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan RetryPause = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan UnknownLimit = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan SettleLimit = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan BalanceCheckPeriod = TimeSpan.FromSeconds(10);

    private readonly Dictionary<string, long> _unknownSince = [];
    private SlotLoader? _loader;
    private string? _planReason;
    private string? _planFault;
    private long? _planSince;
    private long? _faultAt;
    private bool _isWorking;
    private bool _isWoken;
    private long _released;
    private Task _releasing = Task.CompletedTask;
    private long? _rebalancedAt;
    private long _balanceCheckedAt;

    /// <summary>Has the next round run at once.</summary>
    private void WakeUp()
    {
        _isWoken = true;
        _timer?.Change(TimeSpan.Zero, Period);
    }

    private void PlanSoon(string reason)
    {
        _planReason = reason;
        _planSince ??= _clock.GetTimestamp();
        // What loads now was planned for another cluster.
        _loader = null;
        WakeUp();
    }

    private async Task TickAsync(CancellationToken cancellationToken)
    {
        if (_isWorking) return;
        _isWorking = true;
        try
        {
            do
            {
                _isWoken = false;
                DropDead();
                StoreIfChanged();
                if (_planReason is not null && HasSettled()) await PlanAsync();
                await LoadAsync();
                ReleaseOld();
                await BalanceIfDueAsync();
            }
            while (_isWoken && !cancellationToken.IsCancellationRequested);
        }
        finally
        {
            _isWorking = false;
        }
    }

    /// <summary>Membership's word is final: a silo that is dead, or unknown for long, is out; one that stops is drained.</summary>
    private void DropDead()
    {
        ClusterMembershipSnapshot members = _membership.CurrentSnapshot;
        List<string> dead = [], stopping = [];
        foreach (SiloOffer offer in _view.Silos)
        {
            SiloStatus status = members.GetSiloStatus(SiloAddress.FromParsableString(offer.Silo));
            if (status != SiloStatus.None) _unknownSince.Remove(offer.Silo);
            if (status == SiloStatus.Dead || (status == SiloStatus.None && IsUnknownForLong(offer.Silo))) dead.Add(offer.Silo);
            if (status is SiloStatus.ShuttingDown or SiloStatus.Stopping && !_view.Draining.Contains(offer.Silo)) stopping.Add(offer.Silo);
        }

        if (dead.Count > 0) Drop(dead, "died");
        if (stopping.Count == 0) return;
        foreach (string silo in stopping) LogDraining(silo);
        Publish(stopping.Aggregate(_view, (view, silo) => view.WithDraining(silo)));
        PlanSoon("a silo stops");
    }

    private bool IsUnknownForLong(string silo)
    {
        if (!_unknownSince.TryGetValue(silo, out long since)) _unknownSince[silo] = since = _clock.GetTimestamp();
        return _clock.GetElapsedTime(since) > UnknownLimit;
    }

    /// <summary>
    /// Whether to plan now. The first map waits a little for silos that Orleans knows and that have not offered themselves yet: otherwise the
    /// first of several that start together would load everything.
    /// </summary>
    private bool HasSettled()
    {
        if (_faultAt is { } at && _clock.GetElapsedTime(at) < RetryPause) return false;
        if (_view.Map.Version > 0 || _clock.GetElapsedTime(_planSince ?? 0) > SettleLimit) return true;
        return _membership.CurrentSnapshot.Members.Values
            .Where(member => member.Status is SiloStatus.Joining or SiloStatus.Active)
            .All(member => IsMember(member.SiloAddress.ToParsableString()));
    }

    private async Task PlanAsync()
    {
        string reason = _planReason!;
        (_planReason, _planSince, _faultAt) = (null, null, null);
        ClusterView view = _view;
        double[] loads = _loads.Current();
        (PlacementPlan plan, string? fault) = await Task.Run(() => MapPlanner.Plan(view, _checkpoint.Config, _expertSizes, loads));
        // Someone came or went meanwhile: that has asked for another plan.
        if (_planReason is not null) return;
        if (fault is not null && fault != _planFault) LogNoRoom(fault);
        _planFault = fault;
        Load(plan, reason);
    }

    private void Load(PlacementPlan plan, string reason)
    {
        if (_view.Map.Version > 0 && plan.Map.PlacesAs(_view.Map))
        {
            _loader = null;
            return;
        }

        long version = ++_lastVersion;
        _loader = new SlotLoader(plan.Map with { Version = version, LoadedAs = version }, plan, GrainFactory);
        LogLoading(version, reason, plan.MovedCount, plan.MovedSizeBytes, plan.Balance.Ratio, plan.CoveredFraction);
        WakeUp();
    }

    private async Task LoadAsync()
    {
        if (_loader is not { } loader) return;
        await loader.AskAsync(AskLimit, _clock);
        if (loader.TakeFailure() is { } failure) LogSlotFailed(failure);
        if (!ReferenceEquals(loader, _loader)) return;
        if (loader.Fault is { } fault)
        {
            LogSlotFault(loader.Target.Version, fault);
            (_planFault, _faultAt) = (fault, _clock.GetTimestamp());
            PlanSoon("a slot could not load");
        }
        else if (loader.IsReady)
        {
            _loader = null;
            LogPublished(loader.Target.Version, loader.Plan.CoveredFraction);
            Publish(_view with { Map = loader.Target, MissingExperts = loader.Target.CountMissing(_expertSizes) });
        }
    }

    /// <summary>Old weights go when the new map is stored and every rank uses it: until then someone may have to go back.</summary>
    private void ReleaseOld()
    {
        long loadedAs = _view.Map.LoadedAs;
        if (loadedAs <= _released || !_releasing.IsCompleted || _storedLoadedAs < loadedAs || LeastUsed() < loadedAs) return;
        _releasing = ReleaseAsync(_view.Map);
    }

    private async Task ReleaseAsync(ExpertMap map)
    {
        try
        {
            await Task.WhenAll(map.SlotKeys.Select(key => GrainFactory.GetGrain<IExpertShardGrain>(key).Retain(map.LoadedAs)));
            _released = map.LoadedAs;
            LogReleased(map.LoadedAs);
        }
        catch (Exception e) when (Calls.MayBeRepeated(e))
        {
            LogSlotFailed(e.Message);
            await Task.Delay(RetryPause, _clock);
        }
    }

    private async Task BalanceIfDueAsync()
    {
        if (_clock.GetElapsedTime(_balanceCheckedAt) < BalanceCheckPeriod || MapPlanner.Effective(_view).Automatic != true) return;
        _balanceCheckedAt = _clock.GetTimestamp();
        if (_loader is not null || _planReason is not null || !_view.IsComplete || _view.Draining.Length > 0) return;
        ClusterView view = _view;
        double[] loads = _loads.Current();
        RebalancePolicy policy = MapPlanner.Policy(view);
        PlacementPlan plan = await Task.Run(() => ExpertPlanner.Rebalance(MapPlanner.Input(view, _checkpoint.Config, _expertSizes, loads), policy.MinGain));
        if (_view.Epoch != view.Epoch || _loader is not null || _planReason is not null) return;
        TimeSpan? sinceLast = _rebalancedAt is { } at ? _clock.GetElapsedTime(at) : null;
        if (!policy.IsWorthwhile(MapBalance.Of(view.Map, loads), plan.Balance, sinceLast)) return;
        _rebalancedAt = _clock.GetTimestamp();
        Load(plan, "the loads are out of balance");
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "map version {Version} is loading ({Reason}): {Moves} experts move, {Bytes} bytes; heaviest slot {Balance:F2} times the mean; {Covered:P1} of the experts have a place")]
    private partial void LogLoading(long version, string reason, int moves, long bytes, double balance, double covered);

    [LoggerMessage(Level = LogLevel.Information, Message = "map version {Version} is in use: {Covered:P1} of the experts have a place")]
    private partial void LogPublished(long version, double covered);

    [LoggerMessage(Level = LogLevel.Debug, Message = "weights that only versions before {Version} need are released")]
    private partial void LogReleased(long version);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Fault}")]
    private partial void LogNoRoom(string fault);

    [LoggerMessage(Level = LogLevel.Warning, Message = "a slot did not answer and is asked again: {Failure}")]
    private partial void LogSlotFailed(string failure);

    [LoggerMessage(Level = LogLevel.Error, Message = "map version {Version} cannot be loaded: {Fault}")]
    private partial void LogSlotFault(long version, string fault);
}
