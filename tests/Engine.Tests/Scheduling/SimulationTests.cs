using Conclave.Engine.Scheduling;

namespace Conclave.Engine.Tests.Scheduling;

/// <summary>Thousands of random arrivals, priorities, keys, cancellations, deadlines, drafts and page shortages, with everything that must hold asserted in every step.</summary>
public sealed class SimulationTests
{
    private const int Seeds = 60;

    public static TheoryData<int> AllSeeds => [.. Enumerable.Range(1, Seeds)];

    [Theory]
    [MemberData(nameof(AllSeeds))]
    public void Random_traffic_keeps_every_promise(int seed)
    {
        var random = new Random(seed);
        int pageCount = random.Next(3, 30), maxBatch = random.Next(1, 12), maxStepRows = maxBatch + random.Next(1, 120);
        var options = new EngineOptions
        {
            MaxBatch = maxBatch,
            MaxStepRows = maxStepRows,
            StepTokens = random.Next(2) == 0 ? 0 : random.Next(maxBatch, maxStepRows + 1),
            AgingMs = random.Next(1, 5_000),
        };
        using var engine = new SimulatedEngine(options, pageCount);
        int drafts = random.Next(4);
        List<Sequence> arrived = [];
        HashSet<Sequence> cancelled = [];
        for (int step = 0; step < 250 || engine.Live.Count > 0; step++)
        {
            Assert.True(step < 200_000, "everyone ends");
            engine.NowMs += random.Next(0, 100);
            engine.Scheduler.RecordStep(random.Next(1, 600));
            for (int i = random.Next(4); i > 0 && step < 250; i--)
                arrived.Add(engine.Submit(RandomRequest(random, pageCount)));
            if (random.Next(10) == 0 && engine.Live.Count > 0)
            {
                Sequence victim = engine.Live[random.Next(engine.Live.Count)];
                if (victim.FinishReason == FinishReason.None)
                    cancelled.Add(victim);
                victim.Dispose();
            }

            engine.Step(_ => (random.Next(drafts + 1), random.Next(drafts + 1)));
        }

        Assert.Equal((0, pageCount), (engine.Memory.HeldCount, engine.Memory.AvailableCount));
        foreach (Sequence sequence in arrived)
        {
            int[] expected = SimulatedEngine.Expected(sequence.Request), output = [.. sequence.Output.ToArray().Select(token => token.Id)];
            bool isCut = cancelled.Contains(sequence) || sequence.FinishReason == FinishReason.Failed;
            Assert.Equal(isCut ? expected[..output.Length] : expected, output);
            FinishReason whole = expected.Length == sequence.Request.MaxTokens ? FinishReason.Length : FinishReason.Stop;
            Assert.True(cancelled.Contains(sequence) ? sequence.FinishReason == FinishReason.Cancelled
                : sequence.FinishReason == whole || (sequence.FinishReason == FinishReason.Failed && sequence.Request.Deadline is not null));
        }
    }

    [Fact]
    public void Shortages_do_happen_in_these_simulations_and_are_overcome()
    {
        using var engine = new SimulatedEngine(new EngineOptions { MaxBatch = 8, MaxStepRows = 64, StepTokens = 64 }, pageCount: 8);
        for (int i = 0; i < 8; i++)
            engine.Submit(Request(new Random(i), prompt: 60, maxTokens: 200));
        while (engine.Live.Count > 0)
            engine.Step();
        Assert.InRange(engine.Scheduler.Preemptions, 1, 200);
        Assert.InRange(engine.Scheduler.RecomputedTokens + engine.Scheduler.RestoredTokens, 60, 100_000);
    }

    /// <summary>
    /// The bound of the paper: of keys that have sequences waiting all the time, none is ahead of another by more than twice what one prompt, or the output of a whole batch, costs.
    /// </summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Busy_keys_are_served_alike(int seed)
    {
        const int maxBatch = 4, maxPrompt = 120, maxTokens = 60;
        var random = new Random(seed);
        using var engine = new SimulatedEngine(new EngineOptions { MaxBatch = maxBatch, MaxStepRows = 64, StepTokens = 64 }, pageCount: 64);
        string[] keys = ["eager", "modest", "late"];
        List<Sequence>[] open = [[], [], []];
        long bound = 2 * Math.Max(FairShare.PromptWeight * maxPrompt, FairShare.OutputWeight * maxBatch * maxTokens);
        for (int step = 0; step < 1500; step++)
        {
            for (int key = 0; key < keys.Length; key++)
            {
                open[key].RemoveAll(sequence => sequence.FinishReason != FinishReason.None);
                int wanted = key == 0 ? 40 : 5;
                while (open[key].Count < wanted && (key < 2 || step > 500))
                    open[key].Add(engine.Submit(Request(random, random.Next(1, key == 0 ? maxPrompt : 20), random.Next(1, maxTokens)) with { FairnessKey = keys[key] }));
            }

            engine.Step();
            long[] served = [.. open.Where(all => all.Count > 0).Select(all => all[0].Standing.Account.Served)];
            Assert.InRange(served.Max() - served.Min(), 0, bound);
        }
    }

    /// <summary>A stream of urgent sequences that would fill the batch for ever, and one that is not: it waits as long as its levels are worth, and a sequence's time more.</summary>
    [Fact]
    public void Nobody_starves_behind_higher_priorities()
    {
        using var engine = new SimulatedEngine(new EngineOptions { MaxBatch = 2, MaxStepRows = 64, StepTokens = 64, AgingMs = 1000 }, pageCount: 32);
        var random = new Random(4);
        Sequence low = engine.Submit(Request(random, 20, 20) with { Priority = -3 });
        while (low.FinishReason == FinishReason.None)
        {
            while (engine.Live.Count < 8)
                engine.Submit(Request(random, 20, 40) with { Priority = 2 });
            engine.NowMs += 10;
            engine.Step();
            Assert.True(engine.NowMs < 10_000);
        }

        Assert.True(engine.NowMs > 4_000, "the urgent ones do go first");
    }

    private static GenerationRequest RandomRequest(Random random, int pageCount)
    {
        int total = random.Next(2, (random.Next(5) == 0 ? pageCount : Math.Min(pageCount, 3)) * 64);
        int prompt = random.Next(1, total);
        return Request(random, prompt, total - prompt) with
        {
            Priority = random.Next(-2, 3),
            FairnessKey = $"key {random.Next(4)}",
            CacheScope = random.Next(3) == 0 ? "own" : "",
            Deadline = random.Next(8) == 0 ? TimeSpan.FromMilliseconds(random.Next(1, 20_000)) : null,
        };
    }

    /// <summary>Prompts of three families, so that many begin alike.</summary>
    private static GenerationRequest Request(Random random, int prompt, int maxTokens)
    {
        int family = random.Next(3), own = random.Next(prompt);
        return new GenerationRequest
        {
            PromptIds = [.. Enumerable.Range(0, prompt).Select(i => i < own ? (i * (family + 3)) % 31 : random.Next(31))],
            MaxTokens = maxTokens,
            StopTokenIds = random.Next(2) == 0 ? new[] { SimulatedEngine.StopToken } : Array.Empty<int>(),
        };
    }
}
