using Conclave.Engine.Grammars;
using Conclave.Engine.Pages;
using Conclave.Engine.Sampling;
using Conclave.Engine.Scheduling;
using Conclave.Model;

namespace Conclave.Engine;

/// <summary>One generated token as it leaves the step loop.</summary>
/// <param name="Id">Token id.</param>
/// <param name="Logprob">Natural logarithm of its probability before penalties, temperature and truncation; 0 if not asked for.</param>
public readonly record struct GeneratedToken(int Id, float Logprob);

/// <summary>A sequence in flight: its tokens arrive in order, readable by one consumer. Disposing it cancels it and frees its pages at once.</summary>
public sealed class Sequence : IDisposable
{
    private readonly TokenChannel _channel;
    private readonly Action<Sequence> _onCancelled;
    private FinishReason _outcome;
    private OperatingException? _failure;

    // Prompt, output and behind them drafts; the prompt alone until the sequence joins.
    private int[] _tokens;

    internal Sequence(GenerationRequest request, int pageTokens, Action<Sequence> onCancelled)
    {
        Request = request;
        PagesNeeded = (int)((request.TotalTokens + pageTokens - 1) / pageTokens);
        Pages = new KvPageTable(PagesNeeded, pageTokens);
        _channel = new TokenChannel(request.ResumedCount);
        _tokens = request.PromptIds;
        _onCancelled = onCancelled;
        ChargedOutput = request.ResumedCount;
    }

    /// <summary>Prompt tokens whose pages came from the prefix cache: a multiple of the page size; 0 while it waits for its first place.</summary>
    public int CachedTokens { get; internal set; }

    /// <summary>Why it ended; <see cref="FinishReason.None"/> while it runs. Tokens may still be unread.</summary>
    public FinishReason FinishReason => _channel.End;

    /// <summary>The alternatives of the token read last, highest first, at most <c>TopLogprobs</c>.</summary>
    public ReadOnlySpan<GeneratedToken> TopLogprobs => _channel.Alternatives;

    /// <summary>It holds pages: it is in the batch, or came with them.</summary>
    public bool HasPages => Pages.PageCount > 0;

    /// <summary>What was asked for; the engine's own copy.</summary>
    internal GenerationRequest Request { get; }

    /// <summary>Where its output is in its grammar; null: it may be anything.</summary>
    internal GrammarMatcher? Grammar { get; init; }

    /// <summary>Its KV pages; empty until it joins the batch.</summary>
    internal KvPageTable Pages { get; }

    /// <summary>Pages for the prompt and the longest completion.</summary>
    internal int PagesNeeded { get; }

    /// <summary>What decides about its turn.</summary>
    internal Standing Standing { get; set; }

    /// <summary>When it is given up, by the engine's clock; null: never.</summary>
    internal long? DeadlineMs => Request.Deadline is { } deadline ? Standing.ArrivalMs + (long)Math.Min(deadline.TotalMilliseconds, long.MaxValue / 2) : null;

    /// <summary>It has been in the batch; waiting, it has given way to others.</summary>
    internal bool HasJoined { get; private set; }

    /// <summary>Its pages on their way from disk, if it has asked for any.</summary>
    internal KvFetch? Fetch;

    /// <summary>Tokens that were in its pages when it gave way.</summary>
    internal int LostTokens { get; set; }

    /// <summary>Tokens of its output that its key's account was charged for.</summary>
    internal int ChargedOutput { get; set; }

    /// <summary>Tokens of prompt and output so far.</summary>
    internal ReadOnlySpan<int> Tokens => _tokens.AsSpan(0, TokenCount);

    /// <summary>Count of <see cref="Tokens"/>.</summary>
    internal int TokenCount => Request.PromptTokens + OutputCount;

    /// <summary>Count of <see cref="Output"/>.</summary>
    internal int OutputCount => _channel.WrittenCount;

    /// <summary>The rows to compute are those of a decode step: of all its tokens only the last, a generated one, is not in the pages.</summary>
    internal bool IsDecoding => Pages.Length == TokenCount - 1 && OutputCount > 0;

    /// <summary>Tokens to compute before the next one can be sampled, when it is not decoding: of the prompt, or, where pages were lost, of the output too.</summary>
    internal int PrefillRemaining => IsDecoding ? 0 : TokenCount - Pages.Length;

    /// <summary>Drafts behind the last token, written to <see cref="DraftSpace"/>; 0 without speculation.</summary>
    internal int DraftCount { get; set; }

    /// <summary>Where drafts go: behind the last token, as far as the completion may reach.</summary>
    internal Span<int> DraftSpace => _tokens.AsSpan(TokenCount);

    /// <summary>Most drafts it has use for: short of the end, and of pages for what the module writes on the way.</summary>
    internal int DraftRoom => Math.Min(Request.MaxTokens - _channel.WrittenCount - 1, Pages.Capacity - TokenCount + 2);

    /// <summary>Tokens generated so far, resumed ones included.</summary>
    internal ReadOnlySpan<GeneratedToken> Output => _channel.Written;

    /// <summary>Whether its place in the batch and its pages can go: finished, failed or cancelled.</summary>
    internal bool IsOver => _outcome != FinishReason.None || _channel.End != FinishReason.None;

    /// <summary>It has failed: its pages may be half written.</summary>
    internal bool HasFailed => _outcome == FinishReason.Failed;

    /// <summary>Waits until a token can be read (true) or the sequence has ended and everything is read (false).</summary>
    /// <exception cref="OperatingException">The engine failed the sequence.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled; the sequence itself goes on.</exception>
    public ValueTask<bool> WaitToReadAsync(CancellationToken cancellationToken) => _channel.WaitToReadAsync(cancellationToken);

    /// <summary>Takes the next token if there is one.</summary>
    public bool TryRead(out GeneratedToken token) => _channel.TryRead(out token);

    /// <summary>Cancels if it still runs and frees its pages: at once while it waits, else when the step under way ends. From any thread, any number of times.</summary>
    public void Dispose() => End(FinishReason.Cancelled);

    /// <summary>Ends it as moved to another rank, in the same way.</summary>
    public void LetGo() => End(FinishReason.Moved);

    /// <summary>Ends it from outside of the step loop, unless it has ended.</summary>
    internal void End(FinishReason reason)
    {
        if (_channel.TryEnd(reason))
            _onCancelled(this);
    }

    /// <summary>Goes on with pages that hold its first tokens; the table that they come in is emptied.</summary>
    internal unsafe void Adopt(KvPageTable pages)
    {
        for (int i = 0; i < pages.PageCount; i++)
            Pages.Add((nint)pages.Page(i));
        Pages.Length = pages.Length;
        pages.Clear();
    }

    /// <summary>Joins the batch; the first time that makes room for its output.</summary>
    internal void Join()
    {
        if (HasJoined)
            return;
        HasJoined = true;
        _tokens = new int[Request.TotalTokens];
        Request.PromptIds.CopyTo(_tokens, 0);
        _channel.Reserve(Request.MaxTokens, Math.Max(0, Request.Sampling.TopLogprobs), Request.PromptIds.AsSpan(Request.PromptTokens));
    }

    /// <summary>The next <paramref name="count"/> tokens to compute: known ones, and drafts behind the last of them.</summary>
    internal ReadOnlySpan<int> NextRows(int count) => _tokens.AsSpan(Pages.Length, count);

    /// <summary>Where the alternatives of the token to come go.</summary>
    internal Span<GeneratedToken> NextAlternatives => _channel.NextAlternatives;

    /// <summary>What the token to come depends on, apart from the sampling parameters.</summary>
    /// <param name="logits">After the last of its tokens <c>[vocabulary]</c>.</param>
    /// <param name="allowed">Tokens that its grammar allows, one bit each; empty: all.</param>
    internal SamplingInput NextChoice(ReadOnlySpan<float> logits, ReadOnlySpan<uint> allowed = default) => new()
    {
        Logits = logits,
        Prompt = Tokens[..Request.PromptTokens],
        Output = Tokens[Request.PromptTokens..],
        Allowed = allowed,
        Barred = _channel.WrittenCount < Request.MinTokens && !Request.IgnoreEos ? (int[])Request.StopTokenIds : default,
        Position = TokenCount,
    };

    /// <summary>Hands a generated token to the consumer, or decides that it was the end. True if it was handed over.</summary>
    internal bool Emit(GeneratedToken token)
    {
        if (!Request.IgnoreEos && ((int[])Request.StopTokenIds).AsSpan().Contains(token.Id))
        {
            _outcome = FinishReason.Stop;
            return false;
        }

        _tokens[TokenCount] = token.Id;
        _channel.Write(token);
        if (_channel.WrittenCount == Request.MaxTokens)
            _outcome = FinishReason.Length;

        // A text that nothing can follow has ended, with or without an end token.
        if (Grammar is not null && Grammar.Accept(token.Id) && Grammar.IsFinished)
            _outcome = FinishReason.Stop;
        return true;
    }

    /// <summary>Decides that it has failed.</summary>
    internal void Fail(OperatingException failure)
    {
        _outcome = FinishReason.Failed;
        _failure = failure;
    }

    /// <summary>Tells the consumer what was decided, after the pages are back in the pool.</summary>
    internal void Complete() => _channel.TryEnd(_outcome, _failure);
}
