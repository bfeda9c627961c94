using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans;
using Orleans.Configuration;
using Orleans.Hosting;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>A client of silos in other processes.</summary>
internal sealed class ProcessClient : IAsyncDisposable
{
    private readonly IHost _host;

    private ProcessClient(IHost host) => _host = host;

    public IGrainFactory Grains => _host.Services.GetRequiredService<IClusterClient>();

    public static Task<ProcessClient> ConnectAsync(string cluster, int[] gateways) => StartAsync(client => client.UseLocalhostClustering(gateways, "host", cluster));

    public static Task<ProcessClient> ConnectAsync(string cluster, string redis) => StartAsync(client =>
    {
        client.Configure<ClusterOptions>(options => (options.ServiceId, options.ClusterId) = ("host", cluster));
        client.UseRedisClustering(redis);
    });

    public static async Task<ProcessClient> StartAsync(Action<IClientBuilder> configure)
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        builder.UseOrleansClient(client =>
        {
            client.BePatient();
            // Redis may be slow to answer.
            int attempts = 0;
            client.UseConnectionRetryFilter(async (_, token) =>
            {
                await Task.Delay(100, token);
                return ++attempts < 100;
            });
            configure(client);
        });
        IHost host = builder.Build();
        await host.StartAsync();
        return new ProcessClient(host);
    }

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        _host.Dispose();
    }
}
