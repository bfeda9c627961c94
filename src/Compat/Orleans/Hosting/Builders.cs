using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Orleans.Runtime;
using Orleans.Runtime.Placement;

namespace Orleans.Hosting;

/// <summary>Configures a silo.</summary>
public interface ISiloBuilder
{
    /// <summary>The host's services.</summary>
    IServiceCollection Services { get; }

    /// <summary>The host's configuration.</summary>
    IConfiguration Configuration { get; }
}

/// <summary>Configures a client.</summary>
public interface IClientBuilder
{
    /// <summary>The host's services.</summary>
    IServiceCollection Services { get; }

    /// <summary>The host's configuration.</summary>
    IConfiguration Configuration { get; }
}

/// <inheritdoc/>
internal sealed class SiloBuilder : ISiloBuilder
{
    public SiloBuilder(IServiceCollection services, IConfiguration configuration)
    {
        (Services, Configuration) = (services, configuration);
        if (services.Any(service => service.ServiceType == typeof(SiloRuntime))) return;
        if (services.Any(service => service.ServiceType == typeof(ClientRuntime))) throw new OrleansConfigurationException("A host cannot be a silo and a client; a silo's services include IClusterClient.");
        services.AddOptions();
        services.AddLogging();
        services.TryAddSingleton(TimeProvider.System);
        services.AddSingleton<GrainCatalog>();
        services.AddSingleton<LocalSiloDetails>();
        services.AddSingleton<ILocalSiloDetails>(provider => provider.GetRequiredService<LocalSiloDetails>());
        services.TryAddSingleton<IFatalErrorHandler, FatalErrorHandler>();
        services.AddSingleton<SiloRuntime>();
        services.AddSingleton<IClusterMembershipService, ClusterMembershipService>();
        services.AddSingleton<IGrainFactory>(provider => provider.GetRequiredService<SiloRuntime>().Factory);
        services.AddSingleton<IClusterClient>(provider => new ClusterClient(provider.GetRequiredService<SiloRuntime>().Factory, provider));
        services.AddSingleton<IGrainContextAccessor, GrainContextAccessor>();
        services.AddScoped<GrainContextHolder>();
        services.AddScoped<IGrainContext>(provider => provider.GetRequiredService<GrainContextHolder>().Context ?? throw new InvalidOperationException("Only grains have a grain context."));
        services.AddKeyedSingleton<IPlacementDirector, RandomPlacementDirector>(typeof(RandomPlacement));
        services.AddKeyedSingleton<IPlacementDirector, PreferLocalPlacementDirector>(typeof(PreferLocalPlacement));
        services.AddKeyedSingleton<IPlacementDirector, HashBasedPlacementDirector>(typeof(HashBasedPlacement));
        services.AddSingleton<IHostedService, SiloHostedService>();
    }

    public IServiceCollection Services { get; }

    public IConfiguration Configuration { get; }
}

/// <inheritdoc/>
internal sealed class ClientBuilder : IClientBuilder
{
    public ClientBuilder(IServiceCollection services, IConfiguration configuration)
    {
        (Services, Configuration) = (services, configuration);
        if (services.Any(service => service.ServiceType == typeof(ClientRuntime))) return;
        if (services.Any(service => service.ServiceType == typeof(SiloRuntime))) throw new OrleansConfigurationException("A host cannot be a silo and a client; a silo's services include IClusterClient.");
        services.AddOptions();
        services.AddLogging();
        services.TryAddSingleton(TimeProvider.System);
        services.AddSingleton<GrainCatalog>();
        services.AddSingleton<ClientRuntime>();
        services.AddSingleton<IGrainFactory>(provider => provider.GetRequiredService<ClientRuntime>().Factory);
        services.AddSingleton<IClusterClient>(provider => new ClusterClient(provider.GetRequiredService<ClientRuntime>().Factory, provider));
        services.AddSingleton<IHostedService, ClientHostedService>();
    }

    public IServiceCollection Services { get; }

    public IConfiguration Configuration { get; }
}
