using System.Net;
using Conclave.Engine;
using Conclave.Gateway.Ranks;
using Conclave.Gateway.Tests.Support;
using Conclave.Grains;

namespace Conclave.Gateway.Tests.Failover;

/// <summary>Ranks leave, die and hang under streams: every answer is, to the last bit, that of an undisturbed run.</summary>
public sealed class FailoverTests : IAsyncLifetime
{
    private const int Streams = 16;

    private readonly string _random = TestModels.Synthesize(contextLength: 4096);

    public Task InitializeAsync() => Task.CompletedTask;

    public Task DisposeAsync()
    {
        Directory.Delete(Path.GetDirectoryName(_random)!, recursive: true);
        return Task.CompletedTask;
    }

    [Fact]
    public async Task A_drained_rank_hands_its_streams_over_with_their_pages()
    {
        await using SiloCluster cluster = await SiloCluster.StartPatientAsync(_random, ranks: 2);
        object[] requests = [.. Enumerable.Range(0, Streams).Select(Request)];
        string[] expected = await cluster.StreamAsync(requests);
        // Slow steps, so that however late this test gets to look, it sees the streams before they end: from the last prompt to the first end it is more than 80 steps.
        cluster.SetRowDelay(TimeSpan.FromMilliseconds(60));
        Task<string[]> streams = cluster.StreamAsync(requests);
        await SiloCluster.WaitAsync(AllDecode(cluster), () => $"all prompts are computed: {string.Join("; ", cluster.Ranks.Select(member => member.Rank.Engine.Status))}; streams {streams.Status}");
        SiloCluster.Member[] ranks = [.. cluster.Ranks.OrderByDescending(member => member.Rank.SequenceCount)];
        SiloCluster.Member leaving = ranks[0], staying = ranks[1];
        long computed = staying.Rank.Engine.Status.PromptTokens;
        await cluster.DrainAsync(leaving);
        cluster.SetRowDelay(TimeSpan.Zero);
        Assert.Equal(expected, await streams);
        Assert.True(computed == staying.Rank.Engine.Status.PromptTokens, $"prompts were computed again: {computed}, {staying.Rank.Engine.Status}; {string.Join("; ", cluster.Log.Losses)}");
        Assert.Single(cluster.Ranks);
        Assert.Empty(cluster.Log.Errors);
        await SiloCluster.WaitAsync(() => staying.Rank.Engine.Status is { PagesInUse: 0, ParkedSequences: 0 }, "no page is in use");
    }

    [Fact]
    public async Task A_dead_ranks_streams_go_on_elsewhere()
    {
        await using SiloCluster cluster = await SiloCluster.StartAsync(_random, ranks: 2);
        object[] requests = [.. Enumerable.Range(0, Streams).Select(Request)];
        string[] expected = await cluster.StreamAsync(requests);
        Task<string[]> streams = await HeldAsync(cluster, requests);
        SiloCluster.Member dying = Busiest(cluster);
        Assert.InRange(dying.Rank.SequenceCount, Streams / 2, Streams);
        await cluster.KillAsync(dying);
        cluster.Steps.Release();
        Assert.Equal(expected, await streams);
    }

    [Fact]
    public async Task A_rank_whose_step_hangs_is_left()
    {
        await using SiloCluster cluster = await SiloCluster.StartAsync(_random, ranks: 2, rankOptions: new RankOptions { StepDeadlineMs = 4000 });
        object[] requests = [.. Enumerable.Range(0, 6).Select(Request)];
        string[] expected = await cluster.StreamAsync(requests);
        Task<string[]> streams = await HeldAsync(cluster, requests);
        SiloCluster.Member hanging = Busiest(cluster);
        // Rows that its experts have computed reach it a minute later: its step loop stands still, all else goes on.
        hanging.Transport.Link.Delay = TimeSpan.FromMinutes(1);
        cluster.Steps.Release();
        Assert.Equal(expected, await streams);
        Assert.NotNull(hanging.Rank.Fault);
        hanging.Transport.Link.Delay = TimeSpan.Zero;
    }

    [Fact]
    public async Task Queued_requests_move_too()
    {
        await using SiloCluster cluster = await SiloCluster.StartAsync(_random, ranks: 2, new EngineOptions { MaxBatch = 1, MaxStepRows = 32, KvMemorySizeBytes = 8 << 20 });
        object[] requests = [.. Enumerable.Range(0, 8).Select(Request)];
        string[] expected = await cluster.StreamAsync(requests);
        Task<string[]> streams = await HeldAsync(cluster, requests);
        // One of both has begun; the other's step loop may have been held again before it woke up.
        SiloCluster.Member? leaving = cluster.Ranks.FirstOrDefault(member => member.Rank.Engine.Status is { Running: 1, Waiting: > 1 });
        Assert.True(leaving is not null, string.Join("; ", cluster.Ranks.Select(member => member.Rank.Engine.Status)));
        await DrainHeldAsync(cluster, leaving);
        Assert.Equal(expected, await streams);
        Assert.Empty(cluster.Log.Errors);
    }

    [Fact]
    public async Task Tools_log_probabilities_and_penalties_survive_a_drain_and_a_death()
    {
        await using SiloCluster cluster = await SiloCluster.StartAsync(TestModels.Demo(), ranks: 3);
        object[] requests = [.. Enumerable.Range(0, Streams).Select(DemoRequest)];
        string[] expected = await cluster.StreamAsync(requests);
        Assert.Contains(expected, answer => answer.Contains("|tool_calls|", StringComparison.Ordinal));
        Task<string[]> streams = await HeldAsync(cluster, requests);
        await DrainHeldAsync(cluster, Busiest(cluster));
        await cluster.KillAsync(Busiest(cluster));
        Assert.Equal(expected, await streams);
    }

    [Fact]
    public async Task Without_any_rank_requests_wait_and_then_get_503_and_a_new_rank_serves()
    {
        await using SiloCluster cluster = await SiloCluster.StartAsync(_random, ranks: 1, failover: new FailoverOptions { PatienceMs = 1500 });
        Assert.Equal(HttpStatusCode.OK, (await cluster.Client.GetAsync("health/ready")).StatusCode);
        await cluster.DrainAsync(cluster.Ranks.Single());
        using HttpResponseMessage refused = await cluster.PostAsync(Request(1));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.NotNull(refused.Headers.RetryAfter);
        await ReadyAsync(HttpStatusCode.ServiceUnavailable);
        await cluster.AddAsync(Silo.SiloRoles.Attention);
        await ReadyAsync(HttpStatusCode.OK);
        await cluster.StreamAsync([Request(1)]);

        async Task ReadyAsync(HttpStatusCode expected)
        {
            HttpStatusCode ready = default;
            for (int i = 0; i < 300 && ready != expected; i++)
            {
                await Task.Delay(100);
                ready = (await cluster.Client.GetAsync("health/ready")).StatusCode;
            }

            Assert.Equal(expected, ready);
        }
    }

    private static SiloCluster.Member Busiest(SiloCluster cluster) => cluster.Ranks.MaxBy(member => member.Rank.SequenceCount)!;

    /// <summary>Streams all at once; returns when the ranks have them, some have begun to answer, and no further step begins.</summary>
    private static async Task<Task<string[]>> HeldAsync(SiloCluster cluster, object[] requests)
    {
        SiloCluster.Member[] ranks = [.. cluster.Ranks];
        long generated = ranks.Sum(member => member.Rank.Engine.Status.GeneratedTokens);
        cluster.Steps.Hold();
        Task<string[]> streams = cluster.StreamAsync(requests);
        await SiloCluster.WaitAsync(() => ranks.Sum(member => member.Rank.SequenceCount) == requests.Length, () => $"the ranks have all sequences; streams {streams.Status}");
        cluster.Steps.Release(() => ranks.Sum(member => member.Rank.Engine.Status.GeneratedTokens) > generated + requests.Length);
        await cluster.Steps.HeldAsync();
        return streams;
    }

    /// <summary>Drains a rank whose steps are held; when it has handed over all that it had, steps go on everywhere.</summary>
    private static async Task DrainHeldAsync(SiloCluster cluster, SiloCluster.Member leaving)
    {
        Task draining = cluster.DrainAsync(leaving);
        await SiloCluster.WaitAsync(() => leaving.Rank.SequenceCount == 0, () => $"{leaving.Rank.SequenceCount} sequences are still on the rank that leaves");
        cluster.Steps.Release();
        await draining;
    }

    /// <summary>Whether every stream decodes: all run, and a few steps more compute no token of a prompt. How many a prompt has is up to the prefix cache.</summary>
    private static Func<bool> AllDecode(SiloCluster cluster)
    {
        (long PromptTokens, long Steps) seen = (-1, 0);
        return () =>
        {
            EngineStatus[] ranks = [.. cluster.Ranks.Select(member => member.Rank.Engine.Status)];
            long promptTokens = ranks.Sum(rank => rank.PromptTokens), steps = ranks.Sum(rank => rank.StepCount);
            if (promptTokens != seen.PromptTokens || ranks.Sum(rank => rank.Running) < Streams)
                seen = (promptTokens, steps);
            return steps > seen.Steps + (3 * ranks.Length);
        };
    }

    private static object Request(int i) => new
    {
        model = "deepseek-chat",
        messages = ChatTests.User(string.Concat(Enumerable.Repeat($"question {i}. ", 1 + (i * 5 % 17)))),
        max_tokens = 120 + (i * 13 % 60),
        temperature = i % 4 * 0.4,
        top_p = i % 5 == 0 ? 0.8 : 1,
        frequency_penalty = i % 3 == 0 ? 0.7 : 0,
        presence_penalty = i % 4 == 1 ? -0.4 : 0,
        seed = i,
        logprobs = i % 2 == 0,
        top_logprobs = i % 2 == 0 ? 3 : (int?)null,
        stream = true,
    };

    private static object DemoRequest(int i) => i % 4 == 0
        ? new
        {
            model = "deepseek-chat",
            messages = ChatTests.User("What is the weather in Paris?"),
            tools = new[] { new { type = "function", function = new { name = "get_weather", description = "Weather of a city", parameters = new { type = "object", properties = new { city = new { type = "string" } }, required = new[] { "city" } } } } },
            temperature = 0,
            seed = i,
            stream = true,
        }
        : Request(i);
}
