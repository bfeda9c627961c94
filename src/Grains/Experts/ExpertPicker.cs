using Conclave.Grains.Transport;

namespace Conclave.Grains;

/// <summary>
/// Picks who answers for an expert: this silo if it holds it, else of the silos that hold it and seem well the one with the fewest rows so far. All rows of one expert go to
/// one silo, so that its weights are read once. Silos that have failed are left out for a while. Step loop only.
/// </summary>
/// <param name="expertCount">Routed experts a layer.</param>
/// <param name="rotation">Any number: ranks with different ones prefer different replicas.</param>
/// <param name="clock">The clock.</param>
internal sealed class ExpertPicker(int expertCount, int rotation, TimeProvider clock)
{
    /// <summary>Nobody can be asked.</summary>
    public const int Nobody = -2;

    /// <summary>This silo.</summary>
    public const int Here = -1;

    private readonly int[] _pick = new int[expertCount];
    private readonly int[] _pickRound = new int[expertCount];
    private ExpertRoutes? _routes;
    private int[] _load = [];
    private bool[] _isUsable = [];
    private long[] _avoidUntil = [];
    private int _round;

    /// <summary>Picks by <paramref name="routes"/> from now on.</summary>
    public void Use(ExpertRoutes routes)
    {
        if (ReferenceEquals(_routes, routes)) return;
        _routes = routes;
        _load = new int[routes.Peers.Length];
        _isUsable = new bool[routes.Peers.Length];
        _avoidUntil = new long[routes.Peers.Length];
    }

    /// <summary>Starts anew for the rows of one micro-batch and layer: looks at who is well, and forgets loads.</summary>
    public void Begin()
    {
        _round++;
        long now = clock.GetTimestamp();
        Array.Clear(_load);
        for (int peer = 0; peer < _isUsable.Length; peer++)
            _isUsable[peer] = _avoidUntil[peer] <= now && _routes!.Peers[peer].State == PeerState.Alive;
    }

    /// <summary>Asks a silo for nothing for some time.</summary>
    public void Avoid(TransportPeer peer, TimeSpan time)
    {
        int index = Array.IndexOf(_routes!.Peers, peer);
        if (index >= 0) _avoidUntil[index] = clock.GetTimestamp() + (long)(time.TotalSeconds * clock.TimestampFrequency);
    }

    /// <summary>Who answers for one more row of <paramref name="expert"/>: an index into the routes' peers, <see cref="Here"/> or <see cref="Nobody"/>.</summary>
    public int Pick(int layer, int expert, bool isHere)
    {
        if (_pickRound[expert] != _round)
        {
            _pickRound[expert] = _round;
            _pick[expert] = isHere ? Here : LeastLoaded(layer, expert);
        }

        int pick = _pick[expert];
        if (pick >= 0) _load[pick]++;
        return pick;
    }

    private int LeastLoaded(int layer, int expert)
    {
        int[] peers = _routes!.PeersOf(layer, expert);
        int best = Nobody;
        for (int i = 0; i < peers.Length; i++)
        {
            int peer = peers[(int)((uint)(i + expert + rotation) % (uint)peers.Length)];
            if (_isUsable[peer] && (best < 0 || _load[peer] < _load[best])) best = peer;
        }

        return best;
    }
}
