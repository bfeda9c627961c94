namespace Conclave.Engine.Sampling;

/// <summary>
/// Chooses the next token. The choice is a pure function of the logits, the text so far, the parameters and the position: never of the
/// batch, the machine or earlier draws. Every sum runs in a fixed order and no library function with machine-dependent bits is used.
/// </summary>
public static class Sampler
{
    /// <summary>Temperatures below this are 0, as in vLLM (<c>_SAMPLING_EPS</c>).</summary>
    public const float LeastTemperature = 1e-5f;

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
        ReadOnlySpan<float> logits = LogitEdits.Apply(input, parameters, scratch);
        float max = Lanes.FillMaxima(logits, scratch.Maxima);
        if (!float.IsFinite(max))
            ThrowUnusable(max);
        if (parameters.Temperature < LeastTemperature)
            return Lanes.FirstOf(logits, max, scratch.Maxima);

        // By rank before weights are known: the same tokens as after min-p, and most of the work is for few tokens then.
        ReadOnlySpan<int> ids = default;
        if (parameters.TopK > 0 && parameters.TopK < logits.Length)
        {
            int count = Largest.Select(logits, scratch.Maxima, parameters.TopK, scratch.Kept, scratch.Ids, scratch.Positions);
            logits = scratch.Kept.AsSpan(0, count);
            ids = scratch.Ids;
        }

        Span<float> weights = scratch.Weights.AsSpan(0, Lanes.Padded(logits.Length));
        Lanes.Weigh(logits, weights, max, parameters.Temperature, parameters.MinP);
        double mass = Lanes.Sum(weights);
        if (parameters.TopP < 1)
        {
            Nucleus.Keep(weights, mass, mass * parameters.TopP, scratch.Kept);
            mass = Lanes.Sum(weights);
        }

        int place = Draw(weights, mass * Philox.Uniform(parameters.Seed, input.Position));
        return ids.IsEmpty ? place : ids[place];
    }

    /// <summary>The first place at which the weights, added as <see cref="Lanes.Sum"/> does and within a partial sum in order, pass <paramref name="target"/>.</summary>
    private static int Draw(ReadOnlySpan<float> weights, double target)
    {
        double passed = 0;
        for (int start = 0; start < weights.Length; start += Lanes.SumLength)
        {
            double next = passed + Lanes.PartialSum(weights, start);
            if (next > target)
                return DrawWithin(weights, start, passed, target);
            passed = next;
        }

        // Rounding left a sliver beyond the last token.
        return weights.LastIndexOfAnyExcept(0);
    }

    private static int DrawWithin(ReadOnlySpan<float> weights, int start, double passed, double target)
    {
        int last = start;
        int end = Math.Min(start + Lanes.SumLength, weights.Length);
        for (int place = start; place < end; place++)
        {
            if (weights[place] == 0)
                continue;
            passed += weights[place];
            last = place;
            if (passed > target)
                break;
        }

        return last;
    }

    private static void ThrowUnusable(float max) => throw new OperatingException(
        OperatingError.Internal, $"No token can be chosen: the largest logit is {max}. Weights that are not numbers, or a mask that leaves nothing, cause this.");
}
