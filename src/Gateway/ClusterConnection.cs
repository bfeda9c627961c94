namespace Conclave.Gateway;

/// <summary>How a gateway that is a process of its own finds the cluster.</summary>
public sealed record ClusterConnection
{
    /// <summary>The cluster's name, as its silos have it.</summary>
    public string ClusterId { get; init; } = "conclave";

    /// <summary>First part of the cluster's keys in Redis, as its silos have it.</summary>
    public string ServiceId { get; init; } = "conclave";

    /// <summary>Redis that holds the membership, in StackExchange.Redis' notation (<c>host:port,password=...,ssl=true</c>); null: silos on this machine.</summary>
    public string? Redis { get; init; }

    /// <summary>Without Redis: client ports of silos on this machine; one that can be reached is enough.</summary>
    public IReadOnlyList<int> GatewayPorts { get; init; } = [30000];

    /// <summary>Checks every value.</summary>
    /// <exception cref="ArgumentException">The message names the option and its range.</exception>
    public void Validate()
    {
        if (ClusterId.Length == 0) throw new ArgumentException("--cluster-id: is empty; give the name that the silos have");
        if (Redis is { Length: 0 }) throw new ArgumentException("--redis: is empty; give HOST:PORT, or leave it out for silos on this machine");
        if (Redis is not null) return;
        if (GatewayPorts.Count == 0) throw new ArgumentException("--gateway-port: give --redis or the client port of at least one silo on this machine");
        foreach (int port in GatewayPorts)
            if (port is < 1 or > 65535) throw new ArgumentException($"--gateway-port: {port} is out of range; it must be 1 to 65535");
    }
}
