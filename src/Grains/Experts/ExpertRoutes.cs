using Conclave.Grains.Transport;

namespace Conclave.Grains;

/// <summary>Where each routed expert can be asked for, by one version of the map: immutable, swapped as a whole.</summary>
internal sealed class ExpertRoutes
{
    private readonly int _expertCount;
    private readonly int[][] _peers;

    /// <summary>Routes by <paramref name="view"/>; <paramref name="peerOf"/> gives the peer of a silo, or null for the own silo and for one that cannot be reached.</summary>
    public ExpertRoutes(ClusterView view, Func<string, TransportPeer?> peerOf)
    {
        View = view;
        ExpertMap map = view.Map;
        _expertCount = map.ExpertCount;
        string[] slotSilos = [.. map.SlotKeys.Select(key => SiloKey.Silo(key).ToParsableString())];
        string[] silos = [.. slotSilos.Distinct(StringComparer.Ordinal)];
        TransportPeer?[] peers = [.. silos.Select(peerOf)];
        int[] peerOfSilo = new int[silos.Length];
        var reachable = new List<TransportPeer>();
        var names = new List<string>();
        for (int i = 0; i < silos.Length; i++)
        {
            peerOfSilo[i] = peers[i] is null ? -1 : reachable.Count;
            if (peers[i] is not { } peer) continue;
            reachable.Add(peer);
            names.Add(silos[i]);
        }

        int[] peerOfSlot = [.. slotSilos.Select(silo => peerOfSilo[Array.IndexOf(silos, silo)])];
        _peers = [.. map.Replicas.Select(slots => slots.Select(slot => peerOfSlot[slot]).Where(peer => peer >= 0).Distinct().ToArray())];
        Peers = [.. reachable];
        Silos = [.. names];
    }

    /// <summary>What the routes were made from.</summary>
    public ClusterView View { get; }

    /// <summary>Other silos that hold experts.</summary>
    public TransportPeer[] Peers { get; }

    /// <summary>Their addresses, parsable.</summary>
    public string[] Silos { get; }

    /// <summary>Indexes into <see cref="Peers"/> of those that hold the expert; none for an expert that the map does not know.</summary>
    public int[] PeersOf(int layer, int expert) => (layer * _expertCount) + expert is var pair && pair < _peers.Length ? _peers[pair] : [];
}
