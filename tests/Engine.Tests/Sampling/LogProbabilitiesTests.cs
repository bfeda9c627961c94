using Conclave.Engine.Sampling;

namespace Conclave.Engine.Tests.Sampling;

public sealed class LogProbabilitiesTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(16)]
    [InlineData(1001)]
    public void Agree_with_double_precision(int count)
    {
        float[] logits = SamplerTests.RandomLogits(seed: 4, count, spread: 5);
        double exact = Math.Log(logits.Sum(logit => Math.Exp(logit)));
        Assert.Equal(exact, LogProbabilities.LogSumExp(logits, new SamplerScratch(count)), 1e-5);
    }

    [Fact]
    public void Survive_large_logits() =>
        Assert.Equal(10_000f, LogProbabilities.LogSumExp([10_000f, -10_000f, float.NegativeInfinity], new SamplerScratch(3)));

    [Fact]
    public void The_top_is_sorted_and_ties_go_to_the_lowest_id()
    {
        float[] logits = [1f, 5f, 3f, 5f, 0f, 3f, 3f];
        var best = new GeneratedToken[4];
        LogProbabilities.Top(logits, logSumExp: 6, best, new SamplerScratch(7));
        Assert.Equal([new(1, -1), new(3, -1), new(2, -3), new(5, -3)], best);
    }

    [Fact]
    public void The_top_of_many_agrees_with_a_sort()
    {
        float[] logits = SamplerTests.RandomLogits(seed: 6, count: 5000, spread: 2);
        var best = new GeneratedToken[20];
        LogProbabilities.Top(logits, logSumExp: 0, best, new SamplerScratch(5000));
        Assert.Equal(Enumerable.Range(0, 5000).OrderByDescending(id => logits[id]).Take(20), best.Select(token => token.Id));
    }
}
