using System.Diagnostics;
using System.Net;
using Conclave.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans;
using Orleans.Hosting;
using Orleans.Runtime;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>A cluster of silos in this process, and a client of it.</summary>
internal sealed class TestCluster : IAsyncDisposable
{
    private readonly List<IHost> _silos = [];
    private readonly List<int> _gateways = [];
    private readonly Action<ISiloBuilder>? _configure;
    private readonly HandClock? _clock;
    private readonly IPEndPoint _primary;
    private IHost? _client;

    private TestCluster(Action<ISiloBuilder>? configure, HandClock? clock)
    {
        (_configure, _clock) = (configure, clock);
        _primary = new IPEndPoint(IPAddress.Loopback, FreePorts.Next());
    }

    public IReadOnlyList<IHost> Silos => _silos;

    /// <summary>The factory of the client, outside of all silos.</summary>
    public IGrainFactory Client => _client!.Services.GetRequiredService<IClusterClient>();

    /// <summary>The factory of a silo's host.</summary>
    public IGrainFactory Inside(int silo) => _silos[silo].Services.GetRequiredService<IGrainFactory>();

    public int GatewayPort(int silo) => _gateways[silo];

    public SiloAddress Address(int silo) => _silos[silo].Services.GetRequiredService<ILocalSiloDetails>().SiloAddress;

    public IClusterMembershipService Membership(int silo) => _silos[silo].Services.GetRequiredService<IClusterMembershipService>();

    /// <param name="silos">How many silos.</param>
    /// <param name="configure">Configures each silo.</param>
    /// <param name="clock">The clock of the silos and of the client, if not the machine's.</param>
    public static async Task<TestCluster> StartAsync(int silos = 1, Action<ISiloBuilder>? configure = null, HandClock? clock = null)
    {
        var cluster = new TestCluster(configure, clock);
        for (int i = 0; i < silos; i++) await cluster.AddSiloAsync();
        HostApplicationBuilder builder = cluster.CreateBuilder();
        builder.UseOrleansClient(client =>
        {
            client.UseLocalhostClustering([.. cluster._gateways]);
            client.BePatient();
        });
        cluster._client = builder.Build();
        await cluster._client.StartAsync();
        return cluster;
    }

    public async Task AddSiloAsync()
    {
        int port = _silos.Count == 0 ? _primary.Port : FreePorts.Next();
        int gateway = FreePorts.Next();
        HostApplicationBuilder builder = CreateBuilder();
        builder.UseOrleans(silo =>
        {
            silo.UseLocalhostClustering(port, gateway, _primary);
            silo.AddMemoryGrainStorage("store");
            silo.Services.AddSingleton<IFatalErrorHandler, FatalErrors>();
            silo.BePatient();
            _configure?.Invoke(silo);
        });
        IHost host = builder.Build();
        await host.StartAsync();
        _silos.Add(host);
        _gateways.Add(gateway);
        await UntilAsync(() => Task.FromResult(KnowEachOther()), "all silos know each other");
    }

    /// <summary>Stops a silo gracefully and forgets it.</summary>
    public async Task RemoveSiloAsync(int index)
    {
        IHost silo = _silos[index];
        _silos.RemoveAt(index);
        await silo.StopAsync();
        silo.Dispose();
    }

    public async ValueTask DisposeAsync()
    {
        Task stopping = StopAsync();
        while (_clock is not null && !stopping.IsCompleted)
        {
            _clock.Advance(TimeSpan.FromMilliseconds(10));
            await Task.Delay(1);
        }
        await stopping;
    }

    private async Task StopAsync()
    {
        await _client!.StopAsync();
        _client.Dispose();
        // The primary silo last: it has the membership table.
        foreach (IHost silo in Enumerable.Reverse(_silos))
        {
            await silo.StopAsync();
            silo.Dispose();
        }
    }

    private bool KnowEachOther() =>
        Enumerable.Range(0, _silos.Count).All(knower => Enumerable.Range(0, _silos.Count).All(known => Membership(knower).CurrentSnapshot.GetSiloStatus(Address(known)) == SiloStatus.Active));

    private HostApplicationBuilder CreateBuilder()
    {
        HostApplicationBuilder builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        builder.BePatient();
        if (_clock is not null) builder.Services.AddSingleton<TimeProvider>(_clock);
        return builder;
    }

    public static async Task UntilAsync(Func<Task<bool>> condition, string what)
    {
        long start = Stopwatch.GetTimestamp();
        while (!await condition())
        {
            Assert.True(Stopwatch.GetElapsedTime(start) < Patient.Limit, $"Not in time: {what}");
            await Task.Delay(25);
        }
    }
}

/// <summary>Silos that die in the tests' process must not take it along.</summary>
internal sealed class FatalErrors : IFatalErrorHandler
{
    private readonly TaskCompletionSource<string?> _reason = new();

    /// <summary>Why the silo would have ended its process.</summary>
    public Task<string?> Reason => _reason.Task;

    public bool IsUnexpected(Exception exception) => true;

    public void OnFatalException(object? sender, string? context, Exception? exception) => _reason.TrySetResult(context);
}
