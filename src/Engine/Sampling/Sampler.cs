using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Conclave.Model.Kernels;

namespace Conclave.Engine.Sampling;

/// <summary>Working memory of <see cref="Sampler"/>: one per thread that samples.</summary>
public sealed class SamplerScratch
{
    /// <summary>Makes working memory for logits of <paramref name="vocabularySize"/> tokens.</summary>
    public SamplerScratch(int vocabularySize)
    {
        int width = Vector512<float>.Count;
        Weights = new float[(vocabularySize + width - 1) / width * width];
        Occurrences = new int[vocabularySize];
        Buckets = new double[Nucleus.BucketCount];
    }

    /// <summary>One weight a token, padded with zero weights to whole vectors.</summary>
    internal float[] Weights { get; }

    /// <summary>Times each token occurs; all 0 between calls.</summary>
    internal int[] Occurrences { get; }

    /// <summary>Probability mass by weight.</summary>
    internal double[] Buckets { get; }
}

/// <summary>
/// Chooses the next token. The choice is a pure function of the logits, the output so far, the parameters and the position: never of the
/// batch, the machine or earlier draws. Every sum runs in a fixed order and no library function with machine-dependent bits is used.
/// </summary>
public static class Sampler
{
    /// <summary>
    /// The token to emit. Everything is done in the order of vLLM's sampler (<c>vllm/v1/sample/sampler.py</c>), which for what both have is Hugging Face's: mask, end tokens
    /// before their time, logit bias, repetition, frequency and presence penalty, temperature (0 takes the best logit, ties the lowest id), min-p, top-k, top-p over
    /// what these left, and a draw keyed by <see cref="SamplingParameters.Seed"/> and <see cref="SamplingInput.Position"/>.
    /// </summary>
    /// <param name="input">What the choice depends on.</param>
    /// <param name="parameters">Validated parameters.</param>
    /// <param name="scratch">Working memory for this vocabulary.</param>
    /// <exception cref="OperatingException">With <see cref="OperatingError.Internal"/>: a logit is NaN or positive infinity, or all are masked.</exception>
    public static int Choose(in SamplingInput input, SamplingParameters parameters, SamplerScratch scratch)
    {
        Span<float> weights = scratch.Weights;
        input.Logits.CopyTo(weights);
        weights[input.Logits.Length..].Fill(float.NegativeInfinity);
        LogitEdits.Apply(weights, input, parameters, scratch.Occurrences);

        float max = Max(weights);
        if (!float.IsFinite(max))
            ThrowUnusable(max);
        if (parameters.Temperature == 0)
            return weights.IndexOf(max);

        ToWeights(weights, max, parameters.Temperature);
        double mass = Sum(weights);
        if (parameters.TopP < 1)
            mass = Nucleus.Keep(weights, mass * parameters.TopP, scratch.Buckets);
        return Draw(weights, mass * Philox.Uniform(parameters.Seed, input.Position));
    }

    /// <summary>The largest of <paramref name="values"/>, whose length is whole vectors.</summary>
    internal static float Max(ReadOnlySpan<float> values)
    {
        ReadOnlySpan<Vector512<float>> vectors = MemoryMarshal.Cast<float, Vector512<float>>(values);
        Vector512<float> best = vectors[0];
        foreach (Vector512<float> vector in vectors)
            best = Vector512.Max(best, vector);

        float max = best[0];
        for (int i = 1; i < Vector512<float>.Count; i++)
            max = MathF.Max(max, best[i]);
        return max;
    }

    /// <summary>The sum of <paramref name="values"/> (whole vectors) in double precision: sixteen lanes, then the lanes in order.</summary>
    internal static double Sum(ReadOnlySpan<float> values)
    {
        Vector512<double> low = Vector512<double>.Zero;
        Vector512<double> high = Vector512<double>.Zero;
        foreach (Vector512<float> vector in MemoryMarshal.Cast<float, Vector512<float>>(values))
        {
            (Vector512<double> lower, Vector512<double> upper) = Vector512.Widen(vector);
            low += lower;
            high += upper;
        }

        Vector512<double> lanes = low + high;
        double sum = 0;
        for (int i = 0; i < Vector512<double>.Count; i++)
            sum += lanes[i];
        return sum;
    }

    /// <summary>Logits to <c>exp((logit - max) / temperature)</c>, in place.</summary>
    internal static void ToWeights(Span<float> values, float max, float temperature)
    {
        // A division, not a product with the reciprocal: that is infinite for the smallest temperatures.
        Vector512<float> maxima = Vector512.Create(max);
        Vector512<float> temperatures = Vector512.Create(temperature);
        foreach (ref Vector512<float> vector in MemoryMarshal.Cast<float, Vector512<float>>(values))
            vector = Elementwise.Exp<Vector512Lanes, Vector512<float>>((vector - maxima) / temperatures);
    }

    /// <summary>The first token at which the weights, added in order of id, pass <paramref name="target"/>.</summary>
    private static int Draw(ReadOnlySpan<float> weights, double target)
    {
        double passed = 0;
        int last = 0;
        for (int id = 0; id < weights.Length; id++)
        {
            if (weights[id] == 0)
                continue;
            passed += weights[id];
            if (passed > target)
                return id;
            last = id;
        }

        // Rounding of the sums left a sliver beyond the last token.
        return last;
    }

    private static void ThrowUnusable(float max) => throw new OperatingException(
        OperatingError.Internal, $"No token can be chosen: the largest logit is {max}. Weights that are not numbers, or a mask that leaves nothing, cause this.");
}
