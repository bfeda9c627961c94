namespace Conclave.Engine.Sampling;

/// <summary>What the choice of one token depends on, apart from the parameters.</summary>
public readonly ref struct SamplingInput
{
    /// <summary><c>[vocabulary]</c>, as the model gave them; negative infinity masks a token.</summary>
    public required ReadOnlySpan<float> Logits { get; init; }

    /// <summary>The prompt's tokens: the repetition penalty counts them.</summary>
    public ReadOnlySpan<int> Prompt { get; init; }

    /// <summary>Tokens generated so far, those of an earlier life too: what all penalties look at.</summary>
    public ReadOnlySpan<int> Output { get; init; }

    /// <summary>One bit a token, the lowest bit of the first word for token 0: only tokens whose bit is set may be chosen. Empty: all may.</summary>
    public ReadOnlySpan<uint> Allowed { get; init; }

    /// <summary>Tokens that may not be chosen unless nothing else may: the end tokens of a sequence that is too short to end.</summary>
    public ReadOnlySpan<int> Barred { get; init; }

    /// <summary>Position of the token to come, prompt included: the counter of the draw.</summary>
    public required long Position { get; init; }
}
