namespace Conclave.Engine.Tests;

public sealed class EngineTests : IDisposable
{
    private readonly TinyModel _model = new();

    public void Dispose() => _model.Dispose();

    [Theory]
    [InlineData(64)]
    [InlineData(7)]
    [InlineData(1)]
    public async Task Greedy_decoding_gives_the_golden_tokens(int maxStepRows)
    {
        using Engine engine = _model.Engine(maxBatch: 1, maxStepRows: maxStepRows);
        using Sequence sequence = engine.Submit(_model.Golden());
        Assert.Equal(_model.GreedyTokens, await sequence.ReadAllAsync());
        Assert.Equal((FinishReason.Length, 0), (sequence.FinishReason, sequence.CachedTokens));

        EngineStatus status = engine.Status;
        Assert.Equal((0, 0, 0, 200), (status.Running, status.Waiting, status.PagesInUse, status.PagesTotal));
        Assert.Equal((40, 64), (status.PromptTokens, status.GeneratedTokens));
        Assert.Equal(((40 + maxStepRows - 1) / maxStepRows) + 63, status.StepCount);
    }

    [Fact]
    public async Task A_limit_that_nobody_asked_for_ends_with_the_memory()
    {
        using Engine engine = _model.Engine(pages: 2);
        using Sequence sequence = engine.Submit(_model.Golden(maxTokens: 4000) with { MayBeShorter = true });
        Assert.Equal(128 - _model.PromptIds.Length, (await sequence.ReadAllAsync()).Count);
        Assert.Equal((FinishReason.Length, 0), (sequence.FinishReason, engine.Status.PagesInUse));
    }

    [Fact]
    public async Task A_stop_token_ends_the_sequence_unreported()
    {
        using Engine engine = _model.Engine();
        int stop = _model.GreedyTokens[5];
        using Sequence sequence = engine.Submit(_model.Golden() with { StopTokenIds = [399, stop] });
        Assert.Equal(_model.GreedyTokens[..Array.IndexOf(_model.GreedyTokens, stop)], await sequence.ReadAllAsync());
        Assert.Equal(FinishReason.Stop, sequence.FinishReason);
        Assert.Equal(0, engine.Status.PagesInUse);
    }

    [Fact]
    public async Task Concurrent_sequences_get_the_tokens_they_get_alone_also_under_cancellations()
    {
        GenerationRequest[] requests = [.. Enumerable.Range(0, 32).Select(RandomRequest)];
        var alone = new List<int>[requests.Length];
        using (Engine engine = _model.Engine(maxBatch: 1))
        {
            for (int i = 0; i < requests.Length; i++)
            {
                using Sequence sequence = engine.Submit(requests[i]);
                alone[i] = await sequence.ReadAllAsync();
                Assert.Equal(requests[i].MaxTokens, alone[i].Count);
            }
        }

        // Room for some 20 of them at once: the others join as those leave.
        using Engine crowd = _model.Engine(maxBatch: 24, pages: 45, maxStepRows: 50);
        var random = new Random(11);
        await Task.WhenAll(requests.Select(async (request, i) =>
        {
            await Task.Delay(random.Next(30));
            using Sequence sequence = crowd.Submit(request);
            Assert.Equal(alone[i], await sequence.ReadAllAsync());
        }).Concat(Enumerable.Range(100, 16).Select(async i =>
        {
            using Sequence victim = crowd.Submit(RandomRequest(i));
            for (int tokens = i % 8; tokens > 0 && await victim.WaitToReadAsync(CancellationToken.None); tokens--)
                victim.TryRead(out _);
        })));

        EngineStatus status = await crowd.StatusWhenAsync(status => status.Running == 0);
        Assert.Equal((0, 0, 0), (status.Waiting, status.PagesInUse, status.FailedSteps));
    }

    [Fact]
    public async Task Log_probabilities_are_those_of_the_model()
    {
        using Engine engine = _model.Engine();
        using Sequence sequence = engine.Submit(_model.Golden(maxTokens: 10) with { Sampling = new SamplingParameters { Temperature = 0, TopLogprobs = 3 } });
        for (int i = 0; i < 10; i++)
        {
            Assert.True(await sequence.WaitToReadAsync(CancellationToken.None));
            Assert.True(sequence.TryRead(out GeneratedToken token));
            GeneratedToken[] top = sequence.TopLogprobs.ToArray();
            Assert.Equal(token, top[0]);
            Assert.True(token.Logprob is < 0 and > -10);
            Assert.True(top[0].Logprob >= top[1].Logprob && top[1].Logprob >= top[2].Logprob);
            Assert.True(top.Sum(alternative => Math.Exp(alternative.Logprob)) <= 1.00001);
        }
    }

    [Fact]
    public async Task A_failing_step_fails_its_sequences_and_the_engine_goes_on()
    {
        using Engine engine = _model.Engine();
        _model.Dispatch.Gate.Reset();
        using Sequence first = engine.Submit(_model.Golden());
        Assert.True(_model.Dispatch.Reached.Wait(TimeSpan.FromMinutes(2)));
        _model.Dispatch.FailNext(1);
        _model.Dispatch.Gate.Set();

        var error = await Assert.ThrowsAsync<OperatingException>(first.ReadAllAsync);
        Assert.Equal(OperatingError.Internal, error.Error);
        Assert.IsType<IOException>(error.InnerException);
        Assert.Equal(FinishReason.Failed, first.FinishReason);
        EngineStatus status = engine.Status;
        Assert.Equal((0, 0, 1L), (status.Running, status.PagesInUse, status.FailedSteps));
        Assert.Null(status.Fault);

        using Sequence second = engine.Submit(_model.Golden());
        Assert.Equal(_model.GreedyTokens, await second.ReadAllAsync());
    }

    [Fact]
    public async Task A_full_queue_refuses_and_recovers()
    {
        using Engine engine = _model.Engine(maxBatch: 1, maxQueue: 2, maxStepRows: 64);
        _model.Dispatch.Gate.Reset();
        using Sequence running = engine.Submit(_model.Golden());
        Assert.True(_model.Dispatch.Reached.Wait(TimeSpan.FromMinutes(2)));
        using Sequence waiting = engine.Submit(_model.Golden());
        Sequence last = engine.Submit(_model.Golden());
        Assert.Equal(OperatingError.Overloaded, Assert.Throws<OperatingException>(() => engine.Submit(_model.Golden())).Error);

        last.Dispose();
        using Sequence another = engine.Submit(_model.Golden());
        _model.Dispatch.Gate.Set();
        foreach (Sequence sequence in new[] { running, waiting, another })
            Assert.Equal(_model.GreedyTokens, await sequence.ReadAllAsync());
    }

    [Fact]
    public async Task Disposing_a_busy_engine_fails_its_sequences_as_unavailable()
    {
        Engine engine = _model.Engine(maxBatch: 2);
        _model.Steps.HoldWhen(() => engine.Status.GeneratedTokens > 0);
        Sequence[] sequences = [.. Enumerable.Range(0, 5).Select(_ => engine.Submit(_model.Golden(maxTokens: 2000)))];
        Assert.True(await sequences[0].WaitToReadAsync(CancellationToken.None));
        Task<List<int>>[] readers = [.. sequences.Select(sequence => sequence.ReadAllAsync())];
        await _model.Steps.HeldAsync();
        Task disposing = Task.Run(engine.Dispose);
        while (!IsClosed(engine))
            await Task.Delay(5);
        _model.Steps.Release();
        await disposing;
        engine.Dispose();
        foreach (Task<List<int>> reader in readers)
            Assert.Equal(OperatingError.Unavailable, (await Assert.ThrowsAsync<OperatingException>(() => reader)).Error);
        Assert.Equal(OperatingError.Unavailable, Assert.Throws<OperatingException>(() => engine.Submit(_model.Golden())).Error);
        foreach (Sequence sequence in sequences)
            sequence.Dispose();
        Assert.Equal(0, engine.Status.Running);
    }

    [Fact]
    public async Task Disposing_an_idle_engine_always_returns()
    {
        for (int i = 0; i < 300; i++)
        {
            Engine engine = _model.Engine(maxBatch: 1, pages: 4, maxStepRows: 1);
            if (i % 3 == 0)
                await Task.Yield();
            await Task.Run(engine.Dispose).WaitAsync(TimeSpan.FromMinutes(2));
        }
    }

    [Fact]
    public void Bad_requests_leave_nothing_behind()
    {
        using Engine engine = _model.Engine(pages: 4);
        Assert.Throws<OperatingException>(() => engine.Submit(_model.Golden() with { PromptIds = [400] }));
        Assert.Throws<OperatingException>(() => engine.Submit(_model.Golden(maxTokens: 4096)));
        var error = Assert.Throws<OperatingException>(() => engine.Submit(_model.Golden(maxTokens: 300)));
        Assert.Contains("--kv-memory", error.Message, StringComparison.Ordinal);
        EngineStatus status = engine.Status;
        Assert.Equal((0, 0, 0, 4), (status.Running, status.Waiting, status.PagesInUse, status.PagesTotal));
    }

    /// <summary>Whether it takes nothing more.</summary>
    private bool IsClosed(Engine engine)
    {
        try
        {
            engine.Submit(_model.Golden()).Dispose();
            return false;
        }
        catch (OperatingException refused)
        {
            return refused.Error == OperatingError.Unavailable;
        }
    }

    private GenerationRequest RandomRequest(int i)
    {
        var random = new Random(i);
        int start = random.Next(20);
        return new GenerationRequest
        {
            PromptIds = [.. _model.PromptIds[start..], .. _model.PromptIds[..random.Next(1, 40)]],
            MaxTokens = random.Next(1, 60),
            StopTokenIds = Array.Empty<int>(),
            Sampling = new SamplingParameters
            {
                Temperature = i % 4 == 0 ? 0 : 0.5f + (i % 4 * 0.5f),
                TopP = i % 3 == 0 ? 1 : 0.9f,
                FrequencyPenalty = i % 5 == 0 ? 0.4f : 0,
                PresencePenalty = i % 7 == 0 ? -0.3f : 0,
                Seed = (ulong)i,
                TopLogprobs = i % 6 == 0 ? 5 : -1,
            },
        };
    }
}
