using Conclave.Model.Checkpoints;
using Orleans;
using Orleans.Runtime;

namespace Conclave.Grains;

/// <summary>Owns the expert map of one model: plans it, has the slots load, and only then publishes it.</summary>
public sealed class ExpertMapGrain([PersistentState("map", ExpertMapGrain.Storage)] IPersistentState<ExpertMapState> state, Checkpoint checkpoint)
    : Grain, IExpertMapGrain
{
    /// <summary>Name of the grain storage that keeps the map.</summary>
    public const string Storage = "maps";

    private ClusterView View => state.State.View;

    /// <inheritdoc/>
    public async Task<ClusterView> Join(SiloOffer offer)
    {
        SiloAddress joining = SiloAddress.FromParsableString(offer.Silo);
        // A silo that comes back at the same endpoint is a new one: its former life's slots and rank are gone.
        SiloOffer[] offers = [.. View.Silos.Where(o => !SiloAddress.FromParsableString(o.Silo).Endpoint.Equals(joining.Endpoint)), offer];
        PlacementSlot[] slots = [.. offers.SelectMany(o => Enumerable.Range(0, o.Slots).Select(slot => new PlacementSlot { Key = SiloKey.Slot(slot, o.Silo), Silo = o.Silo, Host = o.Host }))];
        PlacementPlan plan = ExpertPlanner.Plan(new PlacementInput
        {
            ExpertSizeBytes = ExpertSizes.Of(checkpoint),
            ExpertCount = checkpoint.Config.RoutedExpertCount,
            Slots = slots,
            Previous = View.Map,
        });
        ExpertMap map = plan.Map;
        await Task.WhenAll(ExpertPlanner.Loads(map).Select((load, slot) => GrainFactory.GetGrain<IExpertShardGrain>(map.SlotKeys[slot]).Load(load)));
        await Publish(View with { Map = map, MissingExperts = plan.PairCount - plan.CoveredCount, Silos = offers, Ranks = [.. View.Ranks.Where(rank => offers.Any(o => o.Silo == rank))] });
        return View;
    }

    /// <inheritdoc/>
    public Task RankReady(string silo) => View.Ranks.Contains(silo) ? Task.CompletedTask : Publish(View with { Ranks = [.. View.Ranks, silo] });

    /// <inheritdoc/>
    public Task Drain(string silo) => Publish(View with { Ranks = [.. View.Ranks.Where(rank => rank != silo)], Draining = [.. View.Draining, silo] });

    /// <inheritdoc/>
    public Task Leave(string silo) => Publish(View with
    {
        Ranks = [.. View.Ranks.Where(rank => rank != silo)],
        Silos = [.. View.Silos.Where(o => o.Silo != silo)],
        Draining = [.. View.Draining.Where(draining => draining != silo)],
    });

    /// <inheritdoc/>
    public Task<ClusterView> Current() => Task.FromResult(View);

    /// <inheritdoc/>
    public Task<ClusterView> Next(SiloReport report) => Current();

    /// <inheritdoc/>
    public Task Restore(ClusterView seen) => seen.Epoch > View.Epoch ? Publish(seen) : Task.CompletedTask;

    /// <inheritdoc/>
    public Task Refresh(string hint) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task ReportLoads(string silo, long[] totals) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task<PlacementStatus> Placement() => Task.FromResult(new PlacementStatus
    {
        Model = this.GetPrimaryKeyString(),
        View = View,
        Slots = [.. ExpertPlanner.Loads(View.Map).Select((load, slot) => new SlotPlacement
        {
            Key = View.Map.SlotKeys[slot], Silo = SiloKey.Silo(View.Map.SlotKeys[slot]).ToParsableString(), ExpertCount = load.Experts.Length,
        })],
        UsedVersions = [],
        ExpertLoads = [],
        Wishes = View.Wishes,
    });

    /// <inheritdoc/>
    public Task<PlacementProposal> Plan(PlacementWishes wishes) => Task.FromResult(new PlacementProposal
    {
        FromVersion = View.Map.Version, Moves = 0, MovedBytes = 0, ImbalanceBefore = 0, ImbalanceAfter = 0, MissingExperts = 0, Map = View.Map,
    });

    /// <inheritdoc/>
    public Task<PlacementProposal> Apply(PlacementWishes wishes) => Plan(wishes);

    /// <inheritdoc/>
    public Task<PlacementProposal> Rebalance() => Plan(View.Wishes);

    private Task Publish(ClusterView view)
    {
        state.State.View = view with { Epoch = view.Epoch + 1 };
        return state.WriteStateAsync();
    }
}
