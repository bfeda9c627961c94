using Conclave.Engine.Sampling;

namespace Conclave.Engine.Tests.Sampling;

public sealed class NucleusTests
{
    [Theory]
    [InlineData(1, 10)]
    [InlineData(2, 1000)]
    [InlineData(3, 4096)]
    [InlineData(4, 20_000)]
    public void Keeps_exactly_what_a_sort_would_keep(int seed, int count)
    {
        float[] weights = SamplerTests.RandomLogits(seed, count, spread: 3);
        for (int i = 0; i < count; i++)
            weights[i] = i % 5 == 0 ? 0.25f : MathF.Exp(weights[i] - 9);

        foreach (double topP in new[] { 1e-9, 0.1, 0.5, 0.9, 0.99, 0.999999 })
        {
            double target = topP * weights.Sum(weight => (double)weight);
            float[] expected = new float[count];
            double passed = 0;
            foreach (int id in Enumerable.Range(0, count).OrderByDescending(id => weights[id]).ThenBy(id => id))
            {
                if (passed >= target)
                    break;
                expected[id] = weights[id];
                passed += weights[id];
            }

            float[] kept = [.. weights];
            Keep(kept, target);
            Assert.Equal(expected, kept);
        }
    }

    [Fact]
    public void A_target_beyond_the_sum_by_rounding_keeps_everything()
    {
        float[] weights = [1f, 0.3f, 0f, 1e-20f];
        Keep(weights, Math.BitIncrement(1.3) + 1e-7);
        Assert.Equal([1f, 0.3f, 0f, 1e-20f], weights);
    }

    [Fact]
    public void Of_equal_weights_the_lowest_ids_stay()
    {
        float[] weights = [0.25f, 1f, 0.25f, 0.25f];
        Keep(weights, 1.4);
        Assert.Equal([0.25f, 1f, 0.25f, 0f], weights);
    }

    private static void Keep(Span<float> weights, double target)
    {
        var padded = new float[Lanes.Padded(weights.Length)];
        weights.CopyTo(padded);
        Nucleus.Keep(padded, Lanes.Sum(padded), target, new float[padded.Length]);
        padded.AsSpan(0, weights.Length).CopyTo(weights);
    }
}
