using Conclave.Tests.Support;

namespace Conclave.Engine.Tests;

/// <summary>Requests that are given up, and those that are told to come back.</summary>
public sealed class DeadlineTests : IDisposable
{
    private readonly TinyModel _model = new();

    public void Dispose() => _model.Dispose();

    [Fact]
    public async Task A_running_sequence_is_given_up_at_its_deadline()
    {
        var clock = new HandClock();
        using Engine engine = _model.Engine(clock: clock);
        _model.Steps.HoldWhen(() => engine.Status.GeneratedTokens == 1);
        using Sequence sequence = engine.Submit(_model.Golden(maxTokens: 4000) with { Deadline = TimeSpan.FromMilliseconds(300) });
        Task<List<int>> reading = sequence.ReadAllAsync();
        await _model.Steps.HeldAsync();
        clock.Advance(TimeSpan.FromMilliseconds(299));
        _model.Steps.Release(() => engine.Status.GeneratedTokens == 10);
        await _model.Steps.HeldAsync();
        Assert.Equal(FinishReason.None, sequence.FinishReason);
        clock.Advance(TimeSpan.FromMilliseconds(1));
        _model.Steps.Release();
        var error = await Assert.ThrowsAsync<OperatingException>(() => reading);
        Assert.Equal(OperatingError.DeadlineExceeded, error.Error);
        Assert.Contains("0.3 s passed after 10 tokens", error.Message, StringComparison.Ordinal);
        Assert.Equal(0, (await engine.StatusWhenAsync(status => status.Running == 0)).PagesInUse);
    }

    [Fact]
    public async Task So_is_a_waiting_one_even_if_nothing_runs()
    {
        using Engine engine = _model.Engine(pages: 4);

        // All pages are kept for a sequence that is yet to come.
        using ParkedSequence parked = Assert.IsType<ParkedSequence>(engine.TryPark(Guid.NewGuid(), new int[250], pagesNeeded: 4));
        using Sequence sequence = engine.Submit(_model.Golden() with { Deadline = TimeSpan.FromMilliseconds(100) });
        var error = await Assert.ThrowsAsync<OperatingException>(sequence.ReadAllAsync);
        Assert.Equal(OperatingError.DeadlineExceeded, error.Error);
        Assert.Equal((0L, 0), (engine.Status.StepCount, engine.Status.Waiting));
    }

    [Fact]
    public async Task Whoever_is_refused_is_told_when_to_come_back()
    {
        var clock = new HandClock();
        using Engine engine = _model.Engine(maxBatch: 1, maxQueue: 1, clock: clock);

        // It has the only place for two seconds.
        _model.Dispatch.Gate.Reset();
        using (Sequence first = engine.Submit(_model.Golden(maxTokens: 1)))
        {
            Assert.True(_model.Dispatch.Reached.Wait(TimeSpan.FromMinutes(2)));
            clock.Advance(TimeSpan.FromSeconds(2));
            _model.Dispatch.Gate.Set();
            await first.ReadAllAsync();
        }

        _model.Dispatch.Gate.Reset();
        using Sequence running = engine.Submit(_model.Golden());
        await engine.StatusWhenAsync(status => status.Running == 1);
        using Sequence waiting = engine.Submit(_model.Golden());
        int[] seconds = [.. Enumerable.Range(0, 2000).Select(_ => Assert.Throws<OperatingException>(() => engine.Submit(_model.Golden())).RetryAfterSeconds ?? 0)];

        // A place for each of them, one after the other, and for nobody later than in a minute.
        Assert.Equal(Enumerable.Range(1, 2000).Select(place => Math.Min(2 * place, 60)), seconds);
        _model.Dispatch.Gate.Set();
        Assert.Equal(_model.GreedyTokens, await waiting.ReadAllAsync());
    }
}
