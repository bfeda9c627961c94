namespace Conclave.Engine.Tests;

/// <summary>Sequences that give way when KV pages run out, and what their readers notice of it: nothing.</summary>
public sealed class PreemptionTests : IDisposable
{
    private readonly TinyModel _model = new();

    public void Dispose() => _model.Dispose();

    /// <summary>Greedy and sampled, with penalties and log probabilities, in pools that hold about one of them, and in one that holds all.</summary>
    [Theory]
    [InlineData(1, 5)]
    [InlineData(2, 6)]
    [InlineData(3, 9)]
    public async Task Tight_pools_give_the_bits_of_an_ample_one(int seed, int pages)
    {
        var random = new Random(seed);
        GenerationRequest[] requests = [.. Enumerable.Range(0, 8).Select(i => Random(random, i))];
        string[][] expected = await RunAsync(_model.Options(maxBatch: 8), requests, 0);
        string[][] got = await RunAsync(_model.Options(maxBatch: 8, pages: pages) with { StepTokens = 8 + (seed * 9) }, requests, 1);
        for (int i = 0; i < requests.Length; i++)
            Assert.True(expected[i].SequenceEqual(got[i]), $"request {i}: {string.Join(", ", expected[i])}\n{string.Join(", ", got[i])}");
    }

    [Fact]
    public async Task The_first_in_rank_is_never_interrupted()
    {
        using Engine engine = _model.Engine(pages: 5);
        _model.Steps.HoldWhen(() => engine.Status.GeneratedTokens == 1);
        using Sequence low = engine.Submit(_model.Golden(maxTokens: 250) with { Priority = -1 });
        await low.ReadOneAsync();
        await _model.Steps.HeldAsync();
        using Sequence high = engine.Submit(_model.Golden(maxTokens: 250) with { Priority = 1 });
        _model.Steps.Release(() => high.FinishReason != FinishReason.None);
        Task<List<int>> rest = low.ReadAllAsync();
        Assert.Equal(250, (await high.ReadAllAsync()).Count);
        Assert.Equal(FinishReason.None, low.FinishReason);
        _model.Steps.Release();
        Assert.Equal(249, (await rest).Count);
        EngineStatus status = engine.Status;
        Assert.Equal((0, 0, 0), (status.Running, status.Preempted, status.PagesInUse));
        Assert.InRange(status.Preemptions, 1, 10);
        Assert.InRange(status.RecomputedTokens + status.RestoredTokens, 40, 10 * 290);
    }

    [Fact]
    public async Task A_place_is_taken_from_lower_priority()
    {
        using Engine engine = _model.Engine(maxBatch: 1);
        _model.Steps.HoldWhen(() => engine.Status.GeneratedTokens == 1);
        using Sequence low = engine.Submit(_model.Golden(maxTokens: 2000));
        await low.ReadOneAsync();
        await _model.Steps.HeldAsync();
        using Sequence high = engine.Submit(_model.Golden() with { Priority = 1 });
        _model.Steps.Release(() => high.FinishReason != FinishReason.None);
        Assert.Equal(_model.GreedyTokens, await high.ReadAllAsync());
        Assert.Equal((FinishReason.None, 1L), (low.FinishReason, engine.Status.Preemptions));
        _model.Steps.Release();
    }

    /// <summary>16 streams decode while a prompt of 4,000 tokens comes: no step has more rows than the budget, each has a row of every stream, and the prompt takes what the rest of the rows makes of it.</summary>
    [Fact]
    public async Task A_long_prompt_is_computed_beside_streams_within_the_budget()
    {
        const int streams = 16, budget = 48, prompt = 4000;
        using var engine = new Engine(_model.Transformer, _model.Options(maxBatch: streams + 1, pages: 400) with { StepTokens = budget }, TimeProvider.System);
        _model.Steps.Hold();
        Sequence[] running = [.. Enumerable.Range(0, streams).Select(i => engine.Submit(_model.Golden(maxTokens: 3000) with { Sampling = new() { Temperature = 1, Seed = (ulong)i } }))];
        _model.Steps.Release(() => running.All(sequence => sequence.OutputCount > 0));
        await _model.Steps.HeldAsync();
        _model.Dispatch.RecordsSteps = true;
        GenerationRequest request = _model.Golden(maxTokens: 5) with { PromptIds = [.. Enumerable.Range(0, prompt).Select(i => (i * 37 % 391) + 3)] };
        using Sequence late = engine.Submit(request);
        _model.Steps.Release(() => late.OutputCount > 0);
        await late.ReadOneAsync();
        await _model.Steps.HeldAsync();
        int[] rows = [.. _model.Dispatch.StepRows];
        Assert.All(rows, count => Assert.InRange(count, streams, budget));

        // Every step with prompt rows is full but the last of them.
        int steps = (prompt + budget - streams - 1) / (budget - streams);
        Assert.InRange(rows.Count(count => count > streams + 1), steps - 1, steps);
        Assert.Equal(prompt, rows.SkipWhile(count => count <= streams).Take(steps).Sum(count => count - streams));
        foreach (Sequence sequence in running)
        {
            Assert.Equal(FinishReason.None, sequence.FinishReason);
            sequence.Dispose();
        }

        _model.Steps.Release();
    }

    private async Task<string[][]> RunAsync(EngineOptions options, GenerationRequest[] requests, int leastPreemptions)
    {
        using var engine = new Engine(_model.Transformer, options, TimeProvider.System);
        _model.Steps.Hold();
        Task<string[][]> reading = Task.WhenAll(requests.Select(async request =>
        {
            using Sequence sequence = engine.Submit(request);
            return await sequence.ReadBitsAsync();
        }));
        _model.Steps.Release();
        string[][] all = await reading;
        EngineStatus status = engine.Status;
        Assert.InRange(status.Preemptions, leastPreemptions, leastPreemptions == 0 ? 0 : 1000);
        Assert.Equal((0, 0, 0L), (status.PagesInUse, status.Waiting, status.FailedSteps));
        return all;
    }

    private GenerationRequest Random(Random random, int i) => _model.Golden(random.Next(30, 170)) with
    {
        PromptIds = [.. Enumerable.Range(0, random.Next(1, 140)).Select(_ => random.Next(3, 390))],
        Priority = random.Next(-1, 2),
        Sampling = new()
        {
            Temperature = i % 4 == 0 ? 0 : 0.5f + random.NextSingle(),
            TopP = i % 3 == 0 ? 0.9f : 1,
            FrequencyPenalty = i % 2 == 0 ? 0.8f : 0,
            PresencePenalty = i % 5 == 0 ? -0.6f : 0,
            RepetitionPenalty = i % 3 == 1 ? 1.2f : 1,
            Seed = (ulong)i,
            TopLogprobs = i % 4 == 1 ? 3 : -1,
        },
    };
}
