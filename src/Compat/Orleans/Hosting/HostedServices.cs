using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Orleans.Runtime;

namespace Orleans.Hosting;

/// <summary>How the members of the cluster find each other.</summary>
internal sealed class ClusteringOptions
{
    /// <summary>Whether the cluster is on one machine, around a primary silo.</summary>
    public bool IsLocalhost { get; set; }

    /// <summary>The silo that the others gather around; null for the silo itself.</summary>
    public IPEndPoint? Primary { get; set; }

    /// <summary>Of a client: ports of the silos that it may talk to.</summary>
    public List<int> GatewayPorts { get; set; } = [];

    /// <summary>Where the membership is kept in Redis, in the notation of StackExchange.Redis.</summary>
    public string? Redis { get; set; }

    /// <exception cref="OrleansConfigurationException">No clustering was chosen, or an identity is missing.</exception>
    public void Check(ClusterOptions cluster)
    {
        if (!IsLocalhost && Redis is null) throw new OrleansConfigurationException("No clustering is configured; call UseLocalhostClustering or UseRedisClustering on the builder.");
        if (string.IsNullOrWhiteSpace(cluster.ClusterId)) throw new OrleansConfigurationException("ClusterOptions.ClusterId is empty.");
        if (string.IsNullOrWhiteSpace(cluster.ServiceId)) throw new OrleansConfigurationException("ClusterOptions.ServiceId is empty.");
    }
}

/// <summary>Starts and stops the silo with its host.</summary>
internal sealed class SiloHostedService(SiloRuntime silo, IOptions<ClusteringOptions> clustering, IOptions<ClusterOptions> cluster, TimeProvider clock, ILogger<RedisMembershipTable> logger) : IHostedService
{
    public Task StartAsync(CancellationToken cancellationToken)
    {
        ClusteringOptions options = clustering.Value;
        options.Check(cluster.Value);
        MembershipTable table = options.Redis is { } redis
            ? new RedisMembershipTable(redis, cluster.Value.ServiceId, cluster.Value.ClusterId, clock, logger)
            : new LocalhostMembershipTable(silo, options.Primary ?? silo.Address.Endpoint);
        return silo.JoinAsync(table, cancellationToken);
    }

    public Task StopAsync(CancellationToken cancellationToken) => silo.LeaveAsync(cancellationToken);
}

/// <summary>Starts and stops the client with its host.</summary>
internal sealed class ClientHostedService(
    ClientRuntime client, IOptions<ClusteringOptions> clustering, IOptions<ClusterOptions> cluster, IServiceProvider services, TimeProvider clock, ILogger<RedisMembershipTable> logger) : IHostedService
{
    public Task StartAsync(CancellationToken cancellationToken)
    {
        ClusteringOptions options = clustering.Value;
        options.Check(cluster.Value);
        IGatewayList gateways = options.Redis is { } redis
            ? new TableGatewayList(new RedisMembershipTable(redis, cluster.Value.ServiceId, cluster.Value.ClusterId, clock, logger))
            : new StaticGatewayList(options.GatewayPorts);
        return client.ConnectAsync(gateways, services.GetService<IClientConnectionRetryFilter>(), cancellationToken);
    }

    public Task StopAsync(CancellationToken cancellationToken) => client.DisconnectAsync();
}

/// <inheritdoc cref="IClusterClient"/>
internal sealed class ClusterClient(IGrainFactory factory, IServiceProvider services) : IClusterClient
{
    public IServiceProvider ServiceProvider => services;

    public TGrainInterface GetGrain<TGrainInterface>(Guid primaryKey, string? grainClassNamePrefix = null) where TGrainInterface : IGrainWithGuidKey =>
        factory.GetGrain<TGrainInterface>(primaryKey, grainClassNamePrefix);

    public TGrainInterface GetGrain<TGrainInterface>(long primaryKey, string? grainClassNamePrefix = null) where TGrainInterface : IGrainWithIntegerKey =>
        factory.GetGrain<TGrainInterface>(primaryKey, grainClassNamePrefix);

    public TGrainInterface GetGrain<TGrainInterface>(string primaryKey, string? grainClassNamePrefix = null) where TGrainInterface : IGrainWithStringKey =>
        factory.GetGrain<TGrainInterface>(primaryKey, grainClassNamePrefix);

    public TGrainInterface GetGrain<TGrainInterface>(GrainId grainId) where TGrainInterface : IAddressable => factory.GetGrain<TGrainInterface>(grainId);

    public IGrain GetGrain(Type grainInterfaceType, string grainPrimaryKey) => factory.GetGrain(grainInterfaceType, grainPrimaryKey);

    public IGrain GetGrain(Type grainInterfaceType, long grainPrimaryKey) => factory.GetGrain(grainInterfaceType, grainPrimaryKey);

    public IGrain GetGrain(Type grainInterfaceType, Guid grainPrimaryKey) => factory.GetGrain(grainInterfaceType, grainPrimaryKey);
}
