using Conclave.Engine.Pages;
using Conclave.Engine.Speculation;
using Conclave.Engine.Tests.Pages;
using Conclave.Model;

namespace Conclave.Engine.Tests;

/// <summary>Sequences that begin alike share pages, in memory and on disk, and nobody can tell from the tokens.</summary>
public sealed class PrefixCacheTests
{
    [Theory]
    [InlineData("tiny-f32", KvType.F32, 64, 64, 0)]
    [InlineData("tiny-f32", KvType.FP8, 64, 7, 0)]
    [InlineData("dsa", KvType.F32, 64, 7, 0)]
    [InlineData("dsa", KvType.FP8, 128, 64, 0)]
    [InlineData("mtp", KvType.F32, 64, 64, 2)]
    [InlineData("mtp", KvType.BF16, 64, 7, 3)]
    public async Task A_warm_run_has_the_bits_of_a_cold_one(string golden, KvType type, int pageTokens, int maxStepRows, int drafts)
    {
        using var model = new TinyModel(golden, new KvOptions { Type = type, PageTokens = pageTokens });
        EngineOptions options = model.Options(maxBatch: 1);
        using var warm = new Engine(model.Transformer, model.Options(maxBatch: 4, maxStepRows: maxStepRows) with { Speculation = SpeculationOptions.Always(drafts) }, TimeProvider.System);
        GenerationRequest first = Request(Prompt(200), maxTokens: 80);
        string[] output;
        using (var cold = new Engine(model.Transformer, options, TimeProvider.System))
            output = await RunAsync(cold, first, 0);
        Assert.Equal(output, await RunAsync(warm, first, 0));
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
            using var alone = new Engine(model.Transformer, options, TimeProvider.System);
            Assert.Equal(await RunAsync(alone, request, 0), await RunAsync(warm, request, cached / pageTokens * pageTokens));
        }

        Assert.Equal(0, warm.Status.PagesInUse);
    }

    [Fact]
    public async Task Scopes_share_nothing()
    {
        using var model = new TinyModel();
        using Engine engine = model.Engine();
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
        using var model = new TinyModel();
        using Engine engine = model.Engine();
        model.Steps.HoldWhen(() => engine.Status.GeneratedTokens == 1);
        using Sequence running = engine.Submit(Request(Prompt(200), maxTokens: 3000));
        await model.Steps.HeldAsync();
        Task<string[]> second = RunAsync(engine, Request(Prompt(200), maxTokens: 5), 192);
        model.Steps.Release(() => running.OutputCount == 100);
        await second;
        Assert.Equal(FinishReason.None, running.FinishReason);
        model.Steps.Release();
    }

    [Theory]
    [InlineData("tiny-f32")]
    [InlineData("dsa")]
    public async Task What_was_evicted_comes_back_from_disk_also_after_a_restart(string golden)
    {
        using var tier = new DiskTier();
        using var model = new TinyModel(golden);
        // By a clock that stands still reading is never slower than computing: else a busy machine would decide what is read.
        EngineOptions options = model.Options(maxBatch: 2, pages: 6) with { KvDisk = new KvDiskOptions { Directory = tier.Directory, SizeBytes = 1 << 30 } };
        GenerationRequest[] requests = [.. Enumerable.Range(0, 4).Select(i => Request(Prompt(200 + i, i), maxTokens: 70))];
        string[][] outputs = new string[requests.Length][];
        using (var engine = new Engine(model.Transformer, options, tier.Clock, tier.Log))
        {
            for (int i = 0; i < requests.Length; i++)
                outputs[i] = await RunAsync(engine, requests[i], 0);
            for (int i = 0; i < requests.Length; i++)
                Assert.Equal(outputs[i], await RunAsync(engine, requests[i], 192));
            Assert.True(engine.Status.Disk!.Reads >= 9, $"{engine.Status}");
        }

        // Every request's four full pages: also those that were not evicted.
        Assert.Equal(16, tier.Files.Length);
        using (var engine = new Engine(model.Transformer, options, tier.Clock, tier.Log))
        {
            for (int i = 0; i < requests.Length; i++)
                Assert.Equal(outputs[i], await RunAsync(engine, requests[i], 192));
        }

        Assert.Empty(tier.Log.Warnings);
        foreach (string file in tier.Files)
        {
            byte[] bytes = File.ReadAllBytes(file);
            bytes[^100] ^= 1;
            File.WriteAllBytes(file, bytes);
        }

        using (var engine = new Engine(model.Transformer, options, tier.Clock, tier.Log))
        {
            Assert.Equal(outputs[0], await RunAsync(engine, requests[0], 0));
            Assert.Equal(1, engine.Status.Disk!.Damaged);
        }

        Assert.Single(tier.Log.Warnings);
    }

    [Fact]
    public async Task Who_gives_way_finds_its_pages_on_disk()
    {
        using var tier = new DiskTier();
        using var model = new TinyModel();
        EngineOptions options = model.Options(maxBatch: 4, pages: 10) with { KvDisk = new KvDiskOptions { Directory = tier.Directory, SizeBytes = 1 << 30 } };
        GenerationRequest[] requests = [.. Enumerable.Range(0, 4).Select(i => Request(Prompt(100, i), maxTokens: 300))];
        string[][] alone = new string[4][];
        using (Engine engine = model.Engine(maxBatch: 1))
        {
            for (int i = 0; i < 4; i++)
                alone[i] = await RunAsync(engine, requests[i], 0);
        }

        using var crowded = new Engine(model.Transformer, options, tier.Clock, tier.Log);
        model.Steps.Hold();
        Task<string[][]> crowd = Task.WhenAll(requests.Select(async request =>
        {
            using Sequence sequence = crowded.Submit(request);
            return await sequence.ReadBitsAsync();
        }));
        model.Steps.Release();
        Assert.Equal(alone, await crowd);
        EngineStatus status = await crowded.StatusWhenAsync(status => status is { Running: 0, PagesInUse: 0 });
        Assert.True(status.Preemptions > 0 && status.RestoredTokens > 0 && status.Disk!.Reads > 0, $"{status}");

        // Of what gave way, no more than the last page of each is computed again.
        Assert.InRange(status.RecomputedTokens, 0, status.Preemptions * KvLayout.BlockTokens);
    }

    /// <summary>
    /// One that came later and is more urgent takes place and pages of a sequence, all of them: every full page of it is then read from disk, none computed again, and only what stood in its last,
    /// partly filled page is.
    /// </summary>
    [Theory]
    [InlineData("tiny-f32", KvType.F32, 0)]
    [InlineData("dsa", KvType.FP8, 0)]
    [InlineData("mtp", KvType.BF16, 2)]
    public async Task Full_pages_of_who_gives_way_are_read_from_disk_and_not_computed_again(string golden, KvType type, int drafts)
    {
        const int Pages = 6;
        using var tier = new DiskTier();
        using var model = new TinyModel(golden, new KvOptions { Type = type });
        EngineOptions options = model.Options(maxBatch: 1, pages: Pages) with { Speculation = SpeculationOptions.Always(drafts) };
        GenerationRequest low = Request(Prompt(200), maxTokens: 150), high = Request(Prompt(340, from: 7), maxTokens: 40) with { Priority = 1 };
        string[] expected;
        using (var alone = new Engine(model.Transformer, options, TimeProvider.System))
            expected = await RunAsync(alone, low, 0);
        using var engine = new Engine(model.Transformer, options with { KvDisk = new KvDiskOptions { Directory = tier.Directory, SizeBytes = 1 << 30 } }, tier.Clock, tier.Log);
        model.Steps.HoldWhen(() => engine.Status.GeneratedTokens >= 10);
        using Sequence first = engine.Submit(low);
        List<string> got = [];
        while (got.Count < 10)
            got.Add(await first.ReadOneAsync());
        await model.Steps.HeldAsync();
        using Sequence second = engine.Submit(high);
        model.Steps.Release();
        await second.ReadAllAsync();
        got.AddRange(await first.ReadBitsAsync());
        Assert.Equal(expected, got);
        EngineStatus status = await engine.StatusWhenAsync(status => status is { Running: 0, PagesInUse: 0 });
        Assert.Equal(1, status.Preemptions);

        // The other one filled the memory: not one page of the first was left in it.
        Assert.Equal(status.Disk!.Reads * KvLayout.BlockTokens, status.RestoredTokens);
        Assert.InRange(status.Disk.Reads, 3, Pages - 1);
        Assert.InRange(status.RecomputedTokens, 0, KvLayout.BlockTokens);
        Assert.Empty(tier.Log.Warnings);
    }

    [Fact]
    public async Task An_idle_engine_finds_its_memory_in_order()
    {
        using var tier = new DiskTier();
        using var model = new TinyModel();
        using var engine = new Engine(model.Transformer, model.Options(), TimeProvider.System, tier.Log);
        using Sequence cancelled = engine.Submit(Request(Prompt(300, from: 7), maxTokens: 500));
        string[] output = await RunAsync(engine, Request(Prompt(200), maxTokens: 70), 0);
        cancelled.Dispose();
        await engine.StatusWhenAsync(status => status.MemoryChecks > 0);
        Assert.Equal(output, await RunAsync(engine, Request(Prompt(200), maxTokens: 70), 192));
        await engine.StatusWhenAsync(status => status.MemoryChecks > 1);
        Assert.Equal(0, engine.Status.MemoryFaults);
        Assert.Empty(tier.Log.Warnings);
    }

    private static async Task<string[]> RunAsync(Engine engine, GenerationRequest request, int cachedTokens)
    {
        using Sequence sequence = engine.Submit(request);
        string[] tokens = await sequence.ReadBitsAsync();
        Assert.Equal(cachedTokens, sequence.CachedTokens);
        return tokens;
    }

    private static int[] Prompt(int count, int from = 0) => [.. Enumerable.Range(from, count).Select(i => (i * 37 % 391) + 3)];

    private static GenerationRequest Request(int[] prompt, int maxTokens) => new()
    {
        PromptIds = prompt,
        MaxTokens = maxTokens,
        StopTokenIds = Array.Empty<int>(),
        Sampling = new() { Temperature = 1, Seed = 5, FrequencyPenalty = 0.5f, TopLogprobs = 3 },
    };
}
