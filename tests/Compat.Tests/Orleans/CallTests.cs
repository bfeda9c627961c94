using Conclave.Tests.Support;
using Orleans;
using Orleans.Runtime;
using Orleans.Serialization;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>Calls: turns, copies, failures, cancellation, timeouts. Each test runs from inside the silo and from a client.</summary>
public sealed class CallTests
{
    private static Task<TestCluster> Cluster() => TestCluster.StartAsync();

    private static IGrainFactory Pick(TestCluster cluster, bool inside) => inside ? cluster.Inside(0) : cluster.Client;

    [Theory, InlineData(true), InlineData(false)]
    public async Task Calls_run_one_at_a_time_unless_they_interleave(bool inside)
    {
        await using TestCluster cluster = await Cluster();
        string key = $"turns-{inside}";
        var grain = Pick(cluster, inside).GetGrain<IWorkGrain>(key);
        int[] most = await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => grain.Work(10)));
        Assert.All(most, value => Assert.Equal(1, value));
        Task<int> work = grain.Hold();
        await TestCluster.UntilAsync(async () => await grain.Peek() == 1, "an interleaved call sees the other one under way");
        Assert.False(work.IsCompleted);
        Doors.Open(key);
        Assert.Equal(1, await work);
    }

    [Fact]
    public async Task Read_only_calls_run_beside_each_other()
    {
        await using TestCluster cluster = await Cluster();
        var grain = cluster.Client.GetGrain<IWorkGrain>("readers");
        int[] most = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => grain.Look(together: 4)));
        Assert.All(most, value => Assert.Equal(4, value));
    }

    [Fact]
    public async Task Continuations_stay_on_the_activation()
    {
        await using TestCluster cluster = await Cluster();
        Assert.True(await cluster.Client.GetGrain<IWorkGrain>("scheduler").StaysOnScheduler());
    }

    [Theory, InlineData(true), InlineData(false)]
    public async Task Arguments_are_copied(bool inside)
    {
        await using TestCluster cluster = await Cluster();
        var grain = Pick(cluster, inside).GetGrain<IWorkGrain>("copies");
        for (int round = 0; round < 2; round++)
        {
            List<int> numbers = [1, 2, 3];
            int[] more = [4];
            Task<List<int>> sum = grain.Sum(numbers, more);
            numbers.Add(1000);
            more[0] = 1000;
            Assert.Equal(10, Assert.Single(await sum));
            Assert.Equal([1, 2, 3, 1000], numbers);
            Assert.Equal(1000, more[0]);
        }
    }

    [Theory, InlineData(true), InlineData(false)]
    public async Task Exceptions_arrive_with_their_type_and_fields(bool inside)
    {
        await using TestCluster cluster = await Cluster();
        var grain = Pick(cluster, inside).GetGrain<IWorkGrain>("failures");
        Assert.Equal(7, (await Assert.ThrowsAsync<QuotaException>(() => grain.Throw("quota"))).Limit);
        QuotaException now = await Assert.ThrowsAsync<QuotaException>(() => grain.Throw("sync"));
        Assert.Equal(("now", 1), (now.Message, now.Limit));
        Assert.Contains("ThrowNow", now.StackTrace, StringComparison.Ordinal);
        AggregateException aggregate = await Assert.ThrowsAsync<AggregateException>(() => grain.Throw("aggregate"));
        Assert.Equal(3, Assert.IsType<QuotaException>(Assert.Single(aggregate.InnerExceptions)).Limit);
        Assert.Contains("bad", (await Assert.ThrowsAsync<ArgumentException>(() => grain.Throw("argument"))).Message, StringComparison.Ordinal);
        Assert.Equal("hidden", (await Assert.ThrowsAnyAsync<Exception>(() => grain.Throw("private"))).Message);
    }

    [Theory, InlineData(true), InlineData(false)]
    public async Task Types_without_serializer_are_refused(bool inside)
    {
        await using TestCluster cluster = await Cluster();
        var grain = Pick(cluster, inside).GetGrain<IWorkGrain>("unserializable");
        await grain.Nothing();
        CodecNotFoundException argument = await Assert.ThrowsAsync<CodecNotFoundException>(() => grain.Take(new NotMarked()));
        Assert.Contains("[GenerateSerializer]", argument.Message, StringComparison.Ordinal);
        await Assert.ThrowsAnyAsync<SerializerException>(() => grain.Unserializable());
        await grain.Nothing();
    }

    [Theory, InlineData(true), InlineData(false)]
    public async Task Cancellation_reaches_the_grain(bool inside)
    {
        await using TestCluster cluster = await Cluster();
        string key = $"cancel-{inside}";
        var grain = Pick(cluster, inside).GetGrain<IWorkGrain>(key);
        await grain.Nothing();
        using var stop = new CancellationTokenSource();
        Task<bool> call = grain.Cancellable(stop.Token);
        await TestCluster.UntilAsync(() => Task.FromResult(Journal.Of(key).Contains("waiting")), "the call is under way");
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call);
        await TestCluster.UntilAsync(() => Task.FromResult(Journal.Of(key).Contains("cancelled")), "the grain's token is cancelled");
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => grain.Cancellable(stop.Token));
    }

    [Fact]
    public async Task Calls_time_out_and_cancel_what_they_started()
    {
        await using TestCluster cluster = await Cluster();
        var grain = cluster.Client.GetGrain<IWorkGrain>("timeout");
        await TestCluster.UntilAsync(
            async () =>
            {
                // On a busy machine a call may time out before it has begun; then there is nothing to cancel.
                await Assert.ThrowsAsync<TimeoutException>(() => grain.Impatient(CancellationToken.None));
                return Journal.Of("timeout").Contains("cancelled");
            },
            "a call that timed out is cancelled");
    }

    [Theory, InlineData(true), InlineData(false)]
    public async Task Calls_wait_for_no_timer(bool inside)
    {
        // This clock stands still: a call that polled for anything would not come back.
        await using TestCluster cluster = await TestCluster.StartAsync(clock: new HandClock());
        var grain = Pick(cluster, inside).GetGrain<IWorkGrain>("timers");
        for (int i = 0; i < 200; i++) await grain.Nothing();
        await Task.WhenAll(Enumerable.Range(0, 200).Select(_ => grain.Nothing()));
        Assert.Equal(Enumerable.Range(0, 50), await ToListAsync(grain.Count(50, 0).WithBatchSize(1)));
    }

    [Fact]
    public async Task References_travel_and_compare_by_grain()
    {
        await using TestCluster cluster = await Cluster();
        var first = cluster.Client.GetGrain<IWorkGrain>("first");
        Assert.Equal("first second True", await first.Self(cluster.Client.GetGrain<IWorkGrain>("second")));
        Assert.Equal(first, cluster.Client.GetGrain<IWorkGrain>("first"));
        Assert.NotEqual(first, cluster.Client.GetGrain<IWorkGrain>("second"));
        Assert.Equal("work/first", first.GetGrainId().ToString());
    }

    [Theory, InlineData(true), InlineData(false)]
    public async Task Request_context_travels(bool inside)
    {
        await using TestCluster cluster = await Cluster();
        var grain = Pick(cluster, inside).GetGrain<IWorkGrain>("context");
        RequestContext.Set("tenant", 17);
        Assert.Equal("17", await grain.Context("tenant"));
        RequestContext.Clear();
        Assert.Null(await grain.Context("tenant"));
    }

    [Fact]
    public async Task Wrong_interfaces_are_refused_with_a_reason()
    {
        await using TestCluster cluster = await Cluster();
        Assert.Contains("must return Task", Assert.Throws<ArgumentException>(() => cluster.Client.GetGrain<IVoidGrain>(1)).Message, StringComparison.Ordinal);
        Assert.Contains("Could not find an implementation", Assert.Throws<ArgumentException>(() => cluster.Client.GetGrain<IOrphanGrain>(1)).Message, StringComparison.Ordinal);
    }

    private static async Task<List<int>> ToListAsync(IAsyncEnumerable<int> stream)
    {
        List<int> seen = [];
        await foreach (int i in stream) seen.Add(i);
        return seen;
    }
}
