using Conclave.Engine.Sampling;

namespace Conclave.Engine;

/// <summary>The one place where logits and the state of a sequence become its next token. One thread at a time; nothing is allocated after construction.</summary>
internal sealed class TokenChooser(int vocabularySize)
{
    private readonly SamplerScratch _scratch = new(vocabularySize);
    private readonly uint[] _allowed = new uint[(vocabularySize + 31) / 32];

    /// <summary>The next token of <paramref name="sequence"/>, whose alternatives are filled in: a pure function of the logits, the parameters and the tokens so far.</summary>
    /// <exception cref="OperatingException">No token can be chosen from these logits.</exception>
    public GeneratedToken Choose(Sequence sequence, ReadOnlySpan<float> logits)
    {
        SamplingParameters sampling = sequence.Request.Sampling;
        int id = Sampler.Choose(sequence.NextChoice(logits, Allowed(sequence)), sampling, _scratch);
        if (sampling.TopLogprobs < 0)
            return new GeneratedToken(id, 0);
        float logSumExp = LogProbabilities.LogSumExp(logits, _scratch);
        LogProbabilities.Top(logits, logSumExp, sequence.NextAlternatives, _scratch);
        return new GeneratedToken(id, logits[id] - logSumExp);
    }

    /// <summary>
    /// A guess at the token behind the drafts of <paramref name="sequence"/>: what would be chosen if these were the model's logits, with the very draw that
    /// will choose. -1 if no token can be chosen from them.
    /// </summary>
    public int Guess(Sequence sequence, ReadOnlySpan<float> logits)
    {
        // Where the grammar will be behind a draft is known only once the draft is a token.
        SamplingInput input = sequence.NextChoice(logits, sequence.DraftCount == 0 ? Allowed(sequence) : default);
        try
        {
            return Sampler.Choose(input with { Position = input.Position + sequence.DraftCount }, sequence.Request.Sampling, _scratch);
        }
        catch (OperatingException)
        {
            // Logits that are no numbers are nothing to fail a sequence for as long as they are only for a guess.
            return -1;
        }
    }

    /// <summary>What the grammar of <paramref name="sequence"/> allows next; empty where it has none.</summary>
    private ReadOnlySpan<uint> Allowed(Sequence sequence)
    {
        if (sequence.Grammar is not { } grammar)
            return default;
        grammar.FillMask(_allowed);
        return _allowed;
    }
}
