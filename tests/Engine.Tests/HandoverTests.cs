using Conclave.Model;

namespace Conclave.Engine.Tests;

/// <summary>Sequences that leave one engine with their pages and go on in another.</summary>
public sealed class HandoverTests : IDisposable
{
    private static readonly TimeSpan Long = TimeSpan.FromMinutes(5);

    private readonly TinyModel _model = new();
    private readonly TinyModel _other = new();

    public void Dispose()
    {
        _model.Dispose();
        _other.Dispose();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(24)]
    [InlineData(25)]
    [InlineData(26)]
    [InlineData(63)]
    public async Task A_running_sequence_goes_on_with_its_pages(int cut)
    {
        GenerationRequest request = _model.Golden() with { Sampling = new() { Temperature = 1, FrequencyPenalty = 0.6f, Seed = 3, TopLogprobs = 2 } };
        using Engine source = _model.Engine(), target = _other.Engine();
        using Sequence undisturbed = source.Submit(request);
        string[] whole = await undisturbed.ReadBitsAsync();

        _model.Steps.HoldWhen(() => source.Status.GeneratedTokens == whole.Length + cut);
        using Sequence first = source.Submit(request);
        List<string> read = [];
        while (read.Count < (cut + 1) / 2)
            read.Add(await first.ReadOneAsync());
        await _model.Steps.HeldAsync();
        Guid id = Guid.NewGuid();
        using (SequenceExport export = Assert.IsType<SequenceExport>(await source.ExportAsync(first)))
            Copy(export, target, id);
        _model.Steps.Release();

        // What was generated before it left can still be read here.
        read.AddRange(await first.ReadBitsAsync());
        Assert.Equal(cut, read.Count);
        Assert.Equal(0, (await source.StatusWhenAsync(status => status.Running == 0)).PagesInUse);
        Assert.Equal(FinishReason.Moved, first.FinishReason);
        int[] ids = [.. read.Select(token => int.Parse(token.Split(' ')[0]))];
        using Sequence second = target.Submit(request with { PromptIds = [.. request.PromptIds, .. ids], ResumedCount = ids.Length }, id);
        read.AddRange(await second.ReadBitsAsync());
        Assert.Equal(whole, read);
        EngineStatus status = target.Status;
        Assert.Equal((0, 0, 0, 0L), (status.Running, status.PagesInUse, status.ParkedSequences, status.PromptTokens));
    }

    [Fact]
    public async Task A_prompt_half_computed_goes_on_where_it_was()
    {
        using Engine source = _model.Engine(maxStepRows: 8, maxBatch: 1), target = _other.Engine();
        _model.Dispatch.Gate.Reset();
        using Sequence sequence = source.Submit(_model.Golden());
        using Sequence waiting = source.Submit(_model.Golden());
        Assert.True(_model.Dispatch.Reached.Wait(TimeSpan.FromMinutes(2)));
        Task<SequenceExport?> running = source.ExportAsync(sequence), queued = source.ExportAsync(waiting);
        Assert.False(running.IsCompleted);
        _model.Dispatch.Gate.Set();
        Guid id = Guid.NewGuid();
        using (SequenceExport export = Assert.IsType<SequenceExport>(await running), nothing = Assert.IsType<SequenceExport>(await queued))
        {
            Assert.Equal((8, 1, 2), (export.TokenIds.Length, export.PageCount, export.PagesNeeded));
            Assert.Equal((0, 0, 2), (nothing.TokenIds.Length, nothing.PageCount, nothing.PagesNeeded));
            Copy(export, target, id);
        }

        Assert.Empty(await sequence.ReadAllAsync());
        Assert.Equal((FinishReason.Moved, FinishReason.Moved), (sequence.FinishReason, waiting.FinishReason));
        using Sequence rest = target.Submit(_model.Golden(), id);
        Assert.Equal(_model.GreedyTokens, await rest.ReadAllAsync());
        Assert.Equal(32, target.Status.PromptTokens);
        Assert.Equal((0, 0, 1L), (source.Status.Running, source.Status.PagesInUse, source.Status.StepCount));
    }

    [Fact]
    public async Task Pages_of_other_tokens_are_not_used()
    {
        using Engine source = _model.Engine(), target = _other.Engine();
        (Sequence sequence, _, SequenceExport export) = await CatchAsync(source);
        Guid id = Guid.NewGuid();
        using (sequence)
        using (export)
            Copy(export, target, id);
        int[] prompt = [.. _model.PromptIds];
        prompt[3]++;
        using Sequence different = target.Submit(_model.Golden() with { PromptIds = prompt }, id);
        await different.ReadAllAsync();
        using Sequence gone = target.Submit(_model.Golden(), id);
        Assert.Equal(_model.GreedyTokens, await gone.ReadAllAsync());
        Assert.Equal((80L, 0), (target.Status.PromptTokens, target.Status.PagesInUse));
    }

    [Fact]
    public async Task Parked_pages_are_counted_refused_without_room_and_expire()
    {
        using Engine target = _model.Engine(pages: 4);
        int[] tokens = [.. Enumerable.Repeat(_model.PromptIds, 4).SelectMany(ids => ids)];
        ParkedSequence first = Assert.IsType<ParkedSequence>(target.TryPark(Guid.NewGuid(), tokens, pagesNeeded: 3));
        Assert.Null(target.TryPark(Guid.NewGuid(), tokens, pagesNeeded: 3));
        Assert.Null(target.TryPark(Guid.NewGuid(), _model.PromptIds, pagesNeeded: 5));
        Assert.Null(target.TryPark(first.Id, _model.PromptIds, pagesNeeded: 1));
        Assert.Null(target.TryPark(Guid.NewGuid(), [], pagesNeeded: 1));
        Assert.Equal((3, 1), (target.Status.PagesInUse, target.Status.ParkedSequences));
        first.Dispose();
        first.Dispose();
        Assert.Equal((0, 0), (target.Status.PagesInUse, target.Status.ParkedSequences));
        Assert.False(first.TryCommit(Long));

        ParkedSequence second = Assert.IsType<ParkedSequence>(target.TryPark(Guid.NewGuid(), tokens, pagesNeeded: 3));
        Assert.True(second.TryCommit(TimeSpan.FromMilliseconds(20)));
        Assert.False(second.TryCommit(Long));
        second.Dispose();
        await target.StatusWhenAsync(status => status is { PagesInUse: 0, ParkedSequences: 0 });
    }

    [Fact]
    public async Task Adopted_sequences_pass_those_that_wait_for_their_pages()
    {
        using Engine source = _model.Engine(), target = _other.Engine(pages: 4);
        (Sequence sequence, string token, SequenceExport export) = await CatchAsync(source);
        using Sequence caught = sequence;
        Guid id = Guid.NewGuid();
        using (export)
            Copy(export, target, id);
        List<string> read = [token, .. await sequence.ReadBitsAsync()];
        int[] ids = [.. read.Select(text => int.Parse(text.Split(' ')[0]))];

        // The first needs more pages than are free beside the parked ones.
        using Sequence large = target.Submit(_model.Golden(maxTokens: 200));
        using Sequence adopted = target.Submit(_model.Golden() with { PromptIds = [.. _model.PromptIds, .. ids], ResumedCount = ids.Length }, id);
        Assert.Equal(_model.GreedyTokens[ids.Length..], await adopted.ReadAllAsync());
        Assert.Equal(200, (await large.ReadAllAsync()).Count);
    }

    /// <summary>The golden sequence, taken out before it ends, and its first token.</summary>
    private async Task<(Sequence Sequence, string Token, SequenceExport Export)> CatchAsync(Engine source)
    {
        _model.Steps.HoldWhen(() => source.Status.GeneratedTokens == 5);
        Sequence sequence = source.Submit(_model.Golden());
        string token = await sequence.ReadOneAsync();
        await _model.Steps.HeldAsync();
        SequenceExport export = Assert.IsType<SequenceExport>(await source.ExportAsync(sequence));
        _model.Steps.Release();
        return (sequence, token, export);
    }

    [Fact]
    public async Task Cancelling_or_ending_the_engine_in_the_midst_leaves_nothing()
    {
        Engine engine = _model.Engine();
        _model.Steps.HoldWhen(() => engine.Status.GeneratedTokens == 1);
        Sequence sequence = engine.Submit(_model.Golden(maxTokens: 2000));
        await sequence.ReadOneAsync();
        await _model.Steps.HeldAsync();
        SequenceExport export = Assert.IsType<SequenceExport>(await engine.ExportAsync(sequence));
        _model.Steps.Release();
        sequence.Dispose();
        Assert.Equal(FinishReason.Cancelled, sequence.FinishReason);
        Assert.Null(await engine.ExportAsync(sequence));
        ParkedSequence parked = Assert.IsType<ParkedSequence>(engine.TryPark(Guid.NewGuid(), _model.PromptIds, pagesNeeded: 2));
        ParkedSequence ready = Assert.IsType<ParkedSequence>(engine.TryPark(Guid.NewGuid(), _model.PromptIds, pagesNeeded: 2));
        Assert.True(ready.TryCommit(Long));
        engine.Dispose();

        // Memory that somebody still reads or writes outlives the engine.
        Fill(export, parked);
        Assert.False(parked.TryCommit(Long));
        parked.Dispose();
        export.Dispose();
        export.Dispose();
    }

    private static unsafe void Fill(SequenceExport export, ParkedSequence parked) => *parked.Page(0) = *export.Page(0);

    private unsafe void Copy(SequenceExport export, Engine target, Guid id)
    {
        using ParkedSequence parked = Assert.IsType<ParkedSequence>(target.TryPark(id, export.TokenIds, export.PagesNeeded));
        Assert.Equal(export.PageCount, parked.PageCount);
        long size = _model.Transformer.KvLayout.PageSizeBytes;
        for (int i = 0; i < export.PageCount; i++)
            Buffer.MemoryCopy(export.Page(i), parked.Page(i), size, size);
        Assert.True(parked.TryCommit(Long));
    }
}
