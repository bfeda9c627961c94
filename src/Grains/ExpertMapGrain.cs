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
        string[] slots = [.. offers.SelectMany(o => Enumerable.Range(0, o.Slots).Select(slot => SiloKey.Slot(slot, o.Silo)))];
        ExpertMap map = ExpertPlanner.Plan(checkpoint.Config, slots, state.State.Map.Version + 1);
        await Task.WhenAll(ExpertPlanner.Loads(map).Select((load, slot) => GrainFactory.GetGrain<IExpertShardGrain>(slots[slot]).Load(load)));
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
