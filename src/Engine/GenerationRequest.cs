using Conclave.Engine.Grammars;

namespace Conclave.Engine;

/// <summary>One sequence to generate.</summary>
public sealed record GenerationRequest
{
    /// <summary>Lowest <see cref="Priority"/>.</summary>
    public const int MinPriority = -100;

    /// <summary>Highest <see cref="Priority"/>.</summary>
    public const int MaxPriority = 100;

    /// <summary>Most characters of <see cref="FairnessKey"/> and <see cref="CacheScope"/>.</summary>
    public const int MaxKeyLength = 512;

    /// <summary>Most <see cref="StopTokenIds"/>.</summary>
    public const int MaxStopTokens = 256;

    /// <summary>The prompt's token ids, at least one, and behind them those of <see cref="ResumedCount"/>.</summary>
    public required int[] PromptIds { get; init; }

    /// <summary>
    /// The last so many of <see cref="PromptIds"/> were generated in an earlier life of the sequence. They count as output (penalties, <see cref="MaxTokens"/>, position of
    /// the sampler), so that it goes on exactly as it would have; they are not reported again.
    /// </summary>
    public int ResumedCount { get; init; }

    /// <summary>Most tokens to generate, at least 1, resumed ones included; prompt and this must fit the context.</summary>
    public required int MaxTokens { get; init; }

    /// <summary><see cref="MaxTokens"/> is nobody's wish: where all KV memory holds less than prompt and that, fewer are generated.</summary>
    public bool MayBeShorter { get; init; }

    /// <summary>Tokens generated before one of <see cref="StopTokenIds"/> can be, resumed ones included: 0 to <see cref="MaxTokens"/>. Where <see cref="Grammar"/> allows nothing else it goes first.</summary>
    public int MinTokens { get; init; }

    /// <summary>Tokens that end the sequence; they are not reported. At most <see cref="MaxStopTokens"/>. Empty: none does.</summary>
    public required IReadOnlyList<int> StopTokenIds { get; init; }

    /// <summary>None of <see cref="StopTokenIds"/> ends the sequence; generated, they are tokens like any other. A caller that wants its own to end it all the same leaves the model's out of the list instead.</summary>
    public bool IgnoreEos { get; init; }

    /// <summary>How tokens are chosen.</summary>
    public SamplingParameters Sampling { get; init; } = new();

    /// <summary>What the output must be; null: anything.</summary>
    public GrammarSpec? Grammar { get; init; }

    /// <summary>Higher goes first; <see cref="MinPriority"/> to <see cref="MaxPriority"/>.</summary>
    public int Priority { get; init; }

    /// <summary>Requests of equal priority are served in turn between these: the API key or user behind the request. At most <see cref="MaxKeyLength"/> characters.</summary>
    public string FairnessKey { get; init; } = "";

    /// <summary>Only requests of the same scope share cached prefixes; empty: the scope of all that ask for none. At most <see cref="MaxKeyLength"/> characters.</summary>
    public string CacheScope { get; init; } = "";

    /// <summary>Time from arrival at the engine after which the sequence is given up; above zero; null: never.</summary>
    public TimeSpan? Deadline { get; init; }

    /// <summary>Tokens of the prompt itself.</summary>
    internal int PromptTokens => PromptIds.Length - ResumedCount;

    /// <summary>Tokens of the prompt and the longest completion.</summary>
    internal long TotalTokens => (long)PromptTokens + MaxTokens;

    /// <summary>The same request, shortened to what <paramref name="kvTokens"/> tokens of KV memory hold if it may be.</summary>
    internal GenerationRequest FittedTo(long kvTokens) => MayBeShorter && TotalTokens > kvTokens && PromptTokens < kvTokens
        ? this with { MaxTokens = (int)(kvTokens - PromptTokens) }
        : this;

    /// <summary>Checks the request against a model and the KV memory at hand.</summary>
    /// <param name="vocabularySize">Token ids are below this.</param>
    /// <param name="contextLength">Most tokens of prompt and completion together.</param>
    /// <param name="kvTokens">Tokens that all KV pages hold.</param>
    /// <exception cref="OperatingException">Invalid, or too long for the context or for all KV memory.</exception>
    public void Validate(int vocabularySize, int contextLength, long kvTokens)
    {
        Sampling.Validate(vocabularySize);
        if (ResumedCount < 0 || ResumedCount >= Math.Max(1, MaxTokens))
            throw new OperatingException(OperatingError.InvalidRequest, $"A sequence of at most {MaxTokens} tokens cannot be resumed after {ResumedCount}.");
        if (PromptTokens <= 0)
            throw new OperatingException(OperatingError.InvalidRequest, "The prompt is empty: at least one token is needed.");
        if (MaxTokens < 1)
            throw new OperatingException(OperatingError.InvalidRequest, $"Invalid max_tokens value, the valid range of max_tokens is [1, {contextLength}]");

        CheckContext(PromptTokens, MaxTokens, contextLength);
        ValidateService();
        ValidateIds(vocabularySize);
        long total = TotalTokens;

        if (total > kvTokens)
        {
            throw new OperatingException(
                OperatingError.ContextTooLong,
                $"This server's KV memory holds {kvTokens} tokens. However, you requested {total} tokens ({PromptTokens} in the messages, {MaxTokens} in the completion). Please reduce the length of the messages or completion, or start the server with a larger --kv-memory.");
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

    private void ValidateService()
    {
        SamplingParameters.Require(MinTokens >= 0 && MinTokens <= MaxTokens, "min_tokens", $"[0, {MaxTokens}] (max_tokens)");
        SamplingParameters.Require(Priority is >= MinPriority and <= MaxPriority, "priority", $"[{MinPriority}, {MaxPriority}]");
        SamplingParameters.Require(FairnessKey.Length <= MaxKeyLength, "user", $"at most {MaxKeyLength} characters");
        SamplingParameters.Require(CacheScope.Length <= MaxKeyLength, "user_id", $"at most {MaxKeyLength} characters");
        SamplingParameters.Require(Deadline is null || Deadline > TimeSpan.Zero, "timeout", "above 0");
        if (Grammar is not null && IgnoreEos)
            throw new OperatingException(OperatingError.InvalidRequest, "ignore_eos: text of a grammar has an end, which cannot be ignored; leave out one of the two");
    }

    private void ValidateIds(int vocabularySize)
    {
        for (int i = 0; i < PromptIds.Length; i++)
        {
            if ((uint)PromptIds[i] >= (uint)vocabularySize)
                throw new OperatingException(OperatingError.InvalidRequest, $"Token {i} of the prompt is {PromptIds[i]}, outside the vocabulary of {vocabularySize}.");
        }

        if (StopTokenIds.Count > MaxStopTokens)
            throw new OperatingException(OperatingError.InvalidRequest, $"stop_token_ids: {StopTokenIds.Count} tokens are too many; at most {MaxStopTokens} are allowed");
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
