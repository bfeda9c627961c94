using System.Diagnostics;
using System.Net;
using Conclave.Engine;
using Conclave.Gateway.Ranks;
using Conclave.Gateway.Tests.Support;
using Conclave.Grains;
using Conclave.Tests.Support;

namespace Conclave.Gateway.Tests.Failover;

/// <summary>Ranks leave, die and hang under streams: every answer is, to the last bit, that of an undisturbed run.</summary>
public sealed class FailoverTests : IAsyncLifetime
{
    private const int Streams = 16;

    /// <summary>A rank that dies without a word is noticed, and one that is only slow is hardly ever taken for it; if so, that costs time and nothing else.</summary>
    private static readonly FailoverOptions Watchful = PatientGateway.Failover with { SilenceMs = 10_000, ProbeTimeoutMs = 10_000, ViewTimeoutMs = 10_000 };

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
        await using SiloCluster cluster = await SiloCluster.StartAsync(_random, ranks: 2);
        object[] requests = [.. Enumerable.Range(0, Streams).Select(Request)];
        string[] expected = await cluster.StreamAsync(requests);
        Task<string[]> streams = await HeldAsync(cluster, requests, AllDecode);
        SiloCluster.Member leaving = Busiest(cluster), staying = Assert.Single(cluster.Ranks, member => member != leaving);
        long computed = staying.Rank.Engine.Status.PromptTokens;
        await DrainHeldAsync(cluster, leaving);
        ReleaseAll(cluster);
        Assert.Equal(expected, await streams);
        Assert.True(computed == staying.Rank.Engine.Status.PromptTokens, $"prompts were computed again: {computed}, {staying.Rank.Engine.Status}; {string.Join("; ", cluster.Log.Losses)}");
        Assert.Single(cluster.Ranks);
        Assert.Empty(cluster.Log.Errors);
        await SiloCluster.WaitAsync(() => staying.Rank.Engine.Status is { PagesInUse: 0, ParkedSequences: 0 }, "no page is in use");
    }

    [Fact]
    public async Task A_dead_ranks_streams_go_on_elsewhere()
    {
        await using SiloCluster cluster = await SiloCluster.StartAsync(_random, ranks: 2, failover: Watchful);
        object[] requests = [.. Enumerable.Range(0, Streams).Select(Request)];
        string[] expected = await cluster.StreamAsync(requests);
        Task<string[]> streams = await HeldAsync(cluster, requests, SomeAnswer);
        SiloCluster.Member dying = Busiest(cluster);
        Assert.InRange(dying.Rank.SequenceCount, Streams / 2, Streams);
        await cluster.KillAsync(dying);
        ReleaseAll(cluster);
        Assert.Equal(expected, await streams);
    }

    [Fact]
    public async Task A_rank_whose_step_hangs_is_left()
    {
        await using SiloCluster cluster = await SiloCluster.StartAsync(_random, ranks: 2, rankOptions: PatientSilo.Ranks with { StepDeadlineMs = 4000 });
        object[] requests = [.. Enumerable.Range(0, 6).Select(Request)];
        string[] expected = await cluster.StreamAsync(requests);
        Task<string[]> streams = await HeldAsync(cluster, requests, SomeAnswer);
        SiloCluster.Member hanging = Busiest(cluster);
        // Rows that its experts have computed do not reach it before this test is over: its step loop stands still, all else goes on.
        hanging.Transport.Link.Delay = TimeSpan.FromHours(1);
        ReleaseAll(cluster);
        Assert.Equal(expected, await streams);
        Assert.NotNull(hanging.Rank.Fault);
    }

    [Fact]
    public async Task Queued_requests_move_too()
    {
        await using SiloCluster cluster = await SiloCluster.StartAsync(_random, ranks: 2, new EngineOptions { MaxBatch = 1, MaxStepRows = 32, KvMemorySizeBytes = 8 << 20 });
        object[] requests = [.. Enumerable.Range(0, 8).Select(Request)];
        string[] expected = await cluster.StreamAsync(requests);
        Task<string[]> streams = await HeldAsync(cluster, requests, SomeAnswer);
        SiloCluster.Member leaving = Busiest(cluster);
        Assert.True(leaving.Rank.Engine.Status is { Running: 1, Waiting: >= 3 }, string.Join("; ", cluster.Ranks.Select(member => member.Rank.Engine.Status)));
        await DrainHeldAsync(cluster, leaving);
        ReleaseAll(cluster);
        Assert.Equal(expected, await streams);
        Assert.Empty(cluster.Log.Errors);
    }

    [Fact]
    public async Task Tools_log_probabilities_and_penalties_survive_a_drain_and_a_death()
    {
        await using SiloCluster cluster = await SiloCluster.StartAsync(TestModels.Demo(), ranks: 3, failover: Watchful);
        object[] requests = [.. Enumerable.Range(0, Streams).Select(DemoRequest)];
        string[] expected = await cluster.StreamAsync(requests);
        Assert.Contains(expected, answer => answer.Contains("|tool_calls|", StringComparison.Ordinal));
        Task<string[]> streams = await HeldAsync(cluster, requests, SomeAnswer);
        await DrainHeldAsync(cluster, Busiest(cluster));
        await cluster.KillAsync(Busiest(cluster));
        ReleaseAll(cluster);
        Assert.Equal(expected, await streams);
    }

    [Fact]
    public async Task Without_any_rank_requests_wait_and_then_get_503_and_a_new_rank_serves()
    {
        await using SiloCluster cluster = await SiloCluster.StartAsync(_random, ranks: 1, failover: PatientGateway.Failover with { PatienceMs = 1500 });
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
            for (long start = Stopwatch.GetTimestamp(); ready != expected && Stopwatch.GetElapsedTime(start) < TimeSpan.FromMinutes(4);)
            {
                await Task.Delay(100);
                ready = (await cluster.Client.GetAsync("health/ready")).StatusCode;
            }

            Assert.Equal(expected, ready);
        }
    }

    private static SiloCluster.Member Busiest(SiloCluster cluster) => cluster.Ranks.MaxBy(member => member.Rank.SequenceCount)!;

    /// <summary>Streams all at once; returns when the ranks have them, and each that has any waits at a step at which its <paramref name="condition"/> holds.</summary>
    private static async Task<Task<string[]>> HeldAsync(SiloCluster cluster, object[] requests, Func<Rank, Func<bool>> condition)
    {
        foreach (SiloCluster.Member member in cluster.Ranks) member.Steps.Hold();
        Task<string[]> streams = cluster.StreamAsync(requests);
        await WaitForAllAsync();
        SiloCluster.Member[] busy = [.. cluster.Ranks.Where(member => member.Rank.SequenceCount > 0)];
        foreach (SiloCluster.Member member in busy) member.Steps.Release(condition(member.Rank));
        await Task.WhenAll(busy.Select(member => member.Steps.HeldAsync()));
        // Should one have looked faulty while it went on, its streams are elsewhere by now.
        await WaitForAllAsync();
        return streams;

        Task WaitForAllAsync() =>
            SiloCluster.WaitAsync(() => cluster.Ranks.Sum(member => member.Rank.SequenceCount) == requests.Length, () => $"the ranks have all sequences; streams {streams.Status}");
    }

    /// <summary>Drains a rank whose steps are held, and then lets it go; the others wait on.</summary>
    private static async Task DrainHeldAsync(SiloCluster cluster, SiloCluster.Member leaving)
    {
        int all = cluster.Ranks.Sum(member => member.Rank.SequenceCount);
        Task draining = cluster.DrainAsync(leaving);
        await SiloCluster.WaitAsync(() => leaving.Rank.SequenceCount == 0, () => $"{leaving.Rank.SequenceCount} sequences are still on the rank that leaves");
        leaving.Steps.Release();
        await draining;
        await SiloCluster.WaitAsync(() => cluster.Ranks.Sum(member => member.Rank.SequenceCount) == all, "the others have its sequences");
    }

    private static void ReleaseAll(SiloCluster cluster)
    {
        foreach (SiloCluster.Member member in cluster.Members) member.Steps.Release();
    }

    /// <summary>There are more tokens than sequences: at least one has begun to answer.</summary>
    private static Func<bool> SomeAnswer(Rank rank)
    {
        long enough = rank.Engine.Status.GeneratedTokens + rank.SequenceCount;
        return () => rank.Engine.Status.GeneratedTokens > enough;
    }

    /// <summary>The last step has given every sequence a token and computed none of a prompt.</summary>
    private static Func<bool> AllDecode(Rank rank)
    {
        EngineStatus before = rank.Engine.Status;
        return () =>
        {
            EngineStatus now = rank.Engine.Status;
            bool all = now.PromptTokens == before.PromptTokens && now.GeneratedTokens == before.GeneratedTokens + rank.SequenceCount;
            before = now;
            return all;
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
