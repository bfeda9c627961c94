using System.Collections.Concurrent;
using System.Diagnostics;
using Conclave.Cli.Local;
using Conclave.Grains;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans;
using Orleans.Configuration;
using Orleans.Hosting;
using Orleans.Runtime;

namespace Conclave.Cli.Admin;

/// <summary>A client of a running cluster, for looking after it.</summary>
internal sealed class AdminClient : IAsyncDisposable
{
    private static readonly TimeSpan ConnectLimit = TimeSpan.FromMinutes(1), AnswerLimit = TimeSpan.FromSeconds(10), ListPeriod = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MapLimit = TimeSpan.FromMinutes(1), MapPause = TimeSpan.FromMilliseconds(200);

    private readonly IHost _host;
    private readonly IClusterClient _client;

    private AdminClient(IHost host, string model)
    {
        (_host, _client) = (host, host.Services.GetRequiredService<IClusterClient>());
        Map = _client.GetGrain<IExpertMapGrain>(model);
    }

    /// <summary>The model's map grain.</summary>
    public IExpertMapGrain Map { get; }

    /// <summary>The rank of a silo, by its parsable address.</summary>
    public IGatewayGrain Rank(string silo) => _client.GetGrain<IGatewayGrain>(SiloKey.Rank(silo));

    /// <summary>Connects.</summary>
    /// <exception cref="InvalidOperationException">No silo answers.</exception>
    public static async Task<AdminClient> Open(Membership membership, string model, CancellationToken cancellationToken)
    {
        HostApplicationBuilder builder = Host.CreateApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        // Whatever goes wrong becomes an exception here; the client's own words about it would only be in the way.
        builder.Logging.ClearProviders();
        builder.UseOrleansClient(client =>
        {
            client.Configure<GatewayOptions>(gateways => gateways.GatewayListRefreshPeriod = ListPeriod);
            if (membership.RedisConnection is null)
            {
                client.UseLocalhostClustering(membership.Primary!.Port, membership.ServiceId, membership.ClusterId);
                return;
            }

            client.Configure<Orleans.Configuration.ClusterOptions>(options => (options.ServiceId, options.ClusterId) = (membership.ServiceId, membership.ClusterId));
            client.UseRedisClustering(membership.RedisConnection);
        });
        IHost host = builder.Build();
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(ConnectLimit);
        try
        {
            await host.StartAsync(limit.Token);
            return new AdminClient(host, model);
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            host.Dispose();
            throw new InvalidOperationException($"the cluster '{membership.ClusterId}' cannot be reached: {e.Message}", e);
        }
    }

    /// <summary>Asks the map grain, and again while it is on its way from a silo that leaves or died to another one: for what may be asked twice.</summary>
    public async Task<T> AskMap<T>(Func<IExpertMapGrain, Task<T>> question, CancellationToken cancellationToken)
    {
        long began = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                return await question(Map).WaitAsync(cancellationToken);
            }
            catch (Exception e) when (Calls.MayBeRepeated(e) && !cancellationToken.IsCancellationRequested && Stopwatch.GetElapsedTime(began) < MapLimit)
            {
                await Task.Delay(MapPause, cancellationToken);
            }
        }
    }

    /// <summary>What the ranks of <paramref name="silos"/> are doing; null for one that does not answer soon.</summary>
    public async Task<IReadOnlyDictionary<string, RankStatus?>> Ranks(IEnumerable<string> silos)
    {
        var statuses = new ConcurrentDictionary<string, RankStatus?>();
        await Task.WhenAll(silos.Select(async silo => statuses[silo] = await Status(silo)));
        return statuses;
    }

    public async ValueTask DisposeAsync()
    {
        try
        {
            await _host.StopAsync();
        }
        finally
        {
            _host.Dispose();
        }
    }

    private async Task<RankStatus?> Status(string silo)
    {
        try
        {
            return await Rank(silo).Status().WaitAsync(AnswerLimit);
        }
        catch (Exception e) when (e is TimeoutException or OrleansException or ClusterException or SiloUnavailableException)
        {
            // Dead, starting or leaving: the tables show that it does not answer.
            return null;
        }
    }
}
