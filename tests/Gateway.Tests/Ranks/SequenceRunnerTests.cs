using Conclave.Engine;
using Conclave.Gateway.Ranks;
using Conclave.Grains;
using Orleans.Runtime;

namespace Conclave.Gateway.Tests.Ranks;

/// <summary>Every way in which a rank may leave a sequence: the reader gets all tokens once.</summary>
public sealed class SequenceRunnerTests
{
    private const int MaxTokens = 30;

    public static TheoryData<string, Exception> Failures => new()
    {
        { "silo gone", new SiloUnavailableException("gone") },
        { "stream lost", new EnumerationAbortedException("lost") },
        { "timeout", new TimeoutException("late") },
        { "cancelled over there", new OperationCanceledException("down") },
        { "unavailable", new ClusterException(OperatingError.Unavailable, "draining") },
        { "overloaded later", new ClusterException(OperatingError.Overloaded, "full") },
        { "one fault", new ClusterException(OperatingError.Internal, "bug") },
    };

    [Theory]
    [MemberData(nameof(Failures))]
    public async Task A_failure_is_followed_by_the_next_token_of_another_rank(string name, Exception failure)
    {
        foreach (int at in new[] { 1, 7, MaxTokens - 1 })
        {
            await using FakeCluster cluster = await new FakeCluster(null, "a", "b").StartAsync();
            int left = 1;
            foreach (string silo in new[] { "a", "b" })
                cluster.Rank(silo).Before = (i, _) => i == at && Interlocked.Decrement(ref left) == 0 ? throw failure : Task.FromResult<TokenChunk?>(null);
            GenerateCommand command = FakeCluster.Command();
            (List<int> tokens, FinishReason end) = await cluster.RunAsync(command);
            Assert.Equal(FakeCluster.Whole(MaxTokens), tokens);
            Assert.True(end == FinishReason.Length, name);
            GenerateCommand[] lives = [.. cluster.Rank("a").Commands, .. cluster.Rank("b").Commands];
            Assert.Equal(2, lives.Select(life => life.SequenceId).Distinct().Count());
            Assert.Equal([0, at], lives.Select(life => life.ResumedCount).Order());
            Assert.All(lives, life => Assert.Equal((MaxTokens, 9ul), (life.MaxTokens, life.Seed)));
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(12)]
    public async Task Silence_is_a_failure(int at)
    {
        await using FakeCluster cluster = await new FakeCluster(null, "a", "b").StartAsync();
        int hung = 0;
        TimeSpan silence = TimeSpan.Zero;
        foreach (string silo in new[] { "a", "b" })
        {
            FakeRank rank = cluster.Rank(silo);
            rank.Before = async (i, token) =>
            {
                if (i == at && Interlocked.Increment(ref hung) == 1)
                {
                    rank.Answer = () => new TaskCompletionSource<RankStatus>().Task;
                    // Time passes until the other one has the sequence, and no longer.
                    long start = cluster.Clock.GetTimestamp();
                    await FakeCluster.UntilAsync(() => !cluster.Rank(silo == "a" ? "b" : "a").Commands.IsEmpty, () => cluster.Clock.Advance(TimeSpan.FromSeconds(1)));
                    silence = cluster.Clock.GetElapsedTime(start);
                    await Task.Delay(Timeout.Infinite, CancellationToken.None);
                }

                return null;
            };
        }

        (List<int> tokens, _) = await cluster.RunAsync(FakeCluster.Command());
        Assert.Equal(FakeCluster.Whole(MaxTokens), tokens);
        Assert.Single(cluster.Rank("a").Commands);
        Assert.Single(cluster.Rank("b").Commands);
        await FakeCluster.UntilAsync(() => silence > TimeSpan.Zero, () => { });
        Assert.True(silence.TotalMilliseconds >= cluster.Options.SilenceMs, $"given up after {silence}");
    }

    [Fact]
    public async Task Empty_chunks_keep_a_stream_alive()
    {
        await using FakeCluster cluster = await new FakeCluster(null, "a").StartAsync();
        int pauses = 0;
        cluster.Rank("a").Before = async (i, token) =>
        {
            if (i != 4 || pauses++ == 8) return null;
            await cluster.PassAsync(TimeSpan.FromMilliseconds(cluster.Options.SilenceMs / 3));
            return new TokenChunk { Position = 4, Ids = [] };
        };
        Assert.Equal(FakeCluster.Whole(MaxTokens), (await cluster.RunAsync(FakeCluster.Command())).Tokens);
        Assert.Single(cluster.Rank("a").Commands);
    }

    [Fact]
    public async Task A_moved_sequence_goes_on_where_it_was_sent_under_its_id()
    {
        await using FakeCluster cluster = await new FakeCluster(null, "a").StartAsync();
        cluster.Rank("a").Once(5, _ => Task.FromResult<TokenChunk?>(new TokenChunk { Position = 5, Ids = [FakeCluster.Token(5)], FinishCode = (int)FinishReason.Moved, MovedTo = "c" }));
        // The gateway has not heard of the target yet.
        cluster.Hidden = "c";
        FakeRank target = cluster.Add("c");
        GenerateCommand command = FakeCluster.Command();
        (List<int> tokens, FinishReason end) = await cluster.RunAsync(command);
        Assert.Equal(FakeCluster.Whole(MaxTokens), tokens);
        Assert.Equal(FinishReason.Length, end);
        GenerateCommand second = Assert.Single(target.Commands);
        Assert.Equal((command.SequenceId, 6), (second.SequenceId, second.ResumedCount));
    }

    [Fact]
    public async Task A_sequence_that_may_go_anywhere_gets_a_new_id()
    {
        await using FakeCluster cluster = await new FakeCluster(null, "a").StartAsync();
        cluster.Rank("a").Once(5, _ => Task.FromResult<TokenChunk?>(new TokenChunk { Position = 5, Ids = [], FinishCode = (int)FinishReason.Moved }));
        Assert.Equal(FakeCluster.Whole(MaxTokens), (await cluster.RunAsync(FakeCluster.Command())).Tokens);
        Assert.Equal(2, cluster.Rank("a").Commands.Select(life => life.SequenceId).Distinct().Count());
    }

    [Fact]
    public async Task The_end_is_known_when_only_its_message_was_lost()
    {
        await using FakeCluster cluster = await new FakeCluster(null, "a", "b").StartAsync();
        foreach (string silo in new[] { "a", "b" }) cluster.Rank(silo).Once(MaxTokens, _ => throw new SiloUnavailableException("gone"));
        (List<int> tokens, FinishReason end) = await cluster.RunAsync(FakeCluster.Command());
        Assert.Equal((FinishReason.Length, MaxTokens), (end, tokens.Count));
        Assert.Equal(1, cluster.Rank("a").Commands.Count + cluster.Rank("b").Commands.Count);
    }

    [Theory]
    [InlineData(OperatingError.InvalidRequest)]
    [InlineData(OperatingError.ContextTooLong)]
    [InlineData(OperatingError.Overloaded)]
    public async Task What_is_no_fault_of_the_rank_is_not_repeated(OperatingError error)
    {
        await using FakeCluster cluster = await new FakeCluster(null, "a", "b").StartAsync();
        foreach (string silo in new[] { "a", "b" }) cluster.Rank(silo).Before = (_, _) => throw new ClusterException(error, "no");
        ClusterException thrown = await Assert.ThrowsAsync<ClusterException>(() => cluster.RunAsync(FakeCluster.Command()));
        Assert.Equal(error, thrown.Error);
        Assert.Equal(1, cluster.Rank("a").Commands.Count + cluster.Rank("b").Commands.Count);
    }

    [Fact]
    public async Task Faults_that_return_are_told()
    {
        await using FakeCluster cluster = await new FakeCluster(null, "a").StartAsync();
        cluster.Rank("a").Before = (_, _) => throw new ClusterException(OperatingError.Internal, "bug");
        Assert.Equal(OperatingError.Internal, (await Assert.ThrowsAsync<ClusterException>(() => cluster.RunAsync(FakeCluster.Command()))).Error);
        Assert.Equal(2, cluster.Rank("a").Commands.Count);
    }

    [Fact]
    public async Task A_gap_or_a_repeat_is_a_fault()
    {
        await using FakeCluster cluster = await new FakeCluster(null, "a").StartAsync();
        cluster.Rank("a").Once(5, _ => Task.FromResult<TokenChunk?>(new TokenChunk { Position = 4, Ids = [FakeCluster.Token(4)] }));
        Assert.Equal(OperatingError.Internal, (await Assert.ThrowsAsync<OperatingException>(() => cluster.RunAsync(FakeCluster.Command()))).Error);
    }

    [Fact]
    public async Task Patience_ends()
    {
        await using FakeCluster cluster = await new FakeCluster(new FailoverOptions { PatienceMs = 700 }, "a").StartAsync();
        cluster.Rank("a").Before = (i, _) => i == 3 ? throw new ClusterException(OperatingError.Unavailable, "No silo holds expert 3.") : Task.FromResult<TokenChunk?>(null);
        ClusterException thrown = await Assert.ThrowsAsync<ClusterException>(() => cluster.RunAsync(FakeCluster.Command()));
        Assert.Equal(OperatingError.Unavailable, ErrorMap.Explain(thrown).Error);
        // At once, and then after pauses that double from 50 ms, give or take a quarter of each.
        Assert.InRange(cluster.Rank("a").Commands.Count, 6, 7);
    }

    [Fact]
    public async Task Patience_ends_while_a_step_still_hangs()
    {
        await using FakeCluster cluster = await new FakeCluster(new FailoverOptions { PatienceMs = 50_000 }, "a").StartAsync();
        cluster.Rank("a").Before = async (i, token) =>
        {
            if (i < 3) return null;
            await cluster.PassAsync(TimeSpan.FromSeconds(5));
            return new TokenChunk { Position = i, Ids = [], IsStalled = true };
        };
        OperatingException thrown = await Assert.ThrowsAsync<OperatingException>(() => cluster.RunAsync(FakeCluster.Command()));
        Assert.Equal(OperatingError.Unavailable, thrown.Error);
        Assert.Single(cluster.Rank("a").Commands);
    }

    /// <summary>A long prompt on a slow machine: every step of it takes long enough to look like one that hangs, and all of them together longer than anyone is patient with one.</summary>
    [Fact]
    public async Task Steps_that_take_long_but_end_are_progress()
    {
        await using FakeCluster cluster = await new FakeCluster(new FailoverOptions { PatienceMs = 100_000 }, "a").StartAsync();
        int chunks = 0;
        cluster.Rank("a").Before = async (i, token) =>
        {
            if (i != 3 || chunks == 32) return null;
            await cluster.PassAsync(TimeSpan.FromSeconds(5));
            return new TokenChunk { Position = i, Ids = [], IsStalled = chunks++ % 4 != 3 };
        };
        Assert.Equal(FakeCluster.Whole(MaxTokens), (await cluster.RunAsync(FakeCluster.Command())).Tokens);
        Assert.Single(cluster.Rank("a").Commands);
    }

    [Fact]
    public async Task A_slow_reader_does_not_hold_the_rank_up()
    {
        await using FakeCluster cluster = await new FakeCluster(null, "a").StartAsync();
        FakeRank rank = cluster.Rank("a");
        await using IAsyncEnumerator<RunChunk> reader = cluster.Runner.Run(FakeCluster.Command(2000), default).GetAsyncEnumerator();
        Assert.True(await reader.MoveNextAsync());
        await FakeCluster.UntilAsync(() => Volatile.Read(ref rank.Closed) > 0, () => { });
        Assert.Equal(1, Volatile.Read(ref rank.Closed));
    }

    [Fact]
    public async Task A_reader_that_leaves_ends_the_stream()
    {
        await using FakeCluster cluster = await new FakeCluster(null, "a").StartAsync();
        FakeRank rank = cluster.Rank("a");
        rank.Before = async (i, token) =>
        {
            if (i == 3) await Task.Delay(Timeout.Infinite, token);
            return null;
        };
        await foreach (RunChunk run in cluster.Runner.Run(FakeCluster.Command(), default))
            if (run.Tokens?.Position == 2) break;
        await FakeCluster.UntilAsync(() => Volatile.Read(ref rank.Closed) > 0, () => { });
        Assert.Equal(1, Volatile.Read(ref rank.Closed));
        Assert.Single(rank.Commands);
    }

    [Fact]
    public async Task Beyond_the_bulkhead_clients_are_told_to_come_back()
    {
        await using FakeCluster cluster = await new FakeCluster(new FailoverOptions { MaxCompletions = 1 }, "a").StartAsync();
        using var leave = new CancellationTokenSource();
        cluster.Rank("a").Before = async (_, token) =>
        {
            await Task.Delay(Timeout.Infinite, token);
            return null;
        };
        Task first = cluster.RunAsync(FakeCluster.Command(), leave.Token);
        await FakeCluster.UntilAsync(() => !cluster.Rank("a").Commands.IsEmpty, () => { });
        Assert.Equal(OperatingError.Overloaded, (await Assert.ThrowsAsync<OperatingException>(() => cluster.RunAsync(FakeCluster.Command()))).Error);
        await leave.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first);
    }
}
