using Microsoft.Extensions.Options;
using Orleans.Configuration;

namespace Orleans.Runtime;

/// <inheritdoc cref="ILocalSiloDetails"/>
internal sealed class LocalSiloDetails : ILocalSiloDetails
{
    public LocalSiloDetails(IOptions<EndpointOptions> endpoints, IOptions<ClusterOptions> cluster, IOptions<SiloOptions> silo)
    {
        int generation = SiloAddress.AllocateNewGeneration();
        ClusterId = cluster.Value.ClusterId;
        SiloAddress = SiloAddress.New(endpoints.Value.AdvertisedIPAddress, endpoints.Value.SiloPort, generation);
        GatewayAddress = SiloAddress.New(endpoints.Value.AdvertisedIPAddress, endpoints.Value.GatewayPort, generation);
        Name = string.IsNullOrEmpty(silo.Value.SiloName) ? $"Silo_{SiloAddress}" : silo.Value.SiloName;
    }

    public string Name { get; }

    public string ClusterId { get; }

    public string DnsHostName => Environment.MachineName;

    public SiloAddress SiloAddress { get; }

    public SiloAddress GatewayAddress { get; }
}
