using Orleans;

namespace Conclave.Grains;

/// <summary>What the map grain keeps: the last view, part by part.</summary>
[GenerateSerializer, Alias("conclave.ExpertMapState")]
public sealed class ExpertMapState
{
    /// <summary>Members.</summary>
    [Id(0)] public List<SiloOffer> Offers { get; set; } = [];

    /// <summary>Silos whose rank takes new sequences.</summary>
    [Id(1)] public List<string> Ranks { get; set; } = [];

    /// <summary>The map in use. At first an object of its own: Orleans' JSON fills in what a property holds already, which must not be what all share.</summary>
    [Id(2)] public ExpertMap Map { get; set; } = ExpertMap.Empty with { };

    /// <summary>The view's epoch.</summary>
    [Id(3)] public long Epoch { get; set; }

    /// <summary>Members that drain.</summary>
    [Id(4)] public List<string> Draining { get; set; } = [];

    /// <summary>Experts without a place.</summary>
    [Id(5)] public int MissingExperts { get; set; }

    /// <summary>What people asked for.</summary>
    [Id(6)] public PlacementWishes Wishes { get; set; } = new();

    /// <summary>The whole. A method, since storages differ in how they are told to leave out a property.</summary>
    public ClusterView ToView() => new()
    {
        Map = Map,
        Ranks = [.. Ranks],
        Silos = [.. Offers],
        Epoch = Epoch,
        Draining = [.. Draining],
        MissingExperts = MissingExperts,
        Wishes = Wishes,
    };

    /// <summary>Takes over <paramref name="view"/>.</summary>
    public void Set(ClusterView view)
    {
        (Map, Epoch, MissingExperts, Wishes) = (view.Map, view.Epoch, view.MissingExperts, view.Wishes);
        (Ranks, Offers, Draining) = ([.. view.Ranks], [.. view.Silos], [.. view.Draining]);
    }
}
