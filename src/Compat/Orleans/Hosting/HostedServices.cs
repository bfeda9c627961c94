using System.Net;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Orleans.Runtime;

namespace Orleans.Hosting;

/// <summary>How the members of the cluster find each other.</summary>
internal sealed class ClusteringOptions
{
    /// <summary>Whether a clustering was chosen.</summary>
    public bool IsLocalhost { get; set; }

    /// <summary>The silo that the others gather around; null for the silo itself.</summary>
    public IPEndPoint? Primary { get; set; }

    /// <summary>Of a client: ports of the silos that it may talk to.</summary>
    public List<int> GatewayPorts { get; set; } = [];

    public void Check()
    {
        if (!IsLocalhost) throw new OrleansConfigurationException("No clustering is configured; call UseLocalhostClustering on the builder.");
    }
}

/// <summary>Starts and stops the silo with its host.</summary>
internal sealed class SiloHostedService(SiloRuntime silo, ILocalSiloDetails details, IOptions<ClusteringOptions> clustering, IOptions<ClusterOptions> cluster, IOptions<EndpointOptions> endpoints) : IHostedService
{
    public Task StartAsync(CancellationToken cancellationToken)
    {
        clustering.Value.Check();
        ArgumentException.ThrowIfNullOrWhiteSpace(cluster.Value.ClusterId, "ClusterOptions.ClusterId");
        ArgumentException.ThrowIfNullOrWhiteSpace(cluster.Value.ServiceId, "ClusterOptions.ServiceId");
        IPEndPoint primary = clustering.Value.Primary ?? silo.Address.Endpoint;
        ClusterState state = InProcessNetwork.ClusterOf(cluster.Value.ClusterId, cluster.Value.ServiceId, primary);
        silo.Join(state, details.Name, endpoints.Value.GatewayPort);
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => silo.LeaveAsync(cancellationToken);
}

/// <summary>Starts and stops the client with its host.</summary>
internal sealed class ClientHostedService(ClientRuntime client, IOptions<ClusteringOptions> clustering) : IHostedService
{
    public Task StartAsync(CancellationToken cancellationToken)
    {
        clustering.Value.Check();
        client.Connect();
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken)
    {
        client.Disconnect();
        return Task.CompletedTask;
    }
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
