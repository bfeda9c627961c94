using System.Collections.Concurrent;
using System.Net;

namespace Orleans.Runtime;

/// <summary>How a client finds silos before it has talked to any.</summary>
internal interface IGatewayList
{
    /// <summary>Endpoints of gateways; the silo with generation 0 where only the endpoint is known.</summary>
    Task<IReadOnlyList<Gateway>> ReadAsync(CancellationToken token);
}

/// <summary>A silo that takes clients.</summary>
internal sealed record Gateway(SiloAddress Silo, IPEndPoint Endpoint);

/// <summary>Gateways at given ports of this machine.</summary>
internal sealed class StaticGatewayList(IEnumerable<int> ports) : IGatewayList
{
    public Task<IReadOnlyList<Gateway>> ReadAsync(CancellationToken token)
    {
        IPEndPoint[] endpoints = [.. ports.Select(port => new IPEndPoint(IPAddress.Loopback, port))];
        return Task.FromResult<IReadOnlyList<Gateway>>([.. endpoints.Select(endpoint => new Gateway(SiloAddress.New(endpoint, 0), endpoint))]);
    }
}

/// <summary>Gateways of the membership table.</summary>
internal sealed class TableGatewayList(MembershipTable table) : IGatewayList, IAsyncDisposable
{
    public async Task<IReadOnlyList<Gateway>> ReadAsync(CancellationToken token) => [.. Gateways.Of(await table.ReadAsync(token))];

    public ValueTask DisposeAsync() => table.DisposeAsync();
}

/// <summary>The gateways that a client is connected to, and which of them a call goes by.</summary>
internal sealed class Gateways
{
    private readonly ConcurrentDictionary<SiloAddress, Connection> _connections = new();
    private volatile Connection[] _usable = [];
    private volatile HashSet<SiloAddress> _leaving = [];

    public static IEnumerable<Gateway> Of(MembershipData data) => data.Rows
        .Where(row => row.Status == SiloStatus.Active && row.GatewayPort != 0)
        .Select(row => new Gateway(row.Silo, new IPEndPoint(row.Silo.Endpoint.Address, row.GatewayPort)));

    public bool IsEmpty => _connections.IsEmpty;

    public bool Contains(SiloAddress silo) => _connections.ContainsKey(silo);

    public void Add(Connection connection)
    {
        _connections[connection.Peer] = connection;
        Sort();
    }

    public void Remove(Connection connection)
    {
        _connections.TryRemove(KeyValuePair.Create(connection.Peer, connection));
        Sort();
    }

    /// <summary>Whether the silo has said that it leaves, as far as was learnt.</summary>
    public bool IsLeaving(SiloAddress silo) => _leaving.Contains(silo);

    /// <summary>Takes note of the silos that serve; no new calls go by the others, if there is a choice.</summary>
    public void Learn(MembershipData data)
    {
        _leaving = [.. data.Rows.Where(row => row.Status != SiloStatus.Active).Select(row => row.Silo)];
        Sort();
    }

    /// <summary>The gateway on the silo itself where that is known, else always the same one for the same grain.</summary>
    public Connection? Pick(GrainId grain, SiloAddress? lastSeen)
    {
        if (lastSeen is not null && _connections.TryGetValue(lastSeen, out Connection? direct) && direct.TakesRequests && !_leaving.Contains(lastSeen)) return direct;
        Connection[] usable = _usable;
        for (int i = 0; i < usable.Length; i++)
            if (usable[((uint)grain.GetHashCode() + (uint)i) % (uint)usable.Length] is { TakesRequests: true } open) return open;
        return null;
    }

    private void Sort()
    {
        lock (_connections)
        {
            Connection[] open = [.. _connections.Values.Where(connection => connection.IsOpen).OrderBy(connection => connection.Peer)];
            Connection[] staying = [.. open.Where(connection => !_leaving.Contains(connection.Peer))];
            _usable = staying.Length > 0 ? staying : open;
        }
    }
}
