namespace Conclave.Engine.Tests;

/// <summary>Disposing a sequence at every stage of its life.</summary>
public sealed class CancellationTests : IDisposable
{
    private readonly TinyModel _model = new();

    public void Dispose() => _model.Dispose();

    [Fact]
    public async Task While_waiting()
    {
        using Engine engine = _model.Engine(maxBatch: 1);
        _model.Dispatch.Gate.Reset();
        Sequence running = engine.Submit(_model.Golden());
        Assert.True(_model.Dispatch.Reached.Wait(TimeSpan.FromMinutes(2)));
        Sequence waiting = engine.Submit(_model.Golden());
        Task<List<int>> reader = waiting.ReadAllAsync();
        waiting.Dispose();
        Assert.Equal(0, engine.Status.Waiting);
        Assert.Empty(await reader);
        Assert.Equal(FinishReason.Cancelled, waiting.FinishReason);
        running.Dispose();
        _model.Dispatch.Gate.Set();
        await AssertIdleAsync(engine);
    }

    [Fact]
    public async Task While_its_prompt_is_computed()
    {
        using Engine engine = _model.Engine(maxBatch: 1, maxStepRows: 4);
        _model.Dispatch.Gate.Reset();
        Sequence sequence = engine.Submit(_model.Golden());
        Assert.True(_model.Dispatch.Reached.Wait(TimeSpan.FromMinutes(2)));
        sequence.Dispose();
        Assert.Equal(1, engine.Status.PagesInUse);
        _model.Dispatch.Gate.Set();

        // Within the step under way: of ten chunks one was computed.
        EngineStatus status = await AssertIdleAsync(engine);
        Assert.Equal((1, 4), (status.StepCount, status.PromptTokens));
    }

    [Fact]
    public async Task While_decoding()
    {
        using Engine engine = _model.Engine();
        _model.Steps.HoldWhen(() => engine.Status.GeneratedTokens == 5);
        Sequence sequence = engine.Submit(_model.Golden(maxTokens: 4000));
        for (int i = 0; i < 5; i++)
        {
            Assert.True(await sequence.WaitToReadAsync(CancellationToken.None));
            Assert.True(sequence.TryRead(out _));
        }

        // In the midst of the next step.
        await _model.Steps.HeldAsync();
        _model.Dispatch.Gate.Reset();
        _model.Dispatch.Reached.Reset();
        _model.Steps.Release();
        Assert.True(_model.Dispatch.Reached.Wait(TimeSpan.FromMinutes(2)));
        Parallel.For(0, 8, _ => sequence.Dispose());
        Assert.Equal(FinishReason.Cancelled, sequence.FinishReason);
        _model.Dispatch.Gate.Set();
        EngineStatus status = await AssertIdleAsync(engine);
        Assert.InRange(status.GeneratedTokens, 5, 6);
        sequence.Dispose();
    }

    [Fact]
    public async Task After_the_end()
    {
        using Engine engine = _model.Engine();
        Sequence sequence = engine.Submit(_model.Golden(maxTokens: 3));
        Assert.Equal(3, (await sequence.ReadAllAsync()).Count);
        sequence.Dispose();
        sequence.Dispose();
        Assert.Equal(FinishReason.Length, sequence.FinishReason);
        Assert.False(await sequence.WaitToReadAsync(CancellationToken.None));
        await AssertIdleAsync(engine);
    }

    [Fact]
    public async Task Ending_a_wait_leaves_the_sequence_running()
    {
        using Engine engine = _model.Engine();
        _model.Dispatch.Gate.Reset();
        using Sequence sequence = engine.Submit(_model.Golden());
        using var cancellation = new CancellationTokenSource();
        ValueTask<bool> wait = sequence.WaitToReadAsync(cancellation.Token);
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await wait);
        _model.Dispatch.Gate.Set();
        Assert.Equal(_model.GreedyTokens, await sequence.ReadAllAsync());
    }

    private static Task<EngineStatus> AssertIdleAsync(Engine engine) =>
        engine.StatusWhenAsync(status => status is { Running: 0, Waiting: 0, PagesInUse: 0 });
}
