using Orleans;
using Orleans.Concurrency;

namespace Conclave.Grains;

/// <summary>
/// One a model, keyed by the model's name: owns the versioned expert map and knows which silos serve. Every method returns at once and may be
/// repeated: what takes time goes on in the background and shows in <see cref="Current"/> and <see cref="Placement"/>.
/// </summary>
[Alias("conclave.IExpertMapGrain")]
public interface IExpertMapGrain : IGrainWithStringKey
{
    /// <summary>
    /// A silo offers its slots and its rank. The map is planned anew and its slots load in the background; the view returned is the current one, which
    /// need not know the silo's slots yet. A silo that was drained does not come back by joining.
    /// </summary>
    /// <exception cref="ClusterException">The offer cannot be used; the message says why.</exception>
    [Alias("Join")]
    Task<ClusterView> Join(SiloOffer offer);

    /// <summary>A silo's engine runs: gateways may send sequences to its rank.</summary>
    /// <exception cref="ClusterException">The silo has not joined.</exception>
    [Alias("RankReady")]
    Task RankReady(string silo);

    /// <summary>
    /// A silo is to leave: its rank gets no new sequences and its experts move to other silos. It sees itself in <see cref="ClusterView.Draining"/>.
    /// </summary>
    /// <returns>Whether nothing holds the silo back: no rank uses a map that names its slots, or no other silo could take its experts.</returns>
    [Alias("Drain")]
    Task<bool> Drain(string silo);

    /// <summary>A silo leaves, whether its experts have moved or not. Unknown silos are ignored.</summary>
    [Alias("Leave")]
    Task Leave(string silo);

    /// <summary>The current map, ranks and members.</summary>
    [AlwaysInterleave, Alias("Current")]
    Task<ClusterView> Current();

    /// <summary>
    /// The view after <see cref="SiloReport.Epoch"/>: waits for it, a second at most, and then returns the current one. The report tells which map version
    /// the silo uses; old weights go only when no silo uses their version.
    /// </summary>
    [AlwaysInterleave, Alias("Next")]
    Task<ClusterView> Next(SiloReport report);

    /// <summary>
    /// A silo has seen a newer view than this grain knows (its storage lost a write, or was memory): the grain adopts it and counts on from there.
    /// </summary>
    [Alias("Restore")]
    Task Restore(ClusterView seen);

    /// <summary>Looks again at membership and slots, now rather than at the next tick.</summary>
    /// <param name="hint">Why, for the log.</param>
    [AlwaysInterleave, Alias("Refresh")]
    Task Refresh(string hint);

    /// <summary>What a rank has counted. Totals rather than differences: a report that is lost or repeated does no harm.</summary>
    /// <param name="silo">The rank's silo.</param>
    /// <param name="totals">Token rows sent to each expert since the rank started, <c>[layer * ExpertCount + expert]</c>.</param>
    /// <exception cref="ClusterException">Another number of totals than the model has (layer, expert) pairs.</exception>
    [AlwaysInterleave, Alias("ReportLoads")]
    Task ReportLoads(string silo, long[] totals);

    /// <summary>The maps in use and in preparation, with the progress and load of each slot.</summary>
    [AlwaysInterleave, Alias("Placement")]
    Task<PlacementStatus> Placement();

    /// <summary>What <see cref="Apply"/> would do; changes nothing.</summary>
    /// <exception cref="ClusterException">A wish is out of range.</exception>
    [AlwaysInterleave, Alias("Plan")]
    Task<PlacementProposal> Plan(PlacementWishes wishes);

    /// <summary>Takes over the wishes that are set and plans anew.</summary>
    /// <exception cref="ClusterException">A wish is out of range.</exception>
    [Alias("Apply")]
    Task<PlacementProposal> Apply(PlacementWishes wishes);

    /// <summary>Balances the experts by their loads now, whatever threshold and interval say.</summary>
    [Alias("Rebalance")]
    Task<PlacementProposal> Rebalance();
}

/// <summary>What a silo brings.</summary>
[GenerateSerializer, Immutable, Alias("conclave.SiloOffer")]
public sealed record SiloOffer
{
    /// <summary>The silo's address, parsable.</summary>
    [Id(0)] public required string Silo { get; init; }

    /// <summary>Slots of expert memory, 0 for a silo without experts.</summary>
    [Id(1)] public required int Slots { get; init; }

    /// <summary>Where its tensor transport listens: <c>host:port</c>, empty if it does not.</summary>
    [Id(2)] public string TransportAddress { get; init; } = "";

    /// <summary>The host it is on: replicas of one expert go to different hosts.</summary>
    [Id(3)] public string Host { get; init; } = "";

    /// <summary>The zone it is in, empty if zones do not matter: replicas of one expert go to different zones.</summary>
    [Id(4)] public string Zone { get; init; } = "";

    /// <summary>All labels, host and zone among them.</summary>
    [Id(5)] public Dictionary<string, string> Labels { get; init; } = [];

    /// <summary>Whether it has a rank.</summary>
    [Id(6)] public bool Attention { get; init; } = true;

    /// <summary>Most bytes of expert weights over all its slots; 0 for no limit.</summary>
    [Id(7)] public long ExpertMemoryBytes { get; init; }

    /// <summary>Replicas of each expert the silo was told to ask for, at least 1; the most of all offers counts until wishes say otherwise.</summary>
    [Id(8)] public int MinReplicas { get; init; } = 1;

    /// <summary>Further replicas for the busiest experts, per layer; the most of all offers counts until wishes say otherwise.</summary>
    [Id(9)] public int RedundantExperts { get; init; }

    /// <summary>The silo's name, for people.</summary>
    [Id(10)] public string Name { get; init; } = "";

    /// <summary>What tokens depend on beside the request: the model, and how rows are rounded on their way to experts. All silos must agree.</summary>
    [Id(11)] public string Fingerprint { get; init; } = "";
}

/// <summary>What a silo tells with each request for a view.</summary>
[GenerateSerializer, Immutable, Alias("conclave.SiloReport")]
public sealed record SiloReport
{
    /// <summary>The silo.</summary>
    [Id(0)] public required string Silo { get; init; }

    /// <summary>Version of the map that its steps use from now on; every step that used an older one has ended. 0 without a rank or before the first.</summary>
    [Id(1)] public required long MapVersion { get; init; }

    /// <summary>Epoch of the last view it has seen.</summary>
    [Id(2)] public required long Epoch { get; init; }
}
