using Conclave.Engine;
using Conclave.Grains;
using Orleans;
using Orleans.Runtime;

namespace Conclave.Gateway;

/// <summary>Knows which ranks serve the model and picks one for each sequence.</summary>
public sealed class RankDirectory(IClusterClient cluster, ServedModel model, TimeProvider clock)
{
    private static readonly TimeSpan ViewAge = TimeSpan.FromSeconds(1);
    private volatile Snapshot? _snapshot;

    /// <summary>The rank with the fewest sequences.</summary>
    /// <exception cref="OperatingException">No rank serves at the moment.</exception>
    public async Task<IGatewayGrain> Pick()
    {
        IGatewayGrain[] ranks = await Ranks();
        if (ranks.Length == 0) throw new OperatingException(OperatingError.Unavailable, "no silo serves the model at the moment; try again shortly");
        if (ranks.Length == 1) return ranks[0];
        RankStatus[] statuses = await Task.WhenAll(ranks.Select(rank => rank.Status()));
        int best = 0;
        for (int i = 1; i < ranks.Length; i++)
            if (statuses[i].Running + statuses[i].Waiting < statuses[best].Running + statuses[best].Waiting) best = i;
        return ranks[best];
    }

    /// <summary>All ranks, from a view at most a second old.</summary>
    public async Task<IGatewayGrain[]> Ranks()
    {
        long now = clock.GetTimestamp();
        if (_snapshot is { } seen && clock.GetElapsedTime(seen.TakenAt, now) < ViewAge && seen.Ranks.Length > 0) return seen.Ranks;
        ClusterView view = await cluster.GetGrain<IExpertMapGrain>(model.Name).Current();
        IGatewayGrain[] ranks = [.. view.Ranks.Select(silo => cluster.GetGrain<IGatewayGrain>(SiloKey.Rank(silo)))];
        _snapshot = new Snapshot(now, ranks);
        return ranks;
    }

    private sealed record Snapshot(long TakenAt, IGatewayGrain[] Ranks);
}
