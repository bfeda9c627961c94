using Conclave.Tests.Support;
using Orleans;
using Orleans.Runtime;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>Grain methods that return asynchronous sequences.</summary>
public sealed class StreamTests
{
    [Theory, InlineData(true), InlineData(false)]
    public async Task Elements_arrive_in_order_whatever_the_batch_size(bool inside)
    {
        await using TestCluster cluster = await TestCluster.StartAsync();
        var grain = (inside ? cluster.Inside(0) : cluster.Client).GetGrain<IWorkGrain>("order");
        foreach (int batch in new[] { 1, 7, 100, 1000 })
        {
            List<int> seen = [];
            await foreach (int i in grain.Count(250, 0).WithBatchSize(batch)) seen.Add(i);
            Assert.Equal(Enumerable.Range(0, 250), seen);
        }
    }

    [Theory, InlineData(true), InlineData(false)]
    public async Task Leaving_early_stops_the_producer(bool inside)
    {
        await using TestCluster cluster = await TestCluster.StartAsync();
        string key = $"early-{inside}";
        var grain = (inside ? cluster.Inside(0) : cluster.Client).GetGrain<IWorkGrain>(key);
        await foreach (int i in grain.Count(int.MaxValue, 1).WithBatchSize(1))
            if (i == 3) break;
        Assert.Equal("producer ended", Journal.Of(key)[^1]);
        Assert.InRange(Journal.Of(key).Count(entry => entry.StartsWith("produce ", StringComparison.Ordinal)), 4, 6);
    }

    [Theory, InlineData(true), InlineData(false)]
    public async Task Cancelling_ends_both_sides(bool argument)
    {
        await using TestCluster cluster = await TestCluster.StartAsync();
        string key = $"cancel-stream-{argument}";
        var grain = cluster.Client.GetGrain<IWorkGrain>(key);
        using var stop = new CancellationTokenSource();
        IAsyncEnumerable<int> stream = argument ? grain.Count(10, int.MaxValue, stop.Token).WithBatchSize(1) : grain.Count(10, int.MaxValue).WithBatchSize(1);
        Task reading = Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (int _ in argument ? stream : Cancelled(stream, stop.Token)) Assert.Fail("nothing was produced");
        });
        await TestCluster.UntilAsync(() => Task.FromResult(Journal.Of(key).Contains("producer started")), "the producer starts");
        await stop.CancelAsync();
        await reading;
        await TestCluster.UntilAsync(() => Task.FromResult(Journal.Of(key).Contains("producer ended")), "the producer ends");
    }

    [Fact]
    public async Task Failures_of_the_producer_arrive_after_its_elements()
    {
        await using TestCluster cluster = await TestCluster.StartAsync();
        List<int> seen = [];
        QuotaException failure = await Assert.ThrowsAsync<QuotaException>(async () =>
        {
            await foreach (int i in cluster.Client.GetGrain<IWorkGrain>("broken").Broken(5)) seen.Add(i);
        });
        Assert.Equal((5, 5), (failure.Limit, seen.Count));
    }

    [Fact]
    public async Task A_slow_producer_outlasts_the_response_timeout()
    {
        var clock = new HandClock();
        await using TestCluster cluster = await TestCluster.StartAsync(clock: clock);
        await using IAsyncEnumerator<int> reader = cluster.Client.GetGrain<IWorkGrain>("slow-producer").CountAfterDoor(1).GetAsyncEnumerator();
        Task<bool> next = reader.MoveNextAsync().AsTask();
        // The reader is told every ten seconds that there is nothing yet, and asks again; calls time out after two minutes here.
        TimeSpan poll = TimeSpan.FromSeconds(10);
        for (int polls = 0; polls < 30; polls++)
        {
            await TestCluster.UntilAsync(() => Task.FromResult(clock.IsAwaited(poll)), "the reader waits");
            clock.Advance(poll);
        }
        Assert.False(next.IsCompleted);
        Doors.Open("slow-producer");
        Assert.True(await next);
    }

    [Fact]
    public async Task Calls_are_served_while_a_stream_waits_and_the_end_of_the_grain_aborts_it()
    {
        await using TestCluster cluster = await TestCluster.StartAsync();
        var grain = cluster.Client.GetGrain<IWorkGrain>("abort");
        await using IAsyncEnumerator<int> reader = grain.Count(10, int.MaxValue).GetAsyncEnumerator();
        Task<bool> next = reader.MoveNextAsync().AsTask();
        await TestCluster.UntilAsync(() => Task.FromResult(Journal.Of("abort").Contains("producer started")), "the producer starts");
        Assert.Equal(1, await grain.Work(1));
        await grain.End();
        await Assert.ThrowsAsync<EnumerationAbortedException>(() => next);
    }

    [Fact]
    public async Task A_reader_that_never_returns_does_not_keep_the_producer()
    {
        var clock = new HandClock();
        await using TestCluster cluster = await TestCluster.StartAsync(clock: clock);
        IAsyncEnumerator<int> reader = cluster.Client.GetGrain<IWorkGrain>("abandoned").Count(10, 0).WithBatchSize(1).GetAsyncEnumerator();
        Assert.True(await reader.MoveNextAsync());
        await TestCluster.UntilAsync(
            () =>
            {
                clock.Advance(TimeSpan.FromMinutes(1));
                return Task.FromResult(Journal.Of("abandoned").Contains("producer ended"));
            },
            "the abandoned producer ends");
        await Assert.ThrowsAsync<EnumerationAbortedException>(async () => await reader.MoveNextAsync());
    }

    private static async IAsyncEnumerable<int> Cancelled(IAsyncEnumerable<int> stream, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken token)
    {
        await foreach (int i in stream.WithCancellation(token)) yield return i;
    }
}
