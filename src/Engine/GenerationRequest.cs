namespace Conclave.Engine;

/// <summary>How the next token is chosen. Values are validated by <see cref="Validate"/>.</summary>
public sealed record SamplingParameters
{
    /// <summary>0 (greedy) to 2.</summary>
    public float Temperature { get; init; } = 1;

    /// <summary>Nucleus mass, above 0 to 1.</summary>
    public float TopP { get; init; } = 1;

    /// <summary>-2 to 2: subtracted once per earlier occurrence of the token in the output.</summary>
    public float FrequencyPenalty { get; init; }

    /// <summary>-2 to 2: subtracted once if the token occurs in the output.</summary>
    public float PresencePenalty { get; init; }

    /// <summary>Key of the counter-based generator; the same seed gives the same tokens.</summary>
    public ulong Seed { get; init; }

    /// <summary>Alternatives to report with each token, 0 to 20; -1 for no log probabilities at all.</summary>
    public int TopLogprobs { get; init; } = -1;

    /// <summary>Checks every range.</summary>
    /// <exception cref="OperatingException">With <see cref="OperatingError.InvalidRequest"/>, naming the field and its range.</exception>
    public void Validate() => throw new NotImplementedException();
}

/// <summary>One sequence to generate.</summary>
public sealed record GenerationRequest
{
    /// <summary>The prompt's token ids, at least one.</summary>
    public required int[] PromptIds { get; init; }

    /// <summary>Most tokens to generate, at least 1; prompt and this must fit the context.</summary>
    public required int MaxTokens { get; init; }

    /// <summary>Tokens that end the sequence; they are not reported. Empty: none does.</summary>
    public required IReadOnlyList<int> StopTokenIds { get; init; }

    /// <summary>How tokens are chosen.</summary>
    public SamplingParameters Sampling { get; init; } = new();
}

/// <summary>Why a sequence ended.</summary>
public enum FinishReason
{
    /// <summary>It has not.</summary>
    None,

    /// <summary>A stop token.</summary>
    Stop,

    /// <summary>The most tokens, or the context, is used up.</summary>
    Length,

    /// <summary>The caller cancelled.</summary>
    Cancelled,

    /// <summary>The engine failed; the sequence's error tells why.</summary>
    Failed,
}
