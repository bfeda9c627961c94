using Conclave.Engine;
using Conclave.Gateway.Ranks;
using Conclave.Grains;
using Orleans.Runtime;

namespace Conclave.Gateway.Tests.Ranks;

/// <summary>Picking a rank is local and leaves out those that are silent.</summary>
public sealed class RankDirectoryTests
{
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Sequences_go_where_the_fewest_are()
    {
        await using FakeCluster cluster = await new FakeCluster(null, "a", "b", "c").StartAsync();
        cluster.Rank("a").Answer = () => Task.FromResult(new RankStatus { Running = 3 });
        cluster.Rank("b").Answer = () => Task.FromResult(new RankStatus { Waiting = 2 });
        await PicksOnlyAsync(cluster, "c");
        // This gateway's own sequences count at once, between two looks.
        var picked = new List<string>();
        for (int i = 0; i < 7; i++)
        {
            KnownRank rank = await cluster.Directory.PickAsync(null, [], Long, default);
            rank.Enter();
            picked.Add(rank.Silo);
        }

        Assert.Equal((1, 2, 4), (picked.Count(silo => silo == "a"), picked.Count(silo => silo == "b"), picked.Count(silo => silo == "c")));
    }

    [Fact]
    public async Task A_silent_rank_is_left_out_until_it_answers_again()
    {
        await using FakeCluster cluster = await new FakeCluster(null, "a", "b").StartAsync();
        cluster.Rank("a").Answer = () => new TaskCompletionSource<RankStatus>().Task;
        await PicksOnlyAsync(cluster, "b");
        cluster.Rank("a").Answer = () => Task.FromResult(new RankStatus());
        cluster.Rank("b").Answer = () => Task.FromException<RankStatus>(new SiloUnavailableException("gone"));
        await PicksOnlyAsync(cluster, "a");
    }

    [Theory]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public async Task Ranks_that_drain_or_fail_are_left_out(bool isDraining, bool hasFault)
    {
        await using FakeCluster cluster = await new FakeCluster(null, "a", "b").StartAsync();
        cluster.Rank("a").Answer = () => Task.FromResult(new RankStatus { IsDraining = isDraining, Fault = hasFault ? "hangs" : null });
        await PicksOnlyAsync(cluster, "b");
    }

    [Fact]
    public async Task The_ranks_known_last_serve_while_the_map_is_away()
    {
        await using FakeCluster cluster = await new FakeCluster(null, "a").StartAsync();
        cluster.MapFault = new TimeoutException("the map's silo is gone");
        await LookAsync(cluster);
        Assert.Equal("a", (await cluster.Directory.PickAsync(null, [], Long, default)).Silo);
        Assert.True(cluster.Directory.HasRank);
    }

    [Fact]
    public async Task A_request_waits_for_a_rank_and_no_longer_than_its_patience()
    {
        await using FakeCluster cluster = await new FakeCluster(null).StartAsync();
        var none = await Assert.ThrowsAsync<OperatingException>(() => cluster.PassAsync(cluster.Directory.PickAsync(null, [], TimeSpan.FromSeconds(1), default).AsTask()));
        Assert.Equal((OperatingError.Unavailable, 503), (none.Error, ErrorMap.For(none.Error).HttpStatus));
        Assert.NotNull(ErrorMap.For(none.Error).RetryAfterSeconds);
        Assert.False(cluster.Directory.IsReady);

        Task<(List<int> Tokens, FinishReason End)> waiting = cluster.RunAsync(FakeCluster.Command());
        await LookAsync(cluster);
        Assert.False(waiting.IsCompleted);
        cluster.Add("late");
        Assert.Equal(FakeCluster.Whole(30), (await waiting).Tokens);
        Assert.True(cluster.Directory.IsReady);
    }

    [Fact]
    public async Task A_cluster_that_comes_later_is_found()
    {
        await using var cluster = new FakeCluster(null, "a") { MapFault = new SiloUnavailableException("nobody there") };
        await cluster.StartAsync();
        Assert.False(cluster.Directory.HasRank);
        Assert.Contains("nobody there", cluster.Directory.Trouble, StringComparison.Ordinal);
        cluster.MapFault = null;
        Assert.Equal("a", (await cluster.PassAsync(cluster.Directory.PickAsync(null, [], Long, default).AsTask())).Silo);
    }

    /// <summary>Returns when nobody but <paramref name="silo"/> is picked, and no look at the cluster that could change this is under way.</summary>
    private static async Task PicksOnlyAsync(FakeCluster cluster, string silo)
    {
        for (int attempt = 0, hits = 0; hits < 6; attempt++)
        {
            Assert.True(attempt < 20_000, $"others than {silo} are still picked");
            bool isHit = cluster.IsAtRest && (await cluster.Directory.PickAsync(null, [], Long, default)).Silo == silo;
            hits = isHit ? hits + 1 : 0;
            if (isHit) continue;
            cluster.Clock.Advance(TimeSpan.FromSeconds(1));
            await Task.Delay(1);
        }
    }

    /// <summary>Returns when the directory has looked at the cluster, and knows what it saw.</summary>
    private static async Task LookAsync(FakeCluster cluster)
    {
        int looks = Volatile.Read(ref cluster.Looks);
        await FakeCluster.UntilAsync(() => cluster.IsAtRest && Volatile.Read(ref cluster.Looks) > looks, () => cluster.Clock.Advance(TimeSpan.FromSeconds(1)));
    }
}
