using System.Net;
using Conclave.Engine;
using Conclave.Grains;
using Conclave.Grains.Transport;
using Conclave.Model;
using Conclave.Model.Checkpoints;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Orleans.Configuration;
using Orleans.Hosting;
using Orleans.Runtime;

namespace Conclave.Silo;

/// <summary>Wires a silo into a host.</summary>
public static class SiloHosting
{
    /// <summary>Adds a silo that serves <paramref name="options"/>'s model: Orleans, the mapped checkpoint, experts, rank and health check.</summary>
    /// <exception cref="ArgumentException">An option is out of range.</exception>
    /// <exception cref="CheckpointException">The checkpoint cannot be used.</exception>
    public static IHostApplicationBuilder AddConclaveSilo(this IHostApplicationBuilder builder, SiloOptions options)
    {
        options.Validate();
        builder.Services.TryAddSingleton(TimeProvider.System);
        builder.Services.AddSingleton(options);
        builder.Services.AddSingleton(options.Engine);
        builder.Services.TryAddSingleton(new RankOptions());
        builder.Services.AddSingleton(_ => Checkpoint.Open(options.ModelDirectory));
        builder.Services.AddSingleton(_ => new WorkerPool(options.Threads));
        builder.Services.AddSingleton<SiloExperts>();
        builder.Services.AddSingleton(services => new ClusterExpertDispatch(
            services.GetRequiredService<Checkpoint>(),
            services.GetRequiredService<SiloExperts>(),
            services.GetRequiredService<WorkerPool>(),
            options.Dispatch,
            services.GetRequiredService<ILocalSiloDetails>().SiloAddress.ToParsableString(),
            services.GetService<TensorTransport>(),
            services.GetRequiredService<TimeProvider>()));
        builder.Services.AddSingleton<Rank>();
        builder.UseOrleans(silo =>
        {
            silo.UseLocalhostClustering(options.SiloPort, options.GatewayPort, new IPEndPoint(IPAddress.Loopback, options.SiloPort), "conclave", options.ClusterId);
            silo.AddPlacementDirector<SiloPlacement, SiloPlacementDirector>();
            silo.AddMemoryGrainStorage(ExpertMapGrain.Storage);
        });
        // After Orleans, so that it starts when grains can be called and stops while they still can.
        builder.Services.AddHostedService<SiloLifetime>();
        builder.Services.AddHealthChecks().AddCheck<RankHealth>("model");
        return builder;
    }
}
