using Conclave.Engine;
using Conclave.Grains.Tests.Experts;
using Conclave.Tests.Support;

namespace Conclave.Grains.Tests.Migration;

/// <summary>Ranks hand sequences over with their pages.</summary>
public sealed class DrainTests(ExpertModel model) : IClassFixture<ExpertModel>
{
    private static readonly TimeSpan Long = TimeSpan.FromMinutes(5);

    [Fact]
    public async Task Running_sequences_go_on_elsewhere_without_being_computed_again()
    {
        using var ranks = new RankPair(model);
        GenerateCommand[] commands = [.. Enumerable.Range(0, 5).Select(i => RankPair.Command(i))];
        string[][] expected = await Task.WhenAll(commands.Select(ranks.Undisturbed));
        EngineStatus before = ranks.Target.Engine.Status;

        ranks.SourceSteps.Hold();
        Task<(List<string> Tokens, OpenSequence Open)>[] readers = [.. commands.Select(command => ReadToEndAsync(ranks.Source, command))];
        ranks.SourceSteps.Release(() => ranks.Source.Engine.Status.GeneratedTokens > 100);
        await ranks.SourceSteps.HeldAsync();
        (int sent, int others) = await ranks.Source.DrainAsync([ranks.TargetSilo], Long, default);
        Assert.Equal((5, 0), (sent, others));
        Assert.Equal(0, ranks.Source.SequenceCount);
        OperatingException refused = Assert.Throws<OperatingException>(() => ranks.Source.Open(RankPair.Command()));
        Assert.Equal(OperatingError.Unavailable, refused.Error);

        for (int i = 0; i < commands.Length; i++)
        {
            (List<string> tokens, OpenSequence open) = await readers[i];
            Assert.Equal((FinishReason.Moved, ranks.TargetSilo), (open.Sequence.FinishReason, open.MovedTo));
            (List<string> rest, OpenSequence end) = await ReadToEndAsync(ranks.Target, RankPair.Resumed(commands[i], tokens));
            Assert.Equal(FinishReason.Length, end.Sequence.FinishReason);
            Assert.Equal(expected[i], tokens.Concat(rest));
        }

        EngineStatus after = ranks.Target.Engine.Status;
        Assert.Equal(before.PromptTokens, after.PromptTokens);
        Assert.Equal((0, 0), (after.PagesInUse, after.ParkedSequences));
        Assert.Equal((0, 0), (ranks.Source.Engine.Status.Running, ranks.Source.Engine.Status.PagesInUse));
    }

    [Fact]
    public async Task A_target_without_room_refuses_politely_and_the_sequence_may_go_anywhere()
    {
        using var ranks = new RankPair(model, targetPages: 2);
        Task<(List<string> Tokens, OpenSequence Open)> reader = await ReadHeldAsync(ranks, RankPair.Command());
        Assert.Equal((0, 1), await ranks.Source.DrainAsync([ranks.TargetSilo], Long, default));
        (List<string> tokens, OpenSequence open) = await reader;
        Assert.Equal((FinishReason.Moved, null), (open.Sequence.FinishReason, open.MovedTo));
        Assert.Equal(11, tokens.Count);
        Assert.Equal(0, ranks.Target.Engine.Status.PagesInUse);
    }

    [Fact]
    public async Task An_unreachable_target_costs_the_pages_only()
    {
        using var ranks = new RankPair(model, PatientSilo.Ranks with { ParkMs = 300 });
        ranks.TargetTransport.Dispose();
        Task<(List<string> Tokens, OpenSequence Open)> reader = await ReadHeldAsync(ranks, RankPair.Command());
        Assert.Equal((0, 1), await ranks.Source.DrainAsync([ranks.TargetSilo], Long, default));
        Assert.Equal((FinishReason.Moved, null), ((await reader).Open.Sequence.FinishReason, (await reader).Open.MovedTo));
    }

    [Fact]
    public async Task Without_targets_sequences_end_within_the_grace_time_or_leave()
    {
        using var ranks = new RankPair(model);
        Task<(List<string> Tokens, OpenSequence Open)> brief = ReadToEndAsync(ranks.Source, RankPair.Command(maxTokens: 20));
        await ranks.Source.DrainAsync([], Long, default);
        Assert.Equal((FinishReason.Length, 20), ((await brief).Open.Sequence.FinishReason, (await brief).Tokens.Count));

        ranks.TargetSteps.HoldWhen(() => ranks.Target.Engine.Status.GeneratedTokens > 0);
        Task<(List<string> Tokens, OpenSequence Open)> endless = ReadToEndAsync(ranks.Target, RankPair.Command());
        await ranks.TargetSteps.HeldAsync();
        Assert.Equal((0, 1), await ranks.Target.DrainAsync([], TimeSpan.FromMilliseconds(50), default));
        Assert.Equal(FinishReason.Moved, (await endless).Open.Sequence.FinishReason);
    }

    [Fact]
    public async Task A_draining_rank_takes_no_pages()
    {
        using var ranks = new RankPair(model);
        await ranks.Target.DrainAsync([], Long, default);
        Task<(List<string> Tokens, OpenSequence Open)> reader = await ReadHeldAsync(ranks, RankPair.Command());
        Assert.Equal((0, 1), await ranks.Source.DrainAsync([ranks.TargetSilo], Long, default));
        Assert.Null((await reader).Open.MovedTo);
    }

    [Fact]
    public async Task Pages_that_nobody_asks_for_are_given_back()
    {
        var clock = new HandClock();
        using var ranks = new RankPair(model, targetClock: clock);
        Task<(List<string> Tokens, OpenSequence Open)> reader = await ReadHeldAsync(ranks, RankPair.Command());
        (int sent, _) = await ranks.Source.DrainAsync([ranks.TargetSilo], Long, default);
        await reader;
        Assert.Equal(1, sent);
        clock.Advance(TimeSpan.FromMilliseconds(PatientSilo.LongMs - 1));
        Assert.True(ranks.Target.Engine.Status is { ParkedSequences: 1, PagesInUse: > 0 }, $"{ranks.Target.Engine.Status}");
        clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.True(ranks.Target.Engine.Status is { ParkedSequences: 0, PagesInUse: 0 }, $"{ranks.Target.Engine.Status}");
    }

    [Fact]
    public async Task A_sequence_that_nobody_reads_is_cancelled()
    {
        var clock = new HandClock();
        using var ranks = new RankPair(model, PatientSilo.Ranks with { LeaseMs = 3000 }, sourceClock: clock);
        GenerateCommand abandoned = RankPair.Command(), read = RankPair.Command();
        ranks.SourceSteps.HoldWhen(() => ranks.Source.Engine.Status.GeneratedTokens > 10);
        ranks.Source.Open(abandoned);
        ranks.Source.Open(read);
        OpenSequence kept = ranks.Source.Find(read.SequenceId);
        for (int seconds = 1; seconds <= 6; seconds++)
        {
            Assert.Equal(seconds <= 3 ? 2 : 1, ranks.Source.SequenceCount);
            clock.Advance(TimeSpan.FromSeconds(1));
            kept.Touch();
        }

        Assert.Same(kept, ranks.Source.Find(read.SequenceId));
        Assert.Equal(FinishReason.None, kept.Sequence.FinishReason);
        Assert.Equal(OperatingError.Unavailable, Assert.Throws<OperatingException>(() => ranks.Source.Find(abandoned.SequenceId)).Error);
        ranks.Source.Close(read.SequenceId);
        ranks.SourceSteps.Release();
        await WaitAsync(() => ranks.Source.Engine.Status.PagesInUse == 0);
    }

    /// <summary>Opens a sequence and reads it as the grain does.</summary>
    private static async Task<(List<string> Tokens, OpenSequence Open)> ReadToEndAsync(Rank rank, GenerateCommand command)
    {
        rank.Open(command);
        OpenSequence open = rank.Find(command.SequenceId);
        List<string> tokens = await RankPair.ReadAsync(open.Sequence);
        rank.Close(command.SequenceId);
        return (tokens, open);
    }

    /// <summary>The same; returns when the rank, which was idle, has generated eleven of its tokens and waits.</summary>
    private static async Task<Task<(List<string> Tokens, OpenSequence Open)>> ReadHeldAsync(RankPair ranks, GenerateCommand command)
    {
        ranks.SourceSteps.HoldWhen(() => ranks.Source.Engine.Status.GeneratedTokens > 10);
        Task<(List<string> Tokens, OpenSequence Open)> reader = ReadToEndAsync(ranks.Source, command);
        await ranks.SourceSteps.HeldAsync();
        return reader;
    }

    private static async Task WaitAsync(Func<bool> holds)
    {
        for (int i = 0; i < 48_000 && !holds(); i++) await Task.Delay(5);
        Assert.True(holds());
    }
}
