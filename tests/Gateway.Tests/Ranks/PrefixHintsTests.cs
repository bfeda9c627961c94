using Conclave.Gateway.Ranks;
using Conclave.Grains;

namespace Conclave.Gateway.Tests.Ranks;

/// <summary>Prompts go where their beginning was computed, unless that rank has clearly more to do.</summary>
public sealed class PrefixHintsTests
{
    private static readonly int[] Tokens = [.. Enumerable.Range(0, 1000).Select(i => i * 7919 % 5000)];

    [Fact]
    public void Blocks_of_prompts_with_the_same_beginning_begin_alike()
    {
        int[] other = [.. Tokens];
        other[300]++;
        ulong[] blocks = PrefixHints.Blocks("", Tokens), others = PrefixHints.Blocks("", other);
        Assert.Equal(1000 / 64, blocks.Length);
        Assert.Equal(blocks.Length, blocks.Distinct().Count());
        Assert.Equal(4, blocks.Zip(others).TakeWhile(pair => pair.First == pair.Second).Count());
        Assert.Empty(blocks[4..].Intersect(others[4..]));
        Assert.Empty(blocks.Intersect(PrefixHints.Blocks("tenant", Tokens)));
        Assert.Empty(PrefixHints.Blocks("", Tokens.AsSpan(0, 63)));
        Assert.Equal(blocks[..3], PrefixHints.Blocks("", Tokens.AsSpan(0, 200)));
    }

    [Fact]
    public void The_last_rank_that_was_given_a_block_counts()
    {
        var hints = new PrefixHints();
        ulong[] blocks = PrefixHints.Blocks("", Tokens);
        hints.Note(blocks.AsSpan(0, 10), "a");
        hints.Note(blocks.AsSpan(0, 4), "b");
        Assert.Equal(new Dictionary<string, int> { ["a"] = 640, ["b"] = 256 }, hints.CachedTokens(blocks));
        Assert.Equal(new Dictionary<string, int> { ["b"] = 128 }, hints.CachedTokens(blocks.AsSpan(0, 2)));
        Assert.Empty(hints.CachedTokens(PrefixHints.Blocks("other", Tokens)));
        Assert.Empty(hints.CachedTokens([]));
    }

    [Fact]
    public void Memory_is_bounded_and_what_is_met_again_stays()
    {
        var hints = new PrefixHints(capacity: 100);
        ulong[] dear = PrefixHints.Blocks("", Tokens);
        for (int i = 0; i < 1000; i++)
        {
            hints.Note(PrefixHints.Blocks($"{i}", Tokens), "a");
            hints.Note(dear, "b");
            Assert.InRange(hints.Count, 1, 200);
        }

        Assert.Equal(15 * 64, hints.CachedTokens(dear)["b"]);
        Assert.Empty(hints.CachedTokens(PrefixHints.Blocks("3", Tokens)));
    }

    [Theory]
    [InlineData(0, 0, 1, 0)]
    [InlineData(3, 64, 3, 0)]
    [InlineData(3, 640, 3, 576)]
    [InlineData(4, 256, 3, 0)]
    [InlineData(10, 100_000, 3, 0)]
    [InlineData(3, 0, 4, 64)]
    [InlineData(3, 0, 12, 100_000)]
    public void The_first_of_two_ranks_is_the_better_one(int load, int cachedTokens, int otherLoad, int otherCachedTokens) =>
        Assert.True(RankCost.Of(load, cachedTokens) < RankCost.Of(otherLoad, otherCachedTokens));

    [Fact]
    public async Task A_prompt_goes_where_it_went_before_until_that_rank_is_busy()
    {
        await using FakeCluster cluster = await new FakeCluster(null, "a", "b", "c").StartAsync();
        ulong[] prefix = PrefixHints.Blocks("", Tokens);
        KnownRank first = await PickAsync(prefix);
        for (int i = 0; i < 5; i++)
        {
            first.Enter();
            Assert.Same(first, await PickAsync(prefix[..^i]));
            Assert.NotSame(first, await PickAsync(PrefixHints.Blocks("other", Tokens.AsSpan(0, 64 * (i + 1)))));
        }

        for (int i = 0; i < 10; i++) first.Enter();
        Assert.NotSame(first, await PickAsync(prefix));

        ValueTask<KnownRank> PickAsync(ulong[] blocks) => cluster.Directory.PickAsync(null, blocks, TimeSpan.FromSeconds(30), default);
    }
}
