namespace Conclave.Engine.Tests;

/// <summary>Sequences that begin alike share pages, and nobody can tell from the tokens.</summary>
public sealed class PrefixCacheTests : IDisposable
{
    private readonly TinyModel _model = new();

    public void Dispose() => _model.Dispose();

    [Theory]
    [InlineData(64)]
    [InlineData(7)]
    public async Task A_warm_run_has_the_bits_of_a_cold_one(int maxStepRows)
    {
        using Engine cold = _model.Engine(maxBatch: 1), warm = _model.Engine(maxBatch: 4, maxStepRows: maxStepRows);
        GenerationRequest first = Request(Prompt(200), maxTokens: 80);
        string[] output = await RunAsync(warm, first, 0);
        Assert.Equal(output, await RunAsync(cold, first, 0));
        int[] answered = [.. first.PromptIds, .. output.Select(token => int.Parse(token.Split(' ')[0]))];

        // The same again, what follows it, a prompt that leaves it within a page, and one that leaves it where a page ends.
        (int[] Prompt, int Cached)[] cases =
        [
            (first.PromptIds, 192),
            (answered, 256),
            ([.. answered, 5, 6, 7], 256),
            ([.. answered[..100], 9, 8, .. answered[..70]], 64),
            ([.. answered[..128], 9], 128),
            (answered[..128], 64),
            (answered[..129], 128),
            ([9, .. answered], 0),
        ];
        foreach ((int[] prompt, int cached) in cases)
        {
            GenerationRequest request = Request(prompt, maxTokens: 20);
            using Engine alone = _model.Engine(maxBatch: 1);
            Assert.Equal(await RunAsync(alone, request, 0), await RunAsync(warm, request, cached));
        }

        Assert.Equal(0, warm.Status.PagesInUse);
    }

    [Fact]
    public async Task Scopes_share_nothing()
    {
        using Engine engine = _model.Engine();
        GenerationRequest request = Request(Prompt(200), maxTokens: 5);
        string[] tokens = await RunAsync(engine, request with { CacheScope = "a" }, 0);
        Assert.Equal(tokens, await RunAsync(engine, request, 0));
        Assert.Equal(tokens, await RunAsync(engine, request with { CacheScope = "b" }, 0));
        Assert.Equal(tokens, await RunAsync(engine, request with { CacheScope = "a" }, 192));
        Assert.Equal(tokens, await RunAsync(engine, request, 192));
        Assert.Equal((6, 9), (engine.Status.PrefixHits, engine.Status.PrefixMisses));
    }

    [Fact]
    public async Task A_prompt_is_found_while_another_sequence_still_decodes_behind_it()
    {
        using Engine engine = _model.Engine();
        using Sequence running = engine.Submit(Request(Prompt(200), maxTokens: 3000));
        Assert.True(await running.WaitToReadAsync(CancellationToken.None));
        await RunAsync(engine, Request(Prompt(200), maxTokens: 5), 192);
        Assert.Equal(FinishReason.None, running.FinishReason);
    }

    private static async Task<string[]> RunAsync(Engine engine, GenerationRequest request, int cachedTokens)
    {
        using Sequence sequence = engine.Submit(request);
        string[] tokens = await sequence.ReadBitsAsync();
        Assert.Equal(cachedTokens, sequence.CachedTokens);
        return tokens;
    }

    private static int[] Prompt(int count) => [.. Enumerable.Range(0, count).Select(i => (i * 37 % 391) + 3)];

    private GenerationRequest Request(int[] prompt, int maxTokens) => _model.Golden(maxTokens) with
    {
        PromptIds = prompt,
        Sampling = new() { Temperature = 1, Seed = 5, FrequencyPenalty = 0.5f, TopLogprobs = 3 },
    };
}
