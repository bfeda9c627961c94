using Conclave.Tests.Support;
using Orleans;
using Orleans.Runtime;
using OrleansSample;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>Where the silos of a cluster of processes meet.</summary>
public enum Meeting
{
    Localhost,
    Redis,
}

/// <summary>Silos in processes of their own, and this process as their client.</summary>
internal sealed class ProcessCluster : IAsyncDisposable
{
    private readonly string _id = Guid.NewGuid().ToString("N")[..8];
    private readonly List<SiloProcess> _silos = [];
    private readonly int _primaryPort = FreePorts.Next();
    private ProcessClient? _client;

    private ProcessCluster(RedisServer? redis) => Redis = redis;

    public RedisServer? Redis { get; }

    /// <summary>Silos in the order of their start; the first one is the primary where there is no Redis.</summary>
    public IReadOnlyList<SiloProcess> Silos => _silos;

    public IGrainFactory Grains => _client!.Grains;

    public static async Task<ProcessCluster> StartAsync(Meeting meeting, int silos)
    {
        var cluster = new ProcessCluster(meeting == Meeting.Redis ? await RedisServer.StartAsync(password: "pass-word") : null);
        try
        {
            for (int i = 0; i < silos; i++) await cluster.AddAsync();
            cluster._client = cluster.Redis is { } redis
                ? await ProcessClient.ConnectAsync(cluster._id, redis.ConnectionString)
                : await ProcessClient.ConnectAsync(cluster._id, [.. cluster._silos.Select(silo => silo.Gateway)]);
            await AgreeAsync([.. cluster._silos]);
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>Another client, who looks for the silos that are there now.</summary>
    public Task<ProcessClient> ConnectAsync() => ProcessClient.ConnectAsync(_id, Redis!.ConnectionString);

    /// <summary>Waits until each of these silos counts all of them as active, and nobody else.</summary>
    public static Task AgreeAsync(params SiloProcess[] living)
    {
        string[] expected = [.. living.Select(silo => silo.Address.ToString()).Order(StringComparer.Ordinal)];
        return TestCluster.UntilAsync(
            async () =>
            {
                foreach (SiloProcess silo in living)
                    if (await silo.ActiveAsync() is var active && !active.SequenceEqual(expected)) return false;
                return true;
            },
            "the silos agree on who lives");
    }

    public async Task<SiloProcess> AddAsync(int port = 0, params string[] more)
    {
        SiloProcess silo = Launch(port, more);
        await silo.ReadyAsync();
        return silo;
    }

    public SiloProcess Launch(int port = 0, params string[] more)
    {
        string[] meeting = Redis is { } redis ? ["--redis", redis.ConnectionString] : ["--primary", $"{_primaryPort}"];
        SiloProcess silo = SiloProcess.Launch(["--cluster", _id, .. meeting, .. more], port == 0 && Redis is null && _silos.Count == 0 ? _primaryPort : port);
        _silos.Add(silo);
        return silo;
    }

    /// <summary>A grain that is active on a silo: keys are tried until placement picks it.</summary>
    public async Task<ISequenceGrain> GrainOnAsync(SiloProcess silo, string name)
    {
        for (int i = 0; ; i++)
        {
            var grain = Grains.GetGrain<ISequenceGrain>($"{name}@{i}");
            if (silo.Address.Equals(await grain.Where())) return grain;
            Assert.True(i < _silos.Count, $"No grain is placed on {silo.Address}.");
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_client is not null) await _client.DisposeAsync();
        foreach (SiloProcess silo in _silos) await silo.DisposeAsync();
        if (Redis is not null) await Redis.DisposeAsync();
    }
}

/// <summary>Tests that start processes run one after another.</summary>
[CollectionDefinition(Name)]
public sealed class ProcessTestGroup
{
    public const string Name = "processes";
}
