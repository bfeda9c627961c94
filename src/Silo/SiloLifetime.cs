using System.Diagnostics;
using Conclave.Grains;
using Conclave.Model.Kernels;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans;
using Orleans.Runtime;

namespace Conclave.Silo;

/// <summary>A silo's way into service and out of it: offer slots, take the map, start the engine, announce the rank; the reverse at the end.</summary>
internal sealed partial class SiloLifetime(
    IGrainFactory grains, ILocalSiloDetails silo, SiloOptions options, ClusterExpertDispatch experts, Rank rank, ILogger<SiloLifetime> logger) : IHostedService
{
    private readonly string _silo = silo.SiloAddress.ToParsableString();

    private IExpertMapGrain Map => grains.GetGrain<IExpertMapGrain>(options.ModelName);

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        long started = Stopwatch.GetTimestamp();
        ClusterView view = await Map.Join(new SiloOffer { Silo = _silo, Slots = options.Slots });
        experts.Use(view);
        rank.Start();
        await Map.RankReady(_silo);
        LogServing(options.ModelName, silo.SiloAddress, view.Map.Version, view.Map.SlotKeys.Length, KernelSet.Best.Tier, options.Threads, Stopwatch.GetElapsedTime(started).TotalMilliseconds);
    }

    public async Task StopAsync(CancellationToken cancellationToken) => await Map.Leave(_silo);

    [LoggerMessage(Level = LogLevel.Information, Message = "serving {Model} on silo {Silo}: map version {MapVersion}, {Slots} expert slots, {Tier} kernels, {Threads} threads; started in {StartMs:F0} ms")]
    private partial void LogServing(string model, SiloAddress silo, long mapVersion, int slots, KernelTier tier, int threads, double startMs);
}
