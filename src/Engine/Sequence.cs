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
    private int _lastToken;

    // Tokens before the first one that is decoded: the prompt, unless the sequence comes from elsewhere in the midst of decoding.
    private int _prefillLength;

    internal Sequence(GenerationRequest request, Action<Sequence> onCancelled)
    {
        Request = request;
        _channel = new TokenChannel(request.ResumedCount);
        _prefillLength = request.PromptIds.Length;
        _onCancelled = onCancelled;
    }

    /// <summary>Prompt tokens whose pages came from the prefix cache.</summary>
    public int CachedTokens { get; }

    /// <summary>Why it ended; <see cref="FinishReason.None"/> while it runs. Tokens may still be unread.</summary>
    public FinishReason FinishReason => _channel.End;

    /// <summary>The alternatives of the token read last, highest first, at most <c>TopLogprobs</c>.</summary>
    public ReadOnlySpan<GeneratedToken> TopLogprobs => _channel.Alternatives;

    /// <summary>It holds pages: it is in the batch, or came with them.</summary>
    public bool HasPages => Pages.PageCount > 0;

    /// <summary>What was asked for; the engine's own copy.</summary>
    internal GenerationRequest Request { get; }

    /// <summary>Its KV pages; empty until it joins the batch.</summary>
    internal KvPageTable Pages { get; private set; } = new(0);

    /// <summary>Pages for the prompt and the longest completion.</summary>
    internal int PagesNeeded => KvPagePool.PagesFor(Request.TotalTokens);

    /// <summary>Prompt tokens not computed yet; 0 while decoding.</summary>
    internal int PromptRemaining => Math.Max(0, _prefillLength - Pages.Length);

    /// <summary>Tokens generated so far, resumed ones included.</summary>
    internal ReadOnlySpan<GeneratedToken> Output => _channel.Written;

    /// <summary>Whether its place in the batch and its pages can go: finished, failed or cancelled.</summary>
    internal bool IsOver => _outcome != FinishReason.None || _channel.End != FinishReason.None;

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

    /// <summary>Goes on with pages that hold its first tokens, at least as many as it needs.</summary>
    internal void Adopt(KvPageTable pages)
    {
        Pages = pages;

        // In the midst of decoding only the last token is missing: that is the row of a decode step, no prompt to compute.
        if (Request.ResumedCount > 0 && pages.Length == Request.PromptIds.Length - 1)
        {
            _prefillLength = pages.Length;
            _lastToken = Request.PromptIds[^1];
        }
    }

    /// <summary>The first <paramref name="count"/> tokens, prompt and output.</summary>
    internal int[] Tokens(int count)
    {
        var tokens = new int[count];
        int given = Math.Min(count, Request.PromptIds.Length);
        Request.PromptIds.AsSpan(0, given).CopyTo(tokens);
        for (int i = given; i < count; i++)
            tokens[i] = Output[i - Request.PromptTokens].Id;
        return tokens;
    }

    /// <summary>Joins the batch: takes its pages and makes room for its output.</summary>
    internal void Join(KvPagePool pool)
    {
        if (!HasPages)
        {
            int pageCount = PagesNeeded;
            Pages = new KvPageTable(pageCount);
            for (int i = 0; i < pageCount; i++)
                Pages.Add(pool.Take());
        }

        _channel.Reserve(Request.MaxTokens, Math.Max(0, Request.Sampling.TopLogprobs), Request.PromptIds.AsSpan(Request.PromptTokens));
    }

    /// <summary>The next <paramref name="count"/> tokens to compute: of the prompt, or the one generated last.</summary>
    internal ReadOnlySpan<int> NextRows(int count) =>
        PromptRemaining > 0 ? Request.PromptIds.AsSpan(Pages.Length, count) : new ReadOnlySpan<int>(in _lastToken);

    /// <summary>Where the alternatives of the token to come go.</summary>
    internal Span<GeneratedToken> NextAlternatives => _channel.NextAlternatives;

    /// <summary>Hands a generated token to the consumer, or decides that it was the end. True if it was handed over.</summary>
    internal bool Emit(GeneratedToken token)
    {
        if (((int[])Request.StopTokenIds).AsSpan().Contains(token.Id))
        {
            _outcome = FinishReason.Stop;
            return false;
        }

        _lastToken = token.Id;
        _channel.Write(token);
        if (Output.Length == Request.MaxTokens)
            _outcome = FinishReason.Length;
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
