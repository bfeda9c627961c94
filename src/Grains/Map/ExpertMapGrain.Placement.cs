using Conclave.Engine;
using Orleans;

namespace Conclave.Grains;

/// <content>What people see and ask of the placement.</content>
public sealed partial class ExpertMapGrain
{
    // Who asks to balance wants what is to be had, but nothing moved for nothing.
    private const double LeastGain = 0.001;

    /// <inheritdoc/>
    public Task ReportLoads(string silo, long[] totals)
    {
        int pairs = _expertSizes.Count * _checkpoint.Config.RoutedExpertCount;
        if (totals.Length != pairs) throw new ClusterException(OperatingError.InvalidRequest, $"totals: {totals.Length} values of silo {silo} for {pairs} (layer, expert) pairs");
        if (IsMember(silo)) _loads.Report(silo, totals);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<PlacementStatus> Placement()
    {
        double[] loads = _loads.Current();
        MapBalance balance = MapBalance.Of(_view.Map, _view.Map.Version == 0 ? null : loads);
        return Task.FromResult(new PlacementStatus
        {
            Model = this.GetPrimaryKeyString(),
            View = _view,
            Target = _loader?.Target,
            Slots = Slots(balance),
            UsedVersions = _reports.ToDictionary(report => report.Key, report => report.Value.MapVersion),
            ExpertLoads = loads,
            Imbalance = balance.Ratio,
            Wishes = MapPlanner.Effective(_view),
            StorageFault = _storageFault,
            PlanFault = _planFault,
        });
    }

    /// <inheritdoc/>
    public async Task<PlacementProposal> Plan(PlacementWishes wishes)
    {
        ClusterView view = _view with { Wishes = MapPlanner.Merge(_view.Wishes, wishes) };
        double[] loads = _loads.Current();
        (PlacementPlan plan, _) = await Task.Run(() => MapPlanner.Plan(view, _checkpoint.Config, _expertSizes, loads));
        return MapPlanner.Proposal(view, plan, loads, _lastVersion + 1);
    }

    /// <inheritdoc/>
    public async Task<PlacementProposal> Apply(PlacementWishes wishes)
    {
        PlacementProposal proposal = await Plan(wishes);
        Publish(_view with { Wishes = MapPlanner.Merge(_view.Wishes, wishes) });
        PlanSoon("the wishes changed");
        return proposal;
    }

    /// <inheritdoc/>
    public async Task<PlacementProposal> Rebalance()
    {
        ClusterView view = _view;
        double[] loads = _loads.Current();
        PlacementPlan plan = await Task.Run(() => ExpertPlanner.Rebalance(MapPlanner.Input(view, _checkpoint.Config, _expertSizes, loads), LeastGain));
        PlacementProposal proposal = MapPlanner.Proposal(view, plan, loads, _lastVersion + 1);
        if (_view.Epoch != view.Epoch || _planReason is not null)
            throw new ClusterException(OperatingError.Unavailable, "silos come or go at this moment; ask again when the map has settled");
        _rebalancedAt = _clock.GetTimestamp();
        Load(plan, "asked to balance");
        return proposal;
    }

    private SlotPlacement[] Slots(MapBalance balance)
    {
        ExpertMap map = _view.Map;
        IReadOnlyList<ShardLoad> held = ExpertPlanner.Loads(map);
        double mean = balance.SlotLoads.Count == 0 ? 0 : balance.SlotLoads.Average();
        var slots = new Dictionary<string, SlotPlacement>();
        for (int slot = 0; slot < map.SlotKeys.Length; slot++)
        {
            string key = map.SlotKeys[slot];
            slots[key] = Slot(key) with { ExpertCount = held[slot].Experts.Length, Load = mean > 0 ? balance.SlotLoads[slot] / mean : 0 };
        }

        for (int slot = 0; _loader is not null && slot < _loader.Target.SlotKeys.Length; slot++)
        {
            string key = _loader.Target.SlotKeys[slot];
            ShardStatus? status = _loader.Statuses[slot];
            slots[key] = slots.GetValueOrDefault(key, Slot(key)) with
            {
                TargetCount = _loader.TargetCount(slot),
                ReadyCount = status?.LoadingVersion == _loader.Target.Version ? status.ReadyCount : 0,
                Fault = status?.Fault,
            };
        }

        return [.. slots.Values];
    }

    private static SlotPlacement Slot(string key) => new() { Key = key, Silo = SiloKey.Silo(key).ToParsableString() };
}
