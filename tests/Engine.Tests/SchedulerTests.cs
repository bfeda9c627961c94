using Conclave.Engine.Pages;
using Conclave.Model;

namespace Conclave.Engine.Tests;

public sealed class SchedulerTests
{
    private static readonly KvLayout Layout = new(layerCount: 1, latentRank: 1, ropeWidth: 0, indexKeyWidth: 0);

    [Fact]
    public void Decode_rows_come_first_and_prefill_fills_up()
    {
        using KvMemory memory = Memory(100);
        var scheduler = Scheduler(memory, maxBatch: 4, maxStepRows: 10);
        Sequence first = Sequence(prompt: 3, output: 5);
        Sequence second = Sequence(prompt: 25, output: 5);
        scheduler.Enqueue(first, 0);
        scheduler.Enqueue(second, 0);

        Assert.Equal([(first, 3, true), (second, 7, false)], Step(scheduler));
        Assert.Equal([(first, 1, true), (second, 9, false)], Step(scheduler));
        Assert.Equal([(first, 1, true), (second, 9, true)], Step(scheduler));
        Assert.Equal([(first, 1, true), (second, 1, true)], Step(scheduler));
    }

    [Fact]
    public void Prompts_are_filled_up_in_order_of_arrival()
    {
        using KvMemory memory = Memory(100);
        var scheduler = Scheduler(memory, maxBatch: 4, maxStepRows: 10);
        Sequence first = Sequence(prompt: 15, output: 5);
        Sequence second = Sequence(prompt: 4, output: 5);
        scheduler.Enqueue(first, 0);
        scheduler.Enqueue(second, 0);
        Assert.Equal([(first, 10, false)], Step(scheduler));
        Assert.Equal([(first, 5, true), (second, 4, true)], Step(scheduler));
    }

    [Fact]
    public void A_big_sequence_is_not_overtaken_by_small_ones()
    {
        using KvMemory memory = Memory(10);
        var scheduler = Scheduler(memory, maxBatch: 8, maxStepRows: 16);
        Sequence running = Sequence(prompt: 1, output: 100);
        Sequence big = Sequence(prompt: 9 * 64, output: 1);
        Sequence small = Sequence(prompt: 1, output: 1);
        foreach (Sequence sequence in new[] { running, big, small })
            scheduler.Enqueue(sequence, 0);

        Step(scheduler);
        Assert.Equal((1, 2, 1), (scheduler.RunningCount, scheduler.WaitingCount, memory.HeldCount));
        running.Dispose();
        Step(scheduler);
        Assert.Equal([big], Step(scheduler).Select(segment => segment.Sequence));
        Assert.Equal((1, 1, 9), (scheduler.RunningCount, scheduler.WaitingCount, memory.HeldCount));
    }

    [Fact]
    public void A_sequence_cancelled_while_waiting_never_joins()
    {
        using KvMemory memory = Memory(10);
        var scheduler = Scheduler(memory, maxBatch: 8, maxStepRows: 16);
        Sequence sequence = Sequence(prompt: 1, output: 1);
        scheduler.Enqueue(sequence, 0);
        sequence.Dispose();
        Assert.Empty(Step(scheduler));
        Assert.Equal((0, 0, 0), (scheduler.RunningCount, scheduler.WaitingCount, memory.HeldCount));
    }

    /// <summary>Between the last look at who is over and the plan of a step.</summary>
    [Fact]
    public void A_sequence_cancelled_at_the_last_moment_has_no_rows()
    {
        using KvMemory memory = Memory(10);
        var scheduler = Scheduler(memory, maxBatch: 8, maxStepRows: 100);
        Sequence cancelled = Sequence(prompt: Layout.PageTokens - 1, output: 5), other = Sequence(prompt: 1, output: 5);
        scheduler.Enqueue(cancelled, 0);
        scheduler.Enqueue(other, 0);
        Step(scheduler);
        Step(scheduler);

        // Its page is full: it would have to grow now.
        cancelled.Dispose();
        Assert.Equal([(other, 1, true)], Step(scheduler));
        Assert.Equal((1, 1), (scheduler.RunningCount, memory.HeldCount));
    }

    /// <summary>Behind a long context rows take longer and longer: steps of a prompt alone are cut as well, and grow again when they are quick.</summary>
    [Fact]
    public void Steps_without_streams_are_bounded_in_time_too()
    {
        using KvMemory memory = Memory(200);
        var scheduler = new Scheduler(new EngineOptions { MaxBatch = 4, MaxStepRows = 256, PromptStepTargetMs = 1000 }, memory);
        using Sequence sequence = Sequence(prompt: 10_000, output: 1);
        scheduler.Enqueue(sequence, 0);
        int[] rows = new int[6];
        int[] tookMs = [1000, 2000, 4000, 8000, 2000, 1];
        for (int i = 0; i < rows.Length; i++)
        {
            StepSegment segment = Assert.Single(scheduler.Plan(0).ToArray());
            rows[i] = segment.RowCount;
            sequence.Pages.Length += segment.RowCount;
            scheduler.RecordStep(tookMs[i]);
        }

        Assert.Equal([256, 256, 128, 32, 16, 16], rows);
        Assert.Equal(32, Assert.Single(scheduler.Plan(0).ToArray()).RowCount);
    }

    [Fact]
    public void Clearing_gives_everything_back()
    {
        using KvMemory memory = Memory(4);
        var scheduler = Scheduler(memory, maxBatch: 8, maxStepRows: 16);
        Sequence[] sequences = [.. Enumerable.Range(0, 6).Select(_ => Sequence(prompt: 60, output: 4))];
        foreach (Sequence sequence in sequences)
            scheduler.Enqueue(sequence, 0);
        Step(scheduler);
        List<Sequence> removed = [];
        scheduler.Clear(removed);
        Assert.Equal(sequences, removed);
        Assert.Equal((0, 0, 0), (scheduler.RunningCount, scheduler.WaitingCount, memory.HeldCount));
    }

    /// <summary>Random traffic with cancellations against everything that must hold in every step.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(26)]
    [InlineData(34)]
    public void Random_traffic_keeps_every_promise(int seed)
    {
        var random = new Random(seed);
        int pageCount = random.Next(8, 40);
        int maxBatch = random.Next(1, 12);
        int maxStepRows = maxBatch + random.Next(0, 50);
        using KvMemory memory = Memory(pageCount);
        var scheduler = Scheduler(memory, maxBatch, maxStepRows);
        List<Sequence> arrived = [];
        List<Sequence> joined = [];
        HashSet<Sequence> seen = [];
        HashSet<Sequence> cancelled = [];

        int step = 0;
        for (; step < 200 || scheduler.WaitingCount + scheduler.RunningCount > 0; step++)
        {
            Assert.True(step < 100_000, "everyone finishes");
            for (int i = random.Next(4); i > 0 && step < 200; i--)
            {
                int total = random.Next(2, (random.Next(5) == 0 ? pageCount : 2) * Layout.PageTokens);
                int prompt = random.Next(1, total);
                arrived.Add(Sequence(prompt, total - prompt));
                scheduler.Enqueue(arrived[^1], 0);
            }

            if (random.Next(10) == 0 && arrived.Count > 0)
            {
                Sequence victim = arrived[random.Next(arrived.Count)];
                if (victim.FinishReason == FinishReason.None)
                    cancelled.Add(victim);
                victim.Dispose();
            }

            List<(Sequence Sequence, int Rows, bool NeedsLogits)> segments = Step(scheduler);
            Assert.True(segments.Sum(segment => segment.Rows) <= maxStepRows);
            Assert.True(segments.Count <= maxBatch && scheduler.RunningCount <= maxBatch);
            Assert.Equal(segments.Count, segments.Select(segment => segment.Sequence).Distinct().Count());
            foreach ((Sequence sequence, _, _) in segments)
            {
                if (seen.Add(sequence))
                    joined.Add(sequence);
            }
        }

        Assert.Equal((0, pageCount), (memory.HeldCount, memory.AvailableCount));
        Assert.Equal(joined, arrived.Where(seen.Contains));
        foreach (Sequence sequence in arrived)
        {
            Assert.Equal(cancelled.Contains(sequence) ? FinishReason.Cancelled : FinishReason.Length, sequence.FinishReason);
            if (!cancelled.Contains(sequence))
                Assert.Equal(sequence.Request.MaxTokens, sequence.Output.Length);
        }
    }

    private static KvMemory Memory(int pageCount) => new(Layout, pageCount * Layout.PageSizeBytes);

    private static Scheduler Scheduler(KvMemory memory, int maxBatch, int maxStepRows) =>
        new(new EngineOptions { MaxBatch = maxBatch, MaxStepRows = maxStepRows, StepTokens = maxStepRows }, memory);

    private static Sequence Sequence(int prompt, int output) =>
        new(new GenerationRequest { PromptIds = new int[prompt], MaxTokens = output, StopTokenIds = Array.Empty<int>() }, Layout.PageTokens, static _ => { });

    /// <summary>What the engine does with a plan, less the model.</summary>
    private static List<(Sequence Sequence, int Rows, bool NeedsLogits)> Step(Scheduler scheduler)
    {
        List<(Sequence Sequence, int Rows, bool NeedsLogits)> segments = [];
        foreach ((Sequence sequence, int rows, bool needsLogits) in scheduler.Plan(0))
        {
            Assert.Equal(rows, sequence.NextRows(rows).Length);
            segments.Add((sequence, rows, needsLogits));
            sequence.Pages.Length += rows;
            Assert.True(sequence.Pages.Length <= sequence.Pages.Capacity);
            if (needsLogits)
                sequence.Emit(new GeneratedToken(7, 0));
        }

        List<Sequence> retired = [];
        scheduler.Retire(0, retired);
        retired.ForEach(sequence => sequence.Complete());
        return segments;
    }
}
