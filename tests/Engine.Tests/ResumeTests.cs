using Conclave.Tests.Support;

namespace Conclave.Engine.Tests;

/// <summary>A sequence that is resumed after any token gives the rest of its undisturbed run, bit for bit.</summary>
public sealed class ResumeTests : IDisposable
{
    private readonly TinyModel _model = new();

    public void Dispose() => _model.Dispose();

    public static TheoryData<string, SamplingParameters> Samplings => new()
    {
        { "greedy", new() { Temperature = 0 } },
        { "sampled", new() { Temperature = 1.3f, TopP = 0.95f, Seed = 7 } },
        { "penalties", new() { Temperature = 0.8f, FrequencyPenalty = 1.1f, PresencePenalty = 0.7f, Seed = 8 } },
        { "truncated", new() { Temperature = 1.2f, TopK = 40, MinP = 0.02f, TopP = 0.97f, Seed = 10 } },
        { "repetition", new() { Temperature = 1.1f, RepetitionPenalty = 1.4f, LogitBias = [new(5, 3), new(6, -100)], Seed = 11 } },
        { "log probabilities", new() { Temperature = 1, PresencePenalty = -1.5f, Seed = 9, TopLogprobs = 4 } },
    };

    [Theory]
    [MemberData(nameof(Samplings))]
    public async Task At_every_position(string name, SamplingParameters sampling)
    {
        using Engine engine = _model.Engine();
        GenerationRequest request = _model.Golden() with { Sampling = sampling };
        string[] whole = await RunAsync(engine, request);
        Assert.Equal(64, whole.Length);
        int[] ids = [.. whole.Select(token => int.Parse(token.Split(' ')[0]))];
        string[][] rests = await Task.WhenAll(Enumerable.Range(1, 63).Select(cut => RunAsync(engine, Resumed(request, ids[..cut]))));
        for (int cut = 1; cut < 64; cut++)
            Assert.True(whole[cut..].SequenceEqual(rests[cut - 1]), $"{name}, resumed after {cut}: {string.Join(", ", rests[cut - 1])}");
        EngineStatus status = engine.Status;
        Assert.Equal((0, 0), (status.Running, status.PagesInUse));
    }

    /// <summary>End tokens are barred by the count of the whole output, not by that of one life.</summary>
    [Fact]
    public async Task Least_tokens_count_from_the_first_life_on()
    {
        using Engine engine = _model.Engine();
        GenerationRequest request = _model.Golden() with { StopTokenIds = _model.GreedyTokens.Distinct().ToArray(), MinTokens = 20, MaxTokens = 40 };
        string[] whole = await RunAsync(engine, request);
        Assert.InRange(whole.Length, 20, 40);
        int[] ids = [.. whole.Select(token => int.Parse(token.Split(' ')[0]))];
        Assert.Empty(ids[..20].Intersect(_model.GreedyTokens));
        foreach (int cut in new[] { 1, 10, 19 })
            Assert.Equal(whole[cut..], await RunAsync(engine, Resumed(request, ids[..cut])));
        Assert.Equal(_model.GreedyTokens[..40], (await RunAsync(engine, request with { MinTokens = 0, IgnoreEos = true })).Select(token => int.Parse(token.Split(' ')[0])));
    }

    [Fact]
    public async Task A_resumed_sequence_takes_the_pages_of_the_whole_one_and_is_resumed_again()
    {
        using Engine engine = _model.Engine(pages: 2);
        GenerationRequest once = Resumed(_model.Golden(), _model.GreedyTokens[..20]);
        Assert.Equal(_model.GreedyTokens[20..], (await RunAsync(engine, once)).Select(token => int.Parse(token.Split(' ')[0])));
        GenerationRequest twice = once with { PromptIds = [.. once.PromptIds, .. _model.GreedyTokens[20..50]], ResumedCount = 50 };
        Assert.Equal(_model.GreedyTokens[50..], (await RunAsync(engine, twice)).Select(token => int.Parse(token.Split(' ')[0])));
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(40)]
    [InlineData(64)]
    [InlineData(int.MaxValue)]
    public void What_cannot_be_resumed_is_refused(int resumedCount)
    {
        using Engine engine = _model.Engine();
        var error = Assert.Throws<OperatingException>(() => engine.Submit(_model.Golden() with { ResumedCount = resumedCount }));
        Assert.Equal(OperatingError.InvalidRequest, error.Error);
    }

    [Fact]
    public async Task A_step_without_experts_makes_its_sequences_unavailable_not_faulty()
    {
        using Engine engine = _model.Engine();
        _model.Dispatch.FailNext(1, new OperatingException(OperatingError.Unavailable, "No silo holds expert 3 of layer 1."));
        using Sequence sequence = engine.Submit(_model.Golden());
        var error = await Assert.ThrowsAsync<OperatingException>(sequence.ReadAllAsync);
        Assert.Equal((OperatingError.Unavailable, "No silo holds expert 3 of layer 1."), (error.Error, error.Message));
    }

    [Fact]
    public async Task The_age_of_a_step_shows_a_hang()
    {
        var clock = new HandClock();
        using Engine engine = _model.Engine(clock: clock);
        Assert.Equal(TimeSpan.Zero, engine.StepAge);
        _model.Dispatch.Gate.Reset();
        using Sequence sequence = engine.Submit(_model.Golden());
        Assert.True(_model.Dispatch.Reached.Wait(TimeSpan.FromMinutes(2)));
        clock.Advance(TimeSpan.FromSeconds(40));
        Assert.Equal(TimeSpan.FromSeconds(40), engine.StepAge);
        _model.Dispatch.Gate.Set();
        await sequence.ReadAllAsync();
        await engine.StatusWhenAsync(status => status.Running == 0);
        Assert.Equal(TimeSpan.Zero, engine.StepAge);
    }

    private static GenerationRequest Resumed(GenerationRequest request, int[] output) =>
        request with { PromptIds = [.. request.PromptIds, .. output], ResumedCount = output.Length };

    /// <summary>Every token with the bits of its log probability and of its alternatives.</summary>
    private static async Task<string[]> RunAsync(Engine engine, GenerationRequest request)
    {
        using Sequence sequence = engine.Submit(request);
        return await sequence.ReadBitsAsync();
    }
}
