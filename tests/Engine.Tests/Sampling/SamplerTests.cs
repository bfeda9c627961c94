using Conclave.Engine.Sampling;

namespace Conclave.Engine.Tests.Sampling;

public sealed class SamplerTests
{
    private static readonly SamplingParameters Greedy = new() { Temperature = 0 };

    [Theory]
    [InlineData(new[] { 1f, 3f, 2f }, 1)]
    [InlineData(new[] { 1f, 3f, 3f }, 1)]
    [InlineData(new[] { -0f, 0f }, 0)]
    [InlineData(new[] { float.NegativeInfinity, -1e30f }, 1)]
    [InlineData(new[] { 5f }, 0)]
    public void Greedy_takes_the_best_and_of_equal_ones_the_lowest_id(float[] logits, int expected) => Assert.Equal(expected, Choose(logits, Greedy));

    [Theory]
    [InlineData(new[] { 1f, float.NaN, 2f })]
    [InlineData(new[] { 1f, float.PositiveInfinity })]
    [InlineData(new[] { float.NegativeInfinity, float.NegativeInfinity })]
    public void Logits_from_which_nothing_can_be_chosen_are_an_error(float[] logits)
    {
        Assert.Equal(OperatingError.Internal, Assert.Throws<OperatingException>(() => Choose(logits, Greedy)).Error);
        Assert.Equal(OperatingError.Internal, Assert.Throws<OperatingException>(() => Choose(logits, new SamplingParameters())).Error);
    }

    [Fact]
    public void Penalties_count_occurrences_in_the_output()
    {
        float[] logits = [5f, 4f, 0.1f];
        int[] output = [0, 0, 1];
        Assert.Equal(0, Choose(logits, Greedy, output));
        Assert.Equal(1, Choose(logits, Greedy with { FrequencyPenalty = 1.5f }, output));
        Assert.Equal(0, Choose(logits, Greedy with { PresencePenalty = 1.5f }, output));
        Assert.Equal(2, Choose(logits, Greedy with { FrequencyPenalty = 2, PresencePenalty = 2 }, output));
        Assert.Equal(0, Choose([1f, 1.5f, 0f], Greedy with { FrequencyPenalty = -0.5f }, output));
        Assert.Equal(0, Choose([1f, 1.5f, 0f], Greedy with { FrequencyPenalty = -0.5f }, output));
    }

    [Theory]
    [InlineData(1f, 1f)]
    [InlineData(0.5f, 1f)]
    [InlineData(2f, 1f)]
    [InlineData(1f, 0.8f)]
    [InlineData(0.7f, 0.5f)]
    public void Frequencies_follow_the_distribution(float temperature, float topP)
    {
        const int Draws = 20_000;
        float[] logits = RandomLogits(seed: 5, count: 37, spread: 1.5f);
        double[] expected = ReferenceDistribution(logits, temperature, topP);
        var counts = new int[logits.Length];
        var sampling = new SamplingParameters { Temperature = temperature, TopP = topP, Seed = 77 };
        var scratch = new SamplerScratch(logits.Length);
        for (int i = 0; i < Draws; i++)
            counts[Sampler.Choose(new SamplingInput { Logits = logits, Position = i }, sampling, scratch)]++;

        for (int id = 0; id < logits.Length; id++)
        {
            double deviation = Math.Sqrt(Draws * expected[id] * (1 - expected[id]));
            Assert.InRange(counts[id], (Draws * expected[id]) - (4.5 * deviation), (Draws * expected[id]) + (4.5 * deviation));
        }
    }

    [Theory]
    [InlineData(1e-45f)]
    [InlineData(1e-30f)]
    [InlineData(1e-6f)]
    public void The_smallest_temperatures_are_greedy_and_never_fail(float temperature)
    {
        float[] logits = RandomLogits(seed: 9, count: 1000, spread: 3);
        for (int position = 0; position < 20; position++)
            Assert.Equal(Choose(logits, Greedy), Choose(logits, new SamplingParameters { Temperature = temperature }, position: position));
    }

    [Fact]
    public void Masked_tokens_are_never_drawn()
    {
        float[] logits = RandomLogits(seed: 3, count: 100, spread: 1);
        for (int id = 0; id < 100; id += 2)
            logits[id] = float.NegativeInfinity;
        for (int position = 0; position < 2000; position++)
            Assert.Equal(1, Choose(logits, new SamplingParameters { Temperature = 2 }, position: position) % 2);
    }

    [Fact]
    public void A_choice_depends_on_nothing_but_its_arguments()
    {
        var scratch = new SamplerScratch(500);
        float[] logits = RandomLogits(seed: 1, count: 500, spread: 2);
        var sampling = new SamplingParameters { TopP = 0.9f, PresencePenalty = 0.3f, Seed = 123 };
        int[] output = [3, 4];
        int[] first = [.. Enumerable.Range(0, 50).Select(position => Sampler.Choose(new SamplingInput { Logits = logits, Output = output, Position = position }, sampling, scratch))];
        int[] backwards = [.. Enumerable.Range(0, 50).Reverse().Select(position => Sampler.Choose(new SamplingInput { Logits = logits, Output = output, Position = position }, sampling, new SamplerScratch(500)))];
        Assert.Equal(first, backwards.Reverse());
        Assert.True(first.Distinct().Count() > 10);
        Assert.NotEqual(first, Enumerable.Range(0, 50).Select(position => Sampler.Choose(new SamplingInput { Logits = logits, Output = output, Position = position }, sampling with { Seed = 124 }, scratch)));
    }

    [Fact]
    public void Weights_have_these_bits_on_every_machine()
    {
        // Must hold with DOTNET_EnableAVX512=0, DOTNET_EnableAVX2=0 and DOTNET_EnableHWIntrinsic=0 too.
        float[] weights = RandomLogits(seed: 2, count: 4096, spread: 4);
        Lanes.Weigh(weights, weights, Lanes.FillMaxima(weights, new float[Lanes.BlockCount(weights.Length)]), temperature: 0.7f, least: 0);
        ulong hash = 14695981039346656037;
        foreach (float weight in weights)
            hash = (hash ^ BitConverter.SingleToUInt32Bits(weight)) * 1099511628211;
        Assert.Equal(ExpectedWeightsHash, hash);
        Assert.Equal(ExpectedSumBits, BitConverter.DoubleToUInt64Bits(Lanes.Sum(weights)));
    }

    private const ulong ExpectedWeightsHash = 14585330088078295892;
    private const ulong ExpectedSumBits = 4618956473181174845;

    [Fact]
    public void The_exponential_is_accurate()
    {
        float[] values = [.. Enumerable.Range(0, 16_000).Select(i => -i * 0.00545f)];
        float[] weights = [.. values];
        Lanes.Weigh(weights, weights, max: 0, temperature: 1, least: 0);
        for (int i = 0; i < values.Length; i++)
        {
            double exact = Math.Exp(values[i]);
            Assert.InRange(weights[i], exact * (1 - 2e-7), exact * (1 + 2e-7));
        }

        Assert.Equal(1, weights[0]);
    }

    internal static float[] RandomLogits(int seed, int count, float spread)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)((random.NextDouble() + random.NextDouble() + random.NextDouble() - 1.5) * 2 * spread))];
    }

    private static int Choose(float[] logits, SamplingParameters sampling, int[]? output = null, long position = 0) =>
        Sampler.Choose(new SamplingInput { Logits = logits, Output = output, Position = position }, sampling, new SamplerScratch(logits.Length));

    private static double[] ReferenceDistribution(float[] logits, float temperature, float topP)
    {
        double[] weights = [.. logits.Select(logit => Math.Exp((logit - logits.Max()) / temperature))];
        double total = weights.Sum();
        double passed = 0;
        var kept = new double[weights.Length];
        foreach (int id in Enumerable.Range(0, weights.Length).OrderByDescending(id => weights[id]).ThenBy(id => id))
        {
            kept[id] = weights[id];
            passed += weights[id];
            if (passed >= topP * total)
                break;
        }

        return [.. kept.Select(weight => weight / passed)];
    }
}
