using System.Collections.Concurrent;
using System.Net;

namespace Orleans.Runtime;

/// <summary>Carries the bytes of messages between the silos and clients of this process: the place where sockets go for several processes.</summary>
internal static class InProcessNetwork
{
    private static readonly ConcurrentDictionary<SiloAddress, Action<ReadOnlyMemory<byte>>> Receivers = new();
    private static readonly ConcurrentDictionary<int, SiloAddress> Gateways = new();
    private static readonly ConcurrentDictionary<(string ClusterId, string ServiceId, IPEndPoint Primary), ClusterState> Clusters = new();

    /// <summary>Raised when a silo or client has left.</summary>
    public static event Action<SiloAddress>? Detached;

    /// <exception cref="OrleansConfigurationException">A port is taken.</exception>
    public static void Attach(SiloAddress address, int gatewayPort, Action<ReadOnlyMemory<byte>> receive)
    {
        if (!address.IsClient && Receivers.Keys.FirstOrDefault(other => other.Endpoint.Equals(address.Endpoint)) is { } taken)
            throw new OrleansConfigurationException($"Silo {taken} of this process already listens at {address.Endpoint}; give each silo its own ports.");
        if (gatewayPort != 0 && !Gateways.TryAdd(gatewayPort, address))
            throw new OrleansConfigurationException($"Silo {Gateways[gatewayPort]} of this process already has the gateway port {gatewayPort}; give each silo its own ports.");
        Receivers[address] = receive;
    }

    public static void Detach(SiloAddress address)
    {
        Receivers.TryRemove(address, out _);
        foreach (KeyValuePair<int, SiloAddress> gateway in Gateways)
            if (gateway.Value.Equals(address)) Gateways.TryRemove(gateway);
        Detached?.Invoke(address);
    }

    public static bool IsAttached(SiloAddress address) => Receivers.ContainsKey(address);

    /// <summary>Delivers bytes; false if nobody is there.</summary>
    public static bool TrySend(SiloAddress target, ReadOnlyMemory<byte> frame)
    {
        if (!Receivers.TryGetValue(target, out Action<ReadOnlyMemory<byte>>? receive)) return false;
        receive(frame);
        return true;
    }

    /// <summary>The cluster that forms around a primary silo.</summary>
    public static ClusterState ClusterOf(string clusterId, string serviceId, IPEndPoint primary) =>
        Clusters.GetOrAdd((clusterId, serviceId, primary), static _ => new ClusterState());

    /// <summary>The silo with this gateway port, if it belongs to the cluster.</summary>
    public static SiloAddress? FindGateway(int port, string clusterId) =>
        Gateways.TryGetValue(port, out SiloAddress? silo)
        && Clusters.Any(pair => pair.Key.ClusterId == clusterId && pair.Value.Membership.Current.GetSiloStatus(silo) == SiloStatus.Active) ? silo : null;
}

/// <summary>What the silos of a cluster share: membership and the directory of activations.</summary>
internal sealed class ClusterState
{
    public ClusterState()
    {
        Directory = new ActivationDirectory(Membership);
        Membership.Changed += member =>
        {
            if (member.Status == SiloStatus.Dead) Directory.RemoveSilo(member.SiloAddress);
        };
    }

    public MembershipTable Membership { get; } = new();

    public ActivationDirectory Directory { get; }
}
