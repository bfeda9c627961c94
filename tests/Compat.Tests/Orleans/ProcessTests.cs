using Orleans;
using Orleans.Runtime;
using OrleansSample;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>What the sample shows within a process, between processes: two silos and a client.</summary>
[Collection(ProcessTestGroup.Name)]
public sealed class ProcessTests
{
    [Theory, InlineData(Meeting.Localhost), InlineData(Meeting.Redis)]
    public async Task Calls_streams_state_and_migration_cross_processes(Meeting meeting)
    {
        await using ProcessCluster cluster = await ProcessCluster.StartAsync(meeting, 2);
        ISequenceGrain first = await cluster.GrainOnAsync(cluster.Silos[0], "tour");
        ISequenceGrain second = await cluster.GrainOnAsync(cluster.Silos[1], "tour");
        await CallsAsync(first);
        await CallsAsync(second);
        await StreamsAsync(second);

        var map = cluster.Grains.GetGrain<IMapGrain>(0);
        Assert.Equal(1, await map.Publish(new() { [3] = ["x", "y"], [1] = [] }));
        Assert.Equal("y", (await map.Current()).Slots[3][1]);
        await map.Touch(first);
        await map.Touch(second);
        Assert.Equal(5, (await first.Describe()).Port);

        await first.MoveTo(cluster.Silos[1].Address);
        await TestCluster.UntilAsync(async () => (await first.Where()).Equals(cluster.Silos[1].Address), "the grain has moved");
        Assert.Equal(5, (await first.Describe()).Port);
        int[] many = await Task.WhenAll(Enumerable.Range(0, 300).Select(i => cluster.Grains.GetGrain<ISequenceGrain>($"m{i}@{i}").Append(new ImmutableTokens([i]))));
        Assert.All(many, count => Assert.Equal(1, count));
    }

    [Theory, InlineData(Meeting.Localhost), InlineData(Meeting.Redis)]
    public async Task A_silo_that_is_asked_to_stop_fails_no_call(Meeting meeting)
    {
        await using ProcessCluster cluster = await ProcessCluster.StartAsync(meeting, 2);
        SiloProcess leaver = cluster.Silos[1];
        ISequenceGrain there = await cluster.GrainOnAsync(leaver, "leaving");
        await there.Append(new ImmutableTokens([1, 2, 3]));
        Task<int> slow = there.Slow(1000, CancellationToken.None).AsTask();
        // It goes the same way behind the slow call: when it comes back, that one is under way.
        await there.Peek();
        using var stop = new CancellationTokenSource();
        Task[] callers = [.. Enumerable.Range(0, 8).Select(i => Task.Run(async () =>
        {
            for (int call = 0; !stop.IsCancellationRequested; call++) await cluster.Grains.GetGrain<ISequenceGrain>($"load{i}-{call % 50}@{call}").Append(new ImmutableTokens([call]));
        }))];
        await Task.Delay(300);
        leaver.Signal("TERM");
        Assert.Equal(0, await leaver.ExitAsync());
        await Task.Delay(300);
        await stop.CancelAsync();
        await Task.WhenAll(callers);
        Assert.Equal(3, await slow);
        Assert.Equal(cluster.Silos[0].Address, await there.Where());
    }

    private static async Task CallsAsync(ISequenceGrain grain)
    {
        Assert.Equal(3, await grain.Append(new ImmutableTokens([1, 2, 3])));
        Assert.Equal(4, await grain.Append(new ImmutableTokens([4])));
        Assert.Equal(7, (await Assert.ThrowsAsync<NoRoomException>(() => grain.Fail())).NeededPages);
        Assert.Equal(4, (await grain.Describe()).Port);
        using var stop = new CancellationTokenSource(100);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => grain.Slow(60000, stop.Token).AsTask());
        // The turn is free again: the token has reached the grain.
        Assert.Equal(4, await grain.Append(new ImmutableTokens([])).WaitAsync(TimeSpan.FromMinutes(2)));
    }

    private static async Task StreamsAsync(ISequenceGrain grain)
    {
        var positions = new List<int>();
        await foreach (Chunk chunk in grain.Stream(25, CancellationToken.None).WithBatchSize(1)) positions.Add(chunk.Position);
        Assert.Equal(Enumerable.Range(0, 25), positions);
        int seen = 0;
        using var stop = new CancellationTokenSource();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (Chunk _ in grain.Stream(100000, stop.Token).WithBatchSize(1))
                if (++seen == 5) await stop.CancelAsync();
        });
        Assert.InRange(seen, 5, 100);
    }
}
