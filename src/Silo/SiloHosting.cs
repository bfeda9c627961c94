using System.Net;
using Conclave.Engine;
using Conclave.Grains;
using Conclave.Grains.Transport;
using Conclave.Model;
using Conclave.Model.Checkpoints;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;
using Orleans.Hosting;
using Orleans.Runtime;
using Orleans.Storage;

namespace Conclave.Silo;

/// <summary>Wires a silo into a host.</summary>
public static class SiloHosting
{
    // Beyond the grace for draining: what Orleans takes to stop.
    private static readonly TimeSpan StopReserve = TimeSpan.FromSeconds(30);

    /// <summary>Adds a silo that serves <paramref name="options"/>'s model: Orleans, the mapped checkpoint, experts, rank, transport and health check.</summary>
    /// <exception cref="ArgumentException">An option is out of range.</exception>
    /// <exception cref="CheckpointException">The checkpoint cannot be used.</exception>
    public static IHostApplicationBuilder AddConclaveSilo(this IHostApplicationBuilder builder, SiloOptions options)
    {
        options.Validate();
        IServiceCollection services = builder.Services;
        services.TryAddSingleton(TimeProvider.System);
        services.AddSingleton(options);
        services.AddSingleton(EngineOptionsOf(options));
        services.AddSingleton(options.Dispatch);
        services.TryAddSingleton(new RankOptions());
        AddModel(services, options);
        if (options.Transport is { } transport) AddTransport(services, transport);
        if (options.RedisConnection is { } redis)
            services.AddHostedService(provider => new RedisGate(redis, provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<RedisGate>>()));
        builder.UseOrleans(silo => Cluster(silo, options));
        services.AddSingleton<SiloPeers>();
        services.AddSingleton<ClusterWatch>();
        services.AddSingleton<SiloLifetime>();
        // After Orleans, so that it starts when grains can be called and stops while they still can.
        services.AddHostedService(provider => provider.GetRequiredService<SiloLifetime>());
        services.AddHealthChecks().AddCheck<RankHealth>("model");
        services.PostConfigure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(options.DrainGraceSeconds) + StopReserve);
        return builder;
    }

    /// <summary>The rank's options; what is left on disk says with which weights and arithmetic it was computed.</summary>
    private static EngineOptions EngineOptionsOf(SiloOptions options) => options.Engine.KvDisk is not { } disk || !options.HasRank
        ? options.Engine
        : options.Engine with { KvDisk = disk with { Identity = $"{ModelFingerprint.OfWeights(options.ModelDirectory)}, {options.Arithmetic}" } };

    private static void AddModel(IServiceCollection services, SiloOptions options)
    {
        services.AddSingleton(_ => Checkpoint.Open(options.ModelDirectory, options.Compute));
        services.AddSingleton(_ => new WorkerPool(options.Threads));
        services.AddSingleton<SiloExperts>();
        services.AddSingleton(provider => new ExpertService(
            provider.GetRequiredService<Checkpoint>().Config, provider.GetRequiredService<SiloExperts>(), options.ExpertThreads > 0 ? options.ExpertThreads : options.Threads));
        services.AddSingleton(provider => new ClusterExpertDispatch(
            provider.GetRequiredService<Checkpoint>(), provider.GetRequiredService<SiloExperts>(), provider.GetRequiredService<WorkerPool>(), options.Dispatch,
            provider.GetRequiredService<ILocalSiloDetails>().SiloAddress.ToParsableString(), provider.GetService<TensorTransport>(), provider.GetRequiredService<TimeProvider>()));
        services.AddSingleton<Rank>();
    }

    private static void AddTransport(IServiceCollection services, TransportOptions options)
    {
        services.AddSingleton(provider =>
        {
            // What answers is made first, so that it is disposed of last.
            ExpertService service = provider.GetRequiredService<ExpertService>();
            var transport = new TensorTransport(options, provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<TensorTransport>>());
            transport.Handle(ExpertService.RequestKind, service);
            return transport;
        });
        services.AddSingleton<FailureJudge>();
    }

    private static void Cluster(ISiloBuilder silo, SiloOptions options)
    {
        if (options.RedisConnection is { } redis)
        {
            silo.Configure<ClusterOptions>(cluster => (cluster.ServiceId, cluster.ClusterId) = (options.ServiceId, options.ClusterId));
            silo.ConfigureEndpoints(options.AdvertisedAddress, options.SiloPort, options.GatewayPort, options.ListenOnAllAddresses);
            silo.UseRedisClustering(redis);
            silo.Services.AddKeyedSingleton<IGrainStorage>(ExpertMapGrain.Storage, (provider, _) => new RedisGrainStorage(
                redis, $"{options.ServiceId}/{options.ClusterId}", provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<RedisGrainStorage>>()));
        }
        else
        {
            silo.UseLocalhostClustering(
                options.SiloPort, options.GatewayPort, options.Primary ?? new IPEndPoint(IPAddress.Loopback, options.SiloPort), options.ServiceId, options.ClusterId);
            silo.AddMemoryGrainStorage(ExpertMapGrain.Storage);
        }

        if (options.Name.Length > 0) silo.Configure<Orleans.Configuration.SiloOptions>(named => named.SiloName = options.Name);
        silo.AddPlacementDirector<SiloPlacement, SiloPlacementDirector>();
    }
}
