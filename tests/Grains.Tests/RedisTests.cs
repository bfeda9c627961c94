using Conclave.Silo;
using Conclave.Tests.Support;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Orleans;
using Orleans.Runtime;
using Orleans.Storage;
using StackExchange.Redis;

namespace Conclave.Grains.Tests;

/// <summary>Membership and the map in Redis: a real server.</summary>
public sealed class RedisTests(TestModel model) : IClassFixture<TestModel>, IAsyncLifetime
{
    private static readonly GrainId Grain = GrainId.Create("map", "tiny-random");
    private RedisServer _redis = null!;

    public async Task InitializeAsync() => _redis = await RedisServer.StartAsync(password: "open-sesame");

    public async Task DisposeAsync() => await _redis.DisposeAsync();

    [Fact]
    public async Task A_state_comes_back_as_it_was_stored()
    {
        await using RedisGrainStorage storage = Storage();
        var state = new GrainState<ExpertMapState>(new ExpertMapState());
        await storage.ReadStateAsync("map", Grain, state);
        Assert.False(state.RecordExists);
        Assert.Null(state.ETag);

        var view = new ClusterView
        {
            Map = new ExpertMap { Version = 7, LoadedAs = 6, SlotKeys = ["slot0/a", "slot0/b"], ExpertCount = 2, Replicas = [[], [], [0, 1], [1]] },
            Ranks = ["a"],
            Silos = [new SiloOffer { Silo = "a", Slots = 1, Labels = new Dictionary<string, string> { ["zone"] = "east" } }, new SiloOffer { Silo = "b", Slots = 1, Attention = false }],
            Draining = ["b"],
            Epoch = 12,
            MissingExperts = 1,
            Wishes = new PlacementWishes { Replicas = 2 },
        };
        state.State.Set(view);
        await storage.WriteStateAsync("map", Grain, state);
        Assert.True(state.RecordExists);

        var read = new GrainState<ExpertMapState>(new ExpertMapState());
        await using RedisGrainStorage another = Storage();
        await another.ReadStateAsync("map", Grain, read);
        Assert.Equal(state.ETag, read.ETag);
        Assert.Equivalent(view, read.State.ToView(), strict: true);

        await another.ClearStateAsync("map", Grain, read);
        await storage.ReadStateAsync("map", Grain, state);
        Assert.False(state.RecordExists);
    }

    [Fact]
    public async Task Who_has_not_read_the_last_record_cannot_write()
    {
        await using RedisGrainStorage storage = Storage();
        var one = new GrainState<ExpertMapState>(new ExpertMapState { Epoch = 1 });
        var other = new GrainState<ExpertMapState>(new ExpertMapState { Epoch = 2 });
        await storage.WriteStateAsync("map", Grain, one);
        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.WriteStateAsync("map", Grain, other));
        await storage.ReadStateAsync("map", Grain, other);
        await storage.WriteStateAsync("map", Grain, other);
        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.WriteStateAsync("map", Grain, one));
        await Assert.ThrowsAsync<InconsistentStateException>(() => storage.ClearStateAsync("map", Grain, one));
    }

    [Theory]
    [InlineData("1", "{\"Epoch\": tru")]
    [InlineData("1", "null")]
    [InlineData("99", "{}")]
    public async Task A_damaged_record_is_an_error_that_names_it(string format, string data)
    {
        using ConnectionMultiplexer redis = await ConnectionMultiplexer.ConnectAsync(_redis.ConnectionString);
        await redis.GetDatabase().HashSetAsync($"conclave/test/state/map/{Grain}", [new HashEntry("version", "v"), new HashEntry("format", format), new HashEntry("data", data)]);
        await using RedisGrainStorage storage = Storage();
        InvalidDataException error = await Assert.ThrowsAsync<InvalidDataException>(() => storage.ReadStateAsync("map", Grain, new GrainState<ExpertMapState>(new ExpertMapState())));
        Assert.Contains($"conclave/test/state/map/{Grain}", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_map_survives_its_silo()
    {
        int[][] expected = await model.ExpectedAsync(4, 300);
        await using TestCluster cluster = Cluster();
        // The map grain starts on the first silo, when there is no other.
        TestCluster.Member first = await cluster.StartAsync();
        await cluster.StartAsync(2);
        await cluster.Map.Apply(new PlacementWishes { Replicas = 2 });
        ClusterView before = await cluster.UntilAsync(view => view.Ranks.Length == 3 && view.Map.Replicas[8..].All(slots => slots.Length == 2));
        TestCluster.Member second = cluster.Members[1];
        Task<int[][]> streams = Task.WhenAll(Enumerable.Range(0, 4).Select(i => second.GenerateAsync(TestCluster.Command(i, 300))));
        await cluster.KillAsync(first);
        Assert.Equal(expected, await streams);
        ClusterView after = await cluster.UntilAsync(view => view.Silos.Length == 2 && view.IsComplete && view.Map.Replicas[8..].All(slots => slots.Length == 2));
        Assert.True(after.Epoch > before.Epoch);
        Assert.True(after.Map.Version > before.Map.Version);
        Assert.Equal(2, after.Wishes.Replicas);
        Assert.Equal(expected[0], await second.GenerateAsync(TestCluster.Command(0, 300)));
    }

    [Fact]
    public async Task Serving_goes_on_while_Redis_is_gone()
    {
        int[][] expected = await model.ExpectedAsync(4, 300);
        await using TestCluster cluster = Cluster();
        await cluster.StartAsync(2);
        ClusterView before = await cluster.UntilAsync(view => view.Ranks.Length == 2 && view.Map.SlotKeys.Length == 4);
        TestCluster.Member first = cluster.Members[0];
        await _redis.StopAsync();
        try
        {
            Assert.Equal(expected, await Task.WhenAll(Enumerable.Range(0, 4).Select(i => first.GenerateAsync(TestCluster.Command(i, 300)))));
            await cluster.Map.Apply(new PlacementWishes { Replicas = 2 });
            await cluster.UntilAsync(view => view.Map.Version > before.Map.Version && view.Map.Replicas[8..].All(slots => slots.Length == 2));
            await TestCluster.UntilAsync(async () => (await cluster.Map.Placement()).StorageFault is not null, () => "the fault does not show");
            Assert.Equal(expected[1], await first.GenerateAsync(TestCluster.Command(1, 300)));
        }
        finally
        {
            // Whatever fails: without Redis silos cannot say that they leave, and the last one would take the others for lost.
            await _redis.RestartAsync();
        }

        await TestCluster.UntilAsync(async () => (await cluster.Map.Placement()).StorageFault is null, () => "nothing is stored again");
        await cluster.StartAsync();
        await cluster.UntilAsync(view => view.Ranks.Length == 3 && view.Wishes.Replicas == 2);
    }

    [Theory]
    [InlineData("nohost.invalid:6379", "nohost.invalid:6379")]
    [InlineData("127.0.0.1:1", "127.0.0.1:1 cannot be connected to")]
    public async Task A_silo_says_what_it_waits_for_when_Redis_cannot_be_reached(string address, string said)
    {
        var log = new HeardLog(said);
        HostApplicationBuilder builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders().AddProvider(log);
        builder.AddConclaveSilo(new SiloOptions { ModelDirectory = model.Path, Threads = 1, RedisConnection = address });
        using IHost host = builder.Build();
        using var giveUp = new CancellationTokenSource();
        Task starting = host.StartAsync(giveUp.Token);
        string heard = await log.Heard.WaitAsync(TimeSpan.FromMinutes(4));
        Assert.Contains("waiting for Redis", heard, StringComparison.Ordinal);
        Assert.Contains("--redis", heard, StringComparison.Ordinal);
        Assert.False(starting.IsCompleted);
        await giveUp.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => starting);
    }

    // However late an answer is, it is waited for.
    private RedisGrainStorage Storage() => new($"{_redis.ConnectionString},connectTimeout={PatientSilo.LongMs},syncTimeout={PatientSilo.LongMs}", "conclave/test", new HandClock(), NullLogger<RedisGrainStorage>.Instance);

    private TestCluster Cluster() => new(model.Path, options => options with { RedisConnection = _redis.ConnectionString, Primary = null });

    /// <summary>Waits for a message.</summary>
    private sealed class HeardLog(string part) : ILoggerProvider, ILogger
    {
        private readonly TaskCompletionSource<string> _heard = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<string> Heard => _heard.Task;

        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            string text = formatter(state, exception);
            if (text.Contains(part, StringComparison.Ordinal)) _heard.TrySetResult(text);
        }

        public void Dispose()
        {
        }
    }
}
