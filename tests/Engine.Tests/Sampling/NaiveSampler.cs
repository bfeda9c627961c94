using Conclave.Engine.Sampling;

namespace Conclave.Engine.Tests.Sampling;

/// <summary>The sampler as one would write it first: everything in double precision, with sorts, nothing in place.</summary>
internal static class NaiveSampler
{
    /// <summary>What may be drawn, as probabilities by token id; <c>Margin</c> is how near any decision was to going the other way.</summary>
    public static (double[] Probabilities, double Margin) Distribution(SamplerCase @case)
    {
        double[] logits = Edited(@case);
        SamplingParameters sampling = @case.Sampling;
        double max = logits.Max();
        double temperature = Math.Max(sampling.Temperature, 1e-9);
        double[] weights = [.. logits.Select(logit => Math.Exp((logit - max) / temperature))];
        double margin = double.PositiveInfinity;
        if (sampling.Temperature == 0)
            return ([.. weights.Select((_, id) => id == Array.IndexOf(logits, max) ? 1.0 : 0)], Gap(logits));

        if (sampling.MinP > 0)
            margin = weights.Min(weight => weight == 1 ? 1 : Math.Abs((weight / sampling.MinP) - 1));
        int[] order = [.. Enumerable.Range(0, weights.Length).Where(id => weights[id] >= sampling.MinP && weights[id] > 0).OrderByDescending(id => logits[id]).ThenBy(id => id)];
        if (sampling.TopK > 0)
            order = [.. order.Take(sampling.TopK)];

        double total = order.Sum(id => weights[id]), passed = 0;
        var kept = new double[weights.Length];
        foreach (int id in order)
        {
            kept[id] = weights[id];
            passed += weights[id];
            if (sampling.TopP == 1)
                continue;
            margin = Math.Min(margin, Math.Abs((passed / total) - sampling.TopP));
            if (passed / total >= sampling.TopP)
                break;
        }

        return ([.. kept.Select(weight => weight / passed)], margin);
    }

    private static double[] Edited(SamplerCase @case)
    {
        double[] logits = [.. @case.Logits];
        SamplingParameters sampling = @case.Sampling;
        for (int id = 0; id < logits.Length; id++)
        {
            if (@case.Allowed is { } allowed && !allowed[id])
                logits[id] = double.NegativeInfinity;
        }

        if (Enumerable.Range(0, logits.Length).Any(id => !double.IsNegativeInfinity(logits[id]) && !@case.Barred.Contains(id)))
        {
            foreach (int id in @case.Barred)
                logits[id] = double.NegativeInfinity;
        }

        foreach ((int id, float bias) in sampling.LogitBias)
            logits[id] += bias;
        foreach (int id in @case.Prompt.Concat(@case.Output).Distinct())
            logits[id] = logits[id] > 0 ? logits[id] / sampling.RepetitionPenalty : logits[id] * sampling.RepetitionPenalty;
        foreach (IGrouping<int, int> token in @case.Output.GroupBy(id => id))
            logits[token.Key] -= (token.Count() * sampling.FrequencyPenalty) + sampling.PresencePenalty;
        return logits;
    }

    private static double Gap(double[] logits)
    {
        double[] best = [.. logits.Distinct().OrderDescending().Take(2)];
        return best.Length < 2 ? 1 : best[0] - best[1];
    }
}

/// <summary>One choice to make.</summary>
internal sealed record SamplerCase(float[] Logits, SamplingParameters Sampling)
{
    public int[] Prompt { get; init; } = [];

    public int[] Output { get; init; } = [];

    public int[] Barred { get; init; } = [];

    public bool[]? Allowed { get; init; }

    public long Position { get; init; }

    /// <summary>A case of everything at once, the same for the same seed. Logits are multiples of 1/64, so that some are equal.</summary>
    public static SamplerCase Random(int seed, int vocabulary)
    {
        var random = new Random(seed);
        float spread = random.Next(3) switch { 0 => 0.2f, 1 => 3, _ => 20 };
        float[] logits = [.. Enumerable.Range(0, vocabulary).Select(_ => MathF.Round((float)(random.NextDouble() - random.NextDouble()) * spread * 64) / 64)];
        bool[]? allowed = random.Next(2) == 0 ? null : [.. logits.Select(_ => random.Next(3) > 0)];
        if (allowed is not null)
            allowed[random.Next(vocabulary)] = true;
        return new SamplerCase(logits, RandomSampling(random, vocabulary))
        {
            Prompt = Tokens(50),
            Output = Tokens(80),
            Barred = random.Next(2) == 0 ? [] : Tokens(4),
            Allowed = allowed,
            Position = random.NextInt64(1L << 40),
        };

        int[] Tokens(int most) => [.. Enumerable.Range(0, random.Next(most)).Select(_ => random.Next(Math.Min(vocabulary, 60)))];
    }

    public int Choose(SamplerScratch? scratch = null) => Sampler.Choose(
        new SamplingInput { Logits = Logits, Prompt = Prompt, Output = Output, Barred = Barred, Allowed = Bits(), Position = Position },
        Sampling,
        scratch ?? new SamplerScratch(Logits.Length));

    private static SamplingParameters RandomSampling(Random random, int vocabulary) => new()
    {
        Temperature = random.Next(8) switch { 0 => 0, 1 => 1, 2 => 0.05f, _ => (float)random.NextDouble() * 2 },
        TopP = random.Next(3) switch { 0 => 1, 1 => 0.95f, _ => 1 - ((float)random.NextDouble() * 0.999f) },
        TopK = random.Next(3) switch { 0 => 0, 1 => random.Next(1, 12), _ => random.Next(1, vocabulary + 2) },
        MinP = random.Next(3) switch { 0 => 0, 1 => 0.05f, _ => (float)random.NextDouble() },
        RepetitionPenalty = random.Next(2) == 0 ? 1 : 0.7f + (float)random.NextDouble(),
        FrequencyPenalty = random.Next(2) == 0 ? 0 : ((float)random.NextDouble() * 4) - 2,
        PresencePenalty = random.Next(2) == 0 ? 0 : ((float)random.NextDouble() * 4) - 2,
        LogitBias = [.. Enumerable.Range(0, random.Next(5)).Select(_ => random.Next(vocabulary)).Distinct().Select(id => new TokenBias(id, ((float)random.NextDouble() * 20) - 10))],
        Seed = (ulong)random.NextInt64(),
    };

    private uint[]? Bits()
    {
        if (Allowed is null)
            return null;
        var bits = new uint[(Allowed.Length + 31) / 32];
        for (int id = 0; id < Allowed.Length; id++)
            bits[id / 32] |= Allowed[id] ? 1u << (id % 32) : 0;
        return bits;
    }
}
