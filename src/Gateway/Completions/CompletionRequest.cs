using Conclave.Engine;
using Conclave.Engine.Grammars;
using Conclave.Model.Chat;

namespace Conclave.Gateway.Completions;

/// <summary>One completion, whatever protocol asked for it: a tokenized prompt and how to read the output.</summary>
public sealed record CompletionRequest
{
    /// <summary>Prompt tokens.</summary>
    public required int[] PromptIds { get; init; }

    /// <summary>Most tokens to generate, at least 1; prompt and this fit the context.</summary>
    public required int MaxTokens { get; init; }

    /// <summary>The client named no limit: fewer where the KV memory holds no more.</summary>
    public bool MayBeShorter { get; init; }

    /// <summary>Tokens that end the output.</summary>
    public required int[] StopTokenIds { get; init; }

    /// <summary>Texts that end the output and are not returned.</summary>
    public IReadOnlyList<string> Stop { get; init; } = [];

    /// <summary>Tokens before one of <see cref="StopTokenIds"/> can come.</summary>
    public int MinTokens { get; init; }

    /// <summary>How tokens are chosen.</summary>
    public required SamplingParameters Sampling { get; init; }

    /// <summary>What the output must be; null: anything.</summary>
    public GrammarSpec? Grammar { get; init; }

    /// <summary>For whom, and how urgently.</summary>
    public ServiceTerms Service { get; init; } = new();

    /// <summary>How the output is taken apart; null: it is plain text.</summary>
    public ChatReading? Chat { get; init; }
}

/// <summary>How a chat turn's output is read.</summary>
/// <param name="Format">The format that rendered the prompt.</param>
/// <param name="ThinkingOpen">The prompt ended inside an open <c>&lt;think&gt;</c>.</param>
/// <param name="ToolsOffered">Calls are looked for.</param>
public sealed record ChatReading(ChatFormat Format, bool ThinkingOpen, bool ToolsOffered);

/// <summary>Tokens a request cost.</summary>
/// <param name="PromptTokens">Of the prompt.</param>
/// <param name="CompletionTokens">Generated, the end token not counted.</param>
/// <param name="CachedTokens">Of the prompt, from the prefix cache.</param>
/// <param name="ReasoningTokens">Of the completion, reasoning.</param>
public sealed record CompletionUsage(int PromptTokens, int CompletionTokens, int CachedTokens, int ReasoningTokens);

/// <summary>Why a completion ended, as every protocol names it.</summary>
public enum CompletionEnd
{
    /// <summary>A natural end or a stop text.</summary>
    Stop,

    /// <summary>Most tokens, or the context, used up.</summary>
    Length,

    /// <summary>The model called tools.</summary>
    ToolCalls,
}

/// <summary>One token with its log probability and alternatives.</summary>
/// <param name="Id">Token id.</param>
/// <param name="Logprob">Natural logarithm.</param>
/// <param name="Top">Alternatives, highest first.</param>
public sealed record TokenLogprob(int Id, float Logprob, IReadOnlyList<(int Id, float Logprob)> Top);

/// <summary>Something that happened while a completion ran.</summary>
public abstract record CompletionEvent
{
    private CompletionEvent()
    {
    }

    /// <summary>A rank has accepted the completion, or has failed and another one is looked for. Repeats are possible; for clients nothing has happened.</summary>
    /// <param name="IsAccepted">A rank has it: waiting is worth while.</param>
    public sealed record Placed(bool IsAccepted) : CompletionEvent;

    /// <summary>Tokens arrived and made some text complete, possibly none.</summary>
    /// <param name="Deltas">Text and calls, in order.</param>
    /// <param name="Ids">The tokens.</param>
    /// <param name="Logprobs">Of the tokens; null if not asked for.</param>
    public sealed record Progress(IReadOnlyList<ChatDelta> Deltas, int[] Ids, IReadOnlyList<TokenLogprob>? Logprobs) : CompletionEvent;

    /// <summary>The last event.</summary>
    /// <param name="End">Why.</param>
    /// <param name="Usage">What it cost.</param>
    public sealed record Finished(CompletionEnd End, CompletionUsage Usage) : CompletionEvent;
}
