using Conclave.Engine.Speculation;

namespace Conclave.Engine.Tests.Speculation;

/// <summary>The number of drafts follows what steps cost and how often drafts are right.</summary>
public sealed class DraftPolicyTests
{
    [Theory]
    [InlineData(0.95, 0.1, 0.05, 1, 3)] // rows cost little
    [InlineData(0.70, 4.0, 0.05, 1, 0)] // a row costs as much as a step
    [InlineData(0.02, 0.1, 0.05, 1, 0)] // hardly ever right
    [InlineData(0.60, 0.1, 0.20, 1, 1)] // a second one is right too seldom
    [InlineData(0.95, 0.1, 0.05, 32, 0)] // many rows at once: each costs
    public void The_best_rate_wins(double acceptance, double perRow, double perPass, int sequences, int expected)
    {
        var policy = new DraftPolicy(SpeculationOptions.Auto, 256, 32);
        var random = new Random(1);
        int[] counts = new int[4];
        for (int step = 0; step < 3000; step++)
        {
            int drafts = policy.Next(sequences);
            Run(policy, random, drafts, sequences, acceptance, rows => 1 + (perRow * rows) + (sequences > 8 ? rows : 0), perPass);
            if (step >= 1000)
                counts[drafts]++;
        }

        Assert.Equal(expected, policy.Best);
        Assert.InRange(counts[expected], 1800, 2000);
        Assert.InRange(counts.Sum() - counts[expected], 1, 200);
    }

    [Fact]
    public void It_changes_its_mind_when_the_text_or_the_load_does()
    {
        var policy = new DraftPolicy(SpeculationOptions.Auto, 256, 32);
        var random = new Random(2);
        foreach ((int sequences, double acceptance, bool pays) in new[] { (1, 0.9, true), (16, 0.9, false), (1, 0.9, true), (1, 0.02, false), (1, 0.95, true) })
        {
            for (int step = 0; step < 6000; step++)
                Run(policy, random, policy.Next(sequences), sequences, acceptance, rows => rows < 8 ? 2 + (0.1 * rows) : rows, 0.1);
            Assert.Equal(pays, policy.Best > 0);
        }
    }

    [Theory]
    [InlineData(50, true)]
    [InlineData(2, false)]
    public void What_the_module_takes_for_prompts_is_borne_by_the_tokens_of_answers(int answerTokens, bool pays)
    {
        var policy = new DraftPolicy(SpeculationOptions.Auto, 256, 32);
        var random = new Random(3);
        int decoded = 0;
        for (int step = 0; step < 6000; step++)
        {
            int drafts = policy.Next(1);
            Run(policy, random, drafts, 1, 0.9, rows => 2 + (0.1 * rows), 0.1);
            policy.RecordWork(promptRows: 0, tokens: 1);
            if (++decoded % answerTokens != 0)
                continue;
            policy.RecordWork(promptRows: 100, tokens: 1);
            if (drafts > 0)
                policy.RecordPromptDrafting(100, 1, drafts, 100 * 0.05);
        }

        Assert.Equal(pays, policy.Best > 0);
    }

    [Fact]
    public void Hiccups_do_not_count()
    {
        var times = new StepTimes(8);
        for (int i = 0; i < 50; i++)
            times.Add(4, 2);
        times.Add(4, 1000);
        Assert.InRange(times.Estimate(4), 2, 2.5);
    }

    [Fact]
    public void Sizes_never_seen_are_judged_by_those_around()
    {
        var times = new StepTimes(8);
        Assert.Equal(0, times.Estimate(3));
        times.Add(2, 1);
        Assert.Equal((1, 1, 4), (times.Estimate(1), times.Estimate(2), times.Estimate(8)));
        times.Add(6, 3);
        Assert.Equal((1.5, 4), (times.Estimate(3), times.Estimate(8)));
    }

    [Fact]
    public void A_fixed_number_stays()
    {
        var policy = new DraftPolicy(SpeculationOptions.Always(2), 64, 8);
        for (int step = 0; step < 300; step++)
        {
            Assert.Equal(2, policy.Next(step % 8));
            policy.RecordDrafts(0, nextWasWrong: true);
            policy.RecordStep(3, 100);
            policy.RecordDrafting(1, 2, 100);
        }
    }

    /// <summary>One step with drafts of the given acceptance, in a time by its rows.</summary>
    private static void Run(DraftPolicy policy, Random random, int drafts, int sequences, double acceptance, Func<int, double> step, double perPass)
    {
        for (int i = 0; i < sequences; i++)
        {
            int right = 0;
            while (right < drafts && random.NextDouble() < acceptance)
                right++;
            policy.RecordDrafts(right, right < drafts);
        }

        policy.RecordStep(sequences * (1 + drafts), step(sequences * (1 + drafts)));
        if (drafts > 0)
            policy.RecordDrafting(sequences, drafts, drafts * perPass);
    }
}
