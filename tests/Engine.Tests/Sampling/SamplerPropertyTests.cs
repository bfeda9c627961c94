using Conclave.Engine.Sampling;
using FsCheck;
using FsCheck.Fluent;

namespace Conclave.Engine.Tests.Sampling;

/// <summary>What holds for every choice, and that it is the one which the naive sampler makes.</summary>
public sealed class SamplerPropertyTests
{
    private static readonly Arbitrary<SamplerCase> Cases =
        (from seed in Gen.Choose(0, int.MaxValue)
         from vocabulary in Gen.OneOf(Gen.Choose(1, 40), Gen.Choose(41, 700), Gen.Elements(64, 1024, 2048, 5000))
         select SamplerCase.Random(seed, vocabulary)).ToArbitrary();

    /// <summary>Draws where either of single and double precision may be right are no test, and must be rare.</summary>
    [Fact]
    public void Chooses_what_the_naive_sampler_chooses()
    {
        int decided = 0, undecided = 0;
        Check(@case =>
        {
            (double[] probabilities, double margin) = NaiveSampler.Distribution(@case);
            double draw = Philox.Uniform(@case.Sampling.Seed, @case.Position), passed = 0;
            int expected = -1;
            for (int id = 0; id < probabilities.Length; id++)
            {
                passed += probabilities[id];
                margin = probabilities[id] == 1 ? margin : Math.Min(margin, Math.Abs(passed - draw));
                if (expected < 0 && passed > draw)
                    expected = id;
            }

            if (margin < 1e-5)
            {
                undecided++;
                return true;
            }

            decided++;
            return expected == @case.Choose();
        });
        Assert.True(decided > 20 * undecided, $"{undecided} of {decided + undecided} are too near");
    }

    [Fact]
    public void Nothing_is_chosen_that_is_masked_or_barred_while_something_else_is_left() => Check(@case =>
    {
        int id = @case.Choose();
        bool isAllowed = @case.Allowed is null || @case.Allowed[id];
        bool hasOther = Enumerable.Range(0, @case.Logits.Length).Any(other => @case.Allowed?[other] != false && !@case.Barred.Contains(other));
        return isAllowed && (!hasOther || !@case.Barred.Contains(id));
    });

    [Fact]
    public void One_candidate_is_the_greedy_choice() => Check(@case =>
    {
        int greedy = (@case with { Sampling = @case.Sampling with { Temperature = 0 } }).Choose();
        return greedy == (@case with { Sampling = @case.Sampling with { TopK = 1, Temperature = 1.5f } }).Choose()
            && greedy == (@case with { Sampling = @case.Sampling with { TopP = float.Epsilon, Temperature = 1.5f, MinP = 0 } }).Choose();
    });

    [Fact]
    public void Working_memory_leaves_no_trace()
    {
        var scratch = new SamplerScratch(5000);
        Check(@case =>
        {
            // The same memory for all of one size; other sizes get their own.
            SamplerCase sized = @case with { Logits = [.. @case.Logits, .. Enumerable.Repeat(float.NegativeInfinity, 5000 - @case.Logits.Length)], Allowed = null };
            return sized.Choose(scratch) == sized.Choose();
        });
    }

    [Fact]
    public void The_largest_are_those_of_a_sort() => Check(@case =>
    {
        float[] logits = @case.Logits;
        int count = Math.Max(1, @case.Sampling.TopK);
        var (maxima, kept, ids) = (new float[Lanes.BlockCount(logits.Length)], new float[logits.Length], new int[logits.Length]);
        Lanes.FillMaxima(logits, maxima);
        int found = Largest.Select(logits, maxima, count, kept, ids, new int[logits.Length]);
        IEnumerable<int> expected = Enumerable.Range(0, logits.Length).OrderByDescending(id => logits[id]).ThenBy(id => id).Take(count).Order();
        return expected.SequenceEqual(ids[..found]) && ids[..found].Select(id => logits[id]).SequenceEqual(kept[..found]);
    });

    // The same cases every time.
    private static void Check(Func<SamplerCase, bool> holds) =>
        Prop.ForAll(Cases, holds).Check(Config.QuickThrowOnFailure.WithMaxTest(600).WithReplay(new Replay(new Rnd(7, 1), null)));
}
