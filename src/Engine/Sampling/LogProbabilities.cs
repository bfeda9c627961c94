namespace Conclave.Engine.Sampling;

/// <summary>Log probabilities as reported to callers: of the model's own distribution, before mask, bias, penalties, temperature and truncation.</summary>
public static class LogProbabilities
{
    /// <summary><c>ln(sum(exp(logits)))</c>: a token's log probability is its logit less this.</summary>
    public static float LogSumExp(ReadOnlySpan<float> logits, SamplerScratch scratch)
    {
        float max = Lanes.FillMaxima(logits, scratch.Maxima);
        Span<float> weights = scratch.Weights.AsSpan(0, Lanes.Padded(logits.Length));
        Lanes.Weigh(logits, weights, max, temperature: 1, least: 0);
        return (float)(max + Math.Log(Lanes.Sum(weights)));
    }

    /// <summary>Fills <paramref name="best"/> (at most one entry a token) with the most probable tokens, highest first, of equal ones the lowest id first.</summary>
    public static void Top(ReadOnlySpan<float> logits, float logSumExp, Span<GeneratedToken> best, SamplerScratch scratch)
    {
        if (best.IsEmpty)
            return;
        Lanes.FillMaxima(logits, scratch.Maxima);
        int count = Largest.Select(logits, scratch.Maxima, best.Length, scratch.Weights, scratch.Ids, scratch.Positions);
        for (int i = 0; i < count; i++)
        {
            // An insertion sort of few, which keeps the order of equal ones.
            int place = i;
            for (; place > 0 && scratch.Weights[i] > best[place - 1].Logprob; place--)
                best[place] = best[place - 1];
            best[place] = new GeneratedToken(scratch.Ids[i], scratch.Weights[i]);
        }

        for (int i = 0; i < count; i++)
            best[i] = best[i] with { Logprob = best[i].Logprob - logSumExp };
    }
}
