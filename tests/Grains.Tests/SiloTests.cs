using Conclave.Engine;
using Orleans;
using Orleans.Runtime;

namespace Conclave.Grains.Tests;

/// <summary>The grains of one silo, called as a gateway calls them.</summary>
public sealed class SiloTests(TestSilo silo) : IClassFixture<TestSilo>
{
    [Fact]
    public async Task The_stream_of_a_rank_is_what_its_engine_generates()
    {
        GenerateCommand command = Command(maxTokens: 40) with { TopLogprobs = 2 };
        var expected = new List<GeneratedToken>();
        using (Sequence sequence = silo.Rank.Engine.Submit(command.ToRequest()))
        {
            while (await sequence.WaitToReadAsync(default))
                while (sequence.TryRead(out GeneratedToken token)) expected.Add(token);
        }

        // Chunks without tokens only show that the rank is alive.
        List<TokenChunk> all = await ReadAsync(command), chunks = [.. all.Where(chunk => chunk.Ids.Length > 0 || chunk == all[^1])];
        Assert.Equal(expected.Select(token => token.Id), chunks.SelectMany(chunk => chunk.Ids));
        Assert.Equal(expected.Select(token => token.Logprob), chunks.SelectMany(chunk => chunk.Logprobs!));
        Assert.All(chunks, chunk => Assert.All(chunk.TopIds!, top => Assert.Equal(2, top.Length)));
        Assert.Equal(FinishReason.Length, chunks[^1].FinishReason);
        Assert.All(chunks.SkipLast(1), chunk => Assert.Equal(FinishReason.None, chunk.FinishReason));
        int position = 0;
        foreach (TokenChunk chunk in chunks)
        {
            Assert.Equal(position, chunk.Position);
            position += chunk.Ids.Length;
        }

        await silo.AssertIdleAsync();
    }

    [Fact]
    public async Task Leaving_a_stream_early_frees_its_pages()
    {
        long before = silo.Rank.Engine.Status.GeneratedTokens;
        Task holding = silo.HoldAsync(before + 10);
        await foreach (TokenChunk chunk in silo.Gateway.Generate(Command(maxTokens: 8000), default).WithBatchSize(1))
            if (chunk.Position > 5) break;
        await holding;
        await silo.AssertIdleAsync();
        Assert.InRange(silo.Rank.Engine.Status.GeneratedTokens - before, 6, 7999);
    }

    [Fact]
    public async Task Cancelling_a_stream_frees_its_pages()
    {
        using var cancel = new CancellationTokenSource();
        Task holding = silo.HoldAsync(silo.Rank.Engine.Status.GeneratedTokens + 10);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (TokenChunk chunk in silo.Gateway.Generate(Command(maxTokens: 8000), cancel.Token).WithBatchSize(1).WithCancellation(cancel.Token))
                if (chunk.Position > 5) await cancel.CancelAsync();
        });
        await holding;
        await silo.AssertIdleAsync();
    }

    [Fact]
    public async Task A_refusal_crosses_with_its_kind_and_message()
    {
        ClusterException tooLong = await Assert.ThrowsAsync<ClusterException>(() => ReadAsync(Command(maxTokens: 9000)));
        Assert.Equal(OperatingError.ContextTooLong, tooLong.Error);
        Assert.Contains("maximum context length is 8192 tokens", tooLong.Message, StringComparison.Ordinal);
        ClusterException invalid = await Assert.ThrowsAsync<ClusterException>(() => ReadAsync(Command(maxTokens: 5) with { Temperature = float.NaN }));
        Assert.Equal(OperatingError.InvalidRequest, invalid.Error);
        Assert.Contains("temperature", invalid.Message, StringComparison.Ordinal);
        await silo.AssertIdleAsync();
    }

    [Fact]
    public async Task A_sequence_is_opened_once_and_closed_any_number_of_times()
    {
        GenerateCommand command = Command(maxTokens: 8000);
        var sequence = silo.Grains.GetGrain<IAttentionGrain>(SiloKey.Sequence(command.SequenceId, silo.Address));
        await sequence.Open(command);
        ClusterException twice = await Assert.ThrowsAsync<ClusterException>(() => sequence.Open(command));
        Assert.Equal(OperatingError.InvalidRequest, twice.Error);
        Assert.True((await silo.Gateway.Status()).PagesInUse > 0 || silo.Rank.SequenceCount == 1);
        await sequence.Close();
        await sequence.Close();
        await silo.AssertIdleAsync();
    }

    [Fact]
    public async Task The_map_covers_every_expert_and_its_slots_hold_them()
    {
        ClusterView view = await silo.Grains.GetGrain<IExpertMapGrain>("tiny-random").Current();
        Assert.Equal([silo.Address], view.Ranks);
        Assert.Equal(3, view.Map.SlotKeys.Length);
        Assert.All(view.Map.Replicas[8..], replicas => Assert.Single(replicas));
        ShardStatus[] slots = await Task.WhenAll(view.Map.SlotKeys.Select(key => silo.Grains.GetGrain<IExpertShardGrain>(key).Status()));
        Assert.Equal([3, 3, 2], slots.Select(slot => slot.ExpertCount));
        Assert.All(slots, slot => Assert.Equal(view.Map.Version, slot.MapVersion));
    }

    [Fact]
    public async Task A_slot_ignores_an_older_map()
    {
        ClusterView view = await silo.Grains.GetGrain<IExpertMapGrain>("tiny-random").Current();
        var slot = silo.Grains.GetGrain<IExpertShardGrain>(view.Map.SlotKeys[0]);
        await slot.Load(new ShardLoad { MapVersion = view.Map.Version - 1, Layers = [], Experts = [] });
        Assert.Equal(3, (await slot.Status()).ExpertCount);
    }

    private static GenerateCommand Command(int maxTokens) => new()
    {
        SequenceId = Guid.NewGuid(),
        PromptIds = [0, 7, 8, 9, 40, 41],
        MaxTokens = maxTokens,
        StopTokenIds = [],
        Temperature = 0.8f,
        Seed = 5,
    };

    private async Task<List<TokenChunk>> ReadAsync(GenerateCommand command)
    {
        var chunks = new List<TokenChunk>();
        await foreach (TokenChunk chunk in silo.Gateway.Generate(command, default).WithBatchSize(1)) chunks.Add(chunk);
        return chunks;
    }
}
