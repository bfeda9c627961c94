namespace Conclave.Engine.Sampling;

/// <summary>What changes logits before one of them is chosen, in order: mask, barred tokens, bias, penalties.</summary>
internal static class LogitEdits
{
    /// <summary>Applies all of them to <paramref name="logits"/>, which begin as those of <paramref name="input"/>.</summary>
    /// <param name="logits"><c>[vocabulary]</c> or longer.</param>
    /// <param name="input">Mask, barred tokens and the text so far.</param>
    /// <param name="parameters">Bias and penalties.</param>
    /// <param name="occurrences">Working memory <c>[vocabulary]</c>; all 0 between calls.</param>
    public static void Apply(Span<float> logits, in SamplingInput input, SamplingParameters parameters, Span<int> occurrences)
    {
        int vocabulary = input.Logits.Length;
        if (!input.Allowed.IsEmpty)
            Mask(logits[..vocabulary], input.Allowed);
        if (!input.Barred.IsEmpty)
            Bar(logits[..vocabulary], input.Barred);
        foreach ((int id, float bias) in parameters.LogitBias)
            logits[id] += bias;
        if (parameters.RepetitionPenalty != 1)
            PenalizeRepetition(logits, input, parameters.RepetitionPenalty, occurrences);
        if (parameters.FrequencyPenalty != 0 || parameters.PresencePenalty != 0)
            PenalizeOutput(logits, input.Output, parameters, occurrences);
    }

    private static void Mask(Span<float> logits, ReadOnlySpan<uint> allowed)
    {
        for (int id = 0; id < logits.Length; id++)
        {
            if ((allowed[id >> 5] >> (id & 31) & 1) == 0)
                logits[id] = float.NegativeInfinity;
        }
    }

    /// <summary>Excludes <paramref name="barred"/> unless they are all there is: text that its grammar ends here cannot go on.</summary>
    private static void Bar(Span<float> logits, ReadOnlySpan<int> barred)
    {
        for (int id = 0; id < logits.Length; id++)
        {
            if (logits[id] == float.NegativeInfinity || barred.Contains(id))
                continue;
            foreach (int end in barred)
            {
                // A tokenizer may know end tokens that the model cannot say.
                if ((uint)end < (uint)logits.Length)
                    logits[end] = float.NegativeInfinity;
            }

            return;
        }
    }

    private static void PenalizeRepetition(Span<float> logits, in SamplingInput input, float penalty, Span<int> seen)
    {
        foreach (int id in input.Prompt)
            PenalizeOnce(logits, id, penalty, seen);
        foreach (GeneratedToken token in input.Output)
            PenalizeOnce(logits, token.Id, penalty, seen);
        foreach (int id in input.Prompt)
            seen[id] = 0;
        foreach (GeneratedToken token in input.Output)
            seen[token.Id] = 0;
    }

    private static void PenalizeOnce(Span<float> logits, int id, float penalty, Span<int> seen)
    {
        if (seen[id]++ == 0)
            logits[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty;
    }

    /// <summary>Subtracts <c>occurrences * frequency + presence</c> from the logit of every token that occurs in the output.</summary>
    private static void PenalizeOutput(Span<float> logits, ReadOnlySpan<GeneratedToken> output, SamplingParameters parameters, Span<int> occurrences)
    {
        foreach (GeneratedToken token in output)
            occurrences[token.Id]++;
        foreach (GeneratedToken token in output)
        {
            int count = occurrences[token.Id];
            if (count == 0)
                continue;
            logits[token.Id] -= (count * parameters.FrequencyPenalty) + parameters.PresencePenalty;
            occurrences[token.Id] = 0;
        }
    }
}
