using Conclave.Engine;

namespace Conclave.Gateway.Completions;

/// <summary>Sampling as a client asks for it: what is null takes the model's default.</summary>
public sealed record SamplingWishes
{
    /// <summary>0 (greedy) to 2.</summary>
    public double? Temperature { get; init; }

    /// <summary>Above 0 to 1.</summary>
    public double? TopP { get; init; }

    /// <summary>At least 1, or 0 or -1 for all tokens.</summary>
    public long? TopK { get; init; }

    /// <summary>0 to 1.</summary>
    public double? MinP { get; init; }

    /// <summary>0.01 to 100.</summary>
    public double? RepetitionPenalty { get; init; }

    /// <summary>-2 to 2.</summary>
    public double? FrequencyPenalty { get; init; }

    /// <summary>-2 to 2.</summary>
    public double? PresencePenalty { get; init; }

    /// <summary>The same seed gives the same tokens; null draws one.</summary>
    public ulong? Seed { get; init; }

    /// <summary>Added to logits, -100 to 100 each; every token once.</summary>
    public IReadOnlyList<TokenBias> LogitBias { get; init; } = [];

    /// <summary>At least 1.</summary>
    public long? MaxTokens { get; init; }

    /// <summary>0 to <see cref="MaxTokens"/>: end tokens cannot come before.</summary>
    public long? MinTokens { get; init; }

    /// <summary>The model's end tokens do not end the answer.</summary>
    public bool IgnoreEos { get; init; }

    /// <summary>Further tokens that end the answer and are not returned.</summary>
    public IReadOnlyList<int> StopTokenIds { get; init; } = [];

    /// <summary>Up to 16 texts.</summary>
    public IReadOnlyList<string> Stop { get; init; } = [];

    /// <summary>0 to 20; null for no log probabilities.</summary>
    public int? TopLogprobs { get; init; }
}
