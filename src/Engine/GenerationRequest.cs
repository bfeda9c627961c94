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
    public void Validate()
    {
        // Written as what must hold, so that NaN, which fails every comparison, is refused.
        Require(Temperature is >= 0 and <= 2, "temperature", "[0, 2]");
        Require(TopP is > 0 and <= 1, "top_p", "(0, 1]");
        Require(FrequencyPenalty is >= -2 and <= 2, "frequency_penalty", "[-2, 2]");
        Require(PresencePenalty is >= -2 and <= 2, "presence_penalty", "[-2, 2]");
        Require(TopLogprobs is >= -1 and <= 20, "top_logprobs", "[0, 20]");
    }

    private static void Require(bool holds, string field, string range)
    {
        if (!holds)
            throw new OperatingException(OperatingError.InvalidRequest, $"Invalid {field} value, the valid range of {field} is {range}");
    }
}

/// <summary>One sequence to generate.</summary>
public sealed record GenerationRequest
{
    /// <summary>The prompt's token ids, at least one, and behind them those of <see cref="ResumedCount"/>.</summary>
    public required int[] PromptIds { get; init; }

    /// <summary>
    /// The last so many of <see cref="PromptIds"/> were generated in an earlier life of the sequence. They count as output (penalties, <see cref="MaxTokens"/>, position of
    /// the sampler), so that it goes on exactly as it would have; they are not reported again.
    /// </summary>
    public int ResumedCount { get; init; }

    /// <summary>Most tokens to generate, at least 1, resumed ones included; prompt and this must fit the context.</summary>
    public required int MaxTokens { get; init; }

    /// <summary>Tokens that end the sequence; they are not reported. Empty: none does.</summary>
    public required IReadOnlyList<int> StopTokenIds { get; init; }

    /// <summary>How tokens are chosen.</summary>
    public SamplingParameters Sampling { get; init; } = new();

    /// <summary>Tokens of the prompt itself.</summary>
    internal int PromptTokens => PromptIds.Length - ResumedCount;

    /// <summary>Tokens of the prompt and the longest completion.</summary>
    internal long TotalTokens => (long)PromptTokens + MaxTokens;

    /// <summary>Checks the request against a model and the KV memory at hand.</summary>
    /// <param name="vocabularySize">Token ids are below this.</param>
    /// <param name="contextLength">Most tokens of prompt and completion together.</param>
    /// <param name="pageCount">KV pages in all.</param>
    /// <exception cref="OperatingException">Invalid, or too long for the context or for all KV memory.</exception>
    public void Validate(int vocabularySize, int contextLength, int pageCount)
    {
        Sampling.Validate();
        if (ResumedCount < 0 || ResumedCount >= Math.Max(1, MaxTokens))
            throw new OperatingException(OperatingError.InvalidRequest, $"A sequence of at most {MaxTokens} tokens cannot be resumed after {ResumedCount}.");
        if (PromptTokens <= 0)
            throw new OperatingException(OperatingError.InvalidRequest, "The prompt is empty: at least one token is needed.");
        if (MaxTokens < 1)
            throw new OperatingException(OperatingError.InvalidRequest, $"Invalid max_tokens value, the valid range of max_tokens is [1, {contextLength}]");

        CheckContext(PromptTokens, MaxTokens, contextLength);
        long total = TotalTokens;

        if (KvPagePool.PagesFor(total) > pageCount)
        {
            throw new OperatingException(
                OperatingError.ContextTooLong,
                $"This server's KV memory holds {(long)pageCount * Model.KvLayout.PageTokens} tokens. However, you requested {total} tokens ({PromptTokens} in the messages, {MaxTokens} in the completion). Please reduce the length of the messages or completion, or start the server with a larger --kv-memory.");
        }

        for (int i = 0; i < PromptIds.Length; i++)
        {
            if ((uint)PromptIds[i] >= (uint)vocabularySize)
                throw new OperatingException(OperatingError.InvalidRequest, $"Token {i} of the prompt is {PromptIds[i]}, outside the vocabulary of {vocabularySize}.");
        }
    }

    /// <summary>Checks that a prompt and the most tokens to generate fit a context, all in tokens. The gateway checks before it sends, the engine before it computes.</summary>
    /// <exception cref="OperatingException">With <see cref="OperatingError.ContextTooLong"/>; the message is the hosted API's.</exception>
    public static void CheckContext(int promptTokens, long maxTokens, int contextLength)
    {
        long total = promptTokens + maxTokens;
        if (total > contextLength)
        {
            throw new OperatingException(
                OperatingError.ContextTooLong,
                $"This model's maximum context length is {contextLength} tokens. However, you requested {total} tokens ({promptTokens} in the messages, {maxTokens} in the completion). Please reduce the length of the messages or completion.");
        }
    }
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

    /// <summary>Another rank goes on with it.</summary>
    Moved,
}
