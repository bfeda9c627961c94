using Conclave.Engine;
using Conclave.Model.Checkpoints;
using Orleans;
using Orleans.Runtime;

namespace Conclave.Grains;

/// <summary>What the map grain keeps: the silos' offers, the ranks, and the map that is in use.</summary>
[GenerateSerializer, Alias("conclave.ExpertMapState")]
public sealed class ExpertMapState
{
    /// <summary>Silos that offer slots or serve.</summary>
    [Id(0)] public List<SiloOffer> Offers { get; set; } = [];

    /// <summary>Silos whose rank serves.</summary>
    [Id(1)] public List<string> Ranks { get; set; } = [];

    /// <summary>The map in use.</summary>
    [Id(2)] public ExpertMap Map { get; set; } = ExpertMap.Empty;
}

/// <summary>Owns the expert map of one model: plans it, has the slots load, and only then publishes it.</summary>
public sealed class ExpertMapGrain([PersistentState("map", ExpertMapGrain.Storage)] IPersistentState<ExpertMapState> state, Checkpoint checkpoint)
    : Grain, IExpertMapGrain
{
    /// <summary>Name of the grain storage that keeps the map.</summary>
    public const string Storage = "maps";

    /// <inheritdoc/>
    public async Task<ClusterView> Join(SiloOffer offer)
    {
        SiloAddress joining = SiloAddress.FromParsableString(offer.Silo);
        // A silo that comes back at the same endpoint is a new one: its former life's slots and rank are gone.
        var offers = state.State.Offers.Where(o => !SiloAddress.FromParsableString(o.Silo).Endpoint.Equals(joining.Endpoint)).Append(offer).ToList();
        PlacementSlot[] slots = [.. offers.SelectMany(o => Enumerable.Range(0, o.Slots).Select(slot => new PlacementSlot
        {
            Key = SiloKey.Slot(slot, o.Silo),
            Silo = o.Silo,
            Host = SiloAddress.FromParsableString(o.Silo).Endpoint.Address.ToString(),
        }))];
        PlacementPlan plan = ExpertPlanner.Plan(new PlacementInput
        {
            ExpertSizeBytes = ExpertSizes.Of(checkpoint),
            ExpertCount = checkpoint.Config.RoutedExpertCount,
            Slots = slots,
            Previous = state.State.Map,
        });
        if (!plan.IsComplete) throw new ClusterException(OperatingError.Unavailable, $"the slots take {plan.CoveredFraction:P1} of the experts; add a silo or raise its expert memory");
        ExpertMap map = plan.Map;
        await Task.WhenAll(ExpertPlanner.Loads(map).Select((load, slot) => GrainFactory.GetGrain<IExpertShardGrain>(map.SlotKeys[slot]).Load(load)));
        state.State.Ranks.RemoveAll(rank => offers.TrueForAll(o => o.Silo != rank));
        state.State.Offers = offers;
        state.State.Map = map;
        await state.WriteStateAsync();
        return View;
    }

    /// <inheritdoc/>
    public async Task RankReady(string silo)
    {
        if (state.State.Ranks.Contains(silo)) return;
        state.State.Ranks.Add(silo);
        await state.WriteStateAsync();
    }

    /// <inheritdoc/>
    public async Task Leave(string silo)
    {
        state.State.Ranks.Remove(silo);
        state.State.Offers.RemoveAll(o => o.Silo == silo);
        await state.WriteStateAsync();
    }

    /// <inheritdoc/>
    public Task<ClusterView> Current() => Task.FromResult(View);

    private ClusterView View => new() { Map = state.State.Map, Ranks = [.. state.State.Ranks] };
}
