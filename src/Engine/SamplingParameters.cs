namespace Conclave.Engine;

/// <summary>How the next token is chosen. Values are validated by <see cref="Validate"/>; each default changes nothing.</summary>
public sealed record SamplingParameters
{
    /// <summary>Most entries of <see cref="LogitBias"/>.</summary>
    public const int MaxLogitBiases = 1024;

    /// <summary>0 (greedy) to 2.</summary>
    public float Temperature { get; init; } = 1;

    /// <summary>Nucleus mass, above 0 to 1.</summary>
    public float TopP { get; init; } = 1;

    /// <summary>Only the so many most probable tokens may be drawn; 0: all.</summary>
    public int TopK { get; init; }

    /// <summary>0 to 1: only tokens at least this times as probable as the most probable one may be drawn; 0: all.</summary>
    public float MinP { get; init; }

    /// <summary>
    /// 0.01 to 100; 1: none. Logits of tokens that occur in prompt or output are divided by this if above 0, else multiplied (Keskar et al., arXiv 1909.05858,
    /// as Hugging Face and vLLM do it).
    /// </summary>
    public float RepetitionPenalty { get; init; } = 1;

    /// <summary>-2 to 2: subtracted once per earlier occurrence of the token in the output.</summary>
    public float FrequencyPenalty { get; init; }

    /// <summary>-2 to 2: subtracted once if the token occurs in the output.</summary>
    public float PresencePenalty { get; init; }

    /// <summary>Added to logits before the penalties; at most <see cref="MaxLogitBiases"/>, each token once.</summary>
    public TokenBias[] LogitBias { get; init; } = [];

    /// <summary>Key of the counter-based generator; the same seed gives the same tokens.</summary>
    public ulong Seed { get; init; }

    /// <summary>Alternatives to report with each token, 0 to 20; -1 for no log probabilities at all.</summary>
    public int TopLogprobs { get; init; } = -1;

    /// <summary>Checks every range.</summary>
    /// <param name="vocabularySize">Token ids are below this.</param>
    /// <exception cref="OperatingException">With <see cref="OperatingError.InvalidRequest"/>, naming the field and its range.</exception>
    public void Validate(int vocabularySize = int.MaxValue)
    {
        // Written as what must hold, so that NaN, which fails every comparison, is refused.
        Require(Temperature is >= 0 and <= 2, "temperature", "[0, 2]");
        Require(TopP is > 0 and <= 1, "top_p", "(0, 1]");
        Require(TopK >= 0, "top_k", $"[0, {int.MaxValue}], 0 or -1 for all tokens");
        Require(MinP is >= 0 and <= 1, "min_p", "[0, 1]");
        Require(RepetitionPenalty is >= 0.01f and <= 100, "repetition_penalty", "[0.01, 100]");
        Require(FrequencyPenalty is >= -2 and <= 2, "frequency_penalty", "[-2, 2]");
        Require(PresencePenalty is >= -2 and <= 2, "presence_penalty", "[-2, 2]");
        Require(TopLogprobs is >= -1 and <= 20, "top_logprobs", "[0, 20]");
        ValidateBiases(vocabularySize);
    }

    /// <summary>Throws unless <paramref name="holds"/>.</summary>
    /// <exception cref="OperatingException">With <see cref="OperatingError.InvalidRequest"/>, naming the field and its range.</exception>
    internal static void Require(bool holds, string field, string range)
    {
        if (!holds)
            throw new OperatingException(OperatingError.InvalidRequest, $"Invalid {field} value, the valid range of {field} is {range}");
    }

    private void ValidateBiases(int vocabularySize)
    {
        if (LogitBias.Length == 0)
            return;
        if (LogitBias.Length > MaxLogitBiases)
            throw new OperatingException(OperatingError.InvalidRequest, $"logit_bias: {LogitBias.Length} entries are too many; at most {MaxLogitBiases} are allowed");
        var seen = new HashSet<int>();
        foreach ((int id, float bias) in LogitBias)
        {
            Require(bias is >= -100 and <= 100, "logit_bias", "[-100, 100]");
            if ((uint)id >= (uint)vocabularySize)
                throw new OperatingException(OperatingError.InvalidRequest, $"logit_bias: token {id} is outside the vocabulary of {vocabularySize}");
            if (!seen.Add(id))
                throw new OperatingException(OperatingError.InvalidRequest, $"logit_bias: token {id} occurs twice");
        }
    }
}

/// <summary>What is added to one token's logit.</summary>
/// <param name="TokenId">Token id.</param>
/// <param name="Bias">-100 to 100.</param>
public readonly record struct TokenBias(int TokenId, float Bias);
