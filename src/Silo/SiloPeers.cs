using Conclave.Grains;
using Conclave.Grains.Transport;
using Microsoft.Extensions.Logging;
using Orleans.Runtime;

namespace Conclave.Silo;

/// <summary>
/// The transport's connections to all other members, made as soon as a view names them: rows find them open, and every silo hears every other, which
/// is how a dead one is noticed. Safe for several threads.
/// </summary>
internal sealed partial class SiloPeers(ILocalSiloDetails silo, ILogger<SiloPeers> logger, TensorTransport? transport = null)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, string> _silos = [];
    private readonly HashSet<string> _leaving = [];

    /// <summary>Where this silo is reached; empty if it stays alone. After the transport's start.</summary>
    public string Address => transport?.Address ?? "";

    /// <summary>The silo at a transport address; null if the last view names none there.</summary>
    public string? SiloAt(string address)
    {
        lock (_gate) return _silos.GetValueOrDefault(address);
    }

    /// <summary>Connects to members, and leaves those that are none any more. They stay for one more view: a step may still use them.</summary>
    public void Use(ClusterView view)
    {
        if (transport is null) return;
        string self = silo.SiloAddress.ToParsableString();
        lock (_gate)
        {
            _silos.Clear();
            foreach (SiloOffer offer in view.Silos)
                if (offer.Silo != self && offer.TransportAddress.Length > 0 && TryConnect(offer)) _silos[offer.TransportAddress] = offer.Silo;
            foreach (TransportPeer peer in transport.Peers)
            {
                if (_silos.ContainsKey(peer.Address)) _leaving.Remove(peer.Address);
                else if (!_leaving.Add(peer.Address)) Forget(peer);
            }
        }
    }

    private bool TryConnect(SiloOffer offer)
    {
        try
        {
            transport!.Connect(offer.TransportAddress);
            return true;
        }
        catch (FormatException e)
        {
            LogNoAddress(offer.Silo, e.Message);
            return false;
        }
    }

    private void Forget(TransportPeer peer)
    {
        _leaving.Remove(peer.Address);
        // Ends a thread, which may take a moment.
        ThreadPool.QueueUserWorkItem(static gone => gone.Dispose(), peer, preferLocal: false);
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "silo {Silo} cannot be reached for rows: {Reason}")]
    private partial void LogNoAddress(string silo, string reason);
}
