namespace Conclave.Engine.Sampling;

/// <summary>Log probabilities as reported to callers: of the model's own distribution, before penalties, temperature and truncation.</summary>
public static class LogProbabilities
{
    /// <summary><c>ln(sum(exp(logits)))</c>: a token's log probability is its logit less this.</summary>
    public static float LogSumExp(ReadOnlySpan<float> logits, SamplerScratch scratch)
    {
        Span<float> weights = scratch.Weights;
        logits.CopyTo(weights);
        weights[logits.Length..].Fill(float.NegativeInfinity);
        float max = Sampler.Max(weights);
        Sampler.ToWeights(weights, max, temperature: 1);
        return (float)(max + Math.Log(Sampler.Sum(weights)));
    }

    /// <summary>Fills <paramref name="best"/> (at most one entry a token) with the most probable tokens, highest first, of equal ones the lowest id first.</summary>
    public static void Top(ReadOnlySpan<float> logits, float logSumExp, Span<GeneratedToken> best)
    {
        int count = 0;
        for (int id = 0; id < logits.Length && !best.IsEmpty; id++)
        {
            if (count == best.Length && logits[id] <= best[^1].Logprob)
                continue;

            int place = count < best.Length ? count++ : count - 1;
            for (; place > 0 && logits[id] > best[place - 1].Logprob; place--)
                best[place] = best[place - 1];
            best[place] = new GeneratedToken(id, logits[id]);
        }

        for (int i = 0; i < count; i++)
            best[i] = best[i] with { Logprob = best[i].Logprob - logSumExp };
    }
}
