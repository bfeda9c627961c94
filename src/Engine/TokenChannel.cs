using System.Threading.Tasks.Sources;

namespace Conclave.Engine;

/// <summary>
/// Tokens on their way from the step loop (the one producer) to the one consumer. The buffer holds a whole completion, so the loop never
/// waits for a slow reader, and neither side allocates once <see cref="Reserve"/> has run.
/// </summary>
/// <param name="resumedCount">The completion begins with so many tokens of an earlier life, which count as written and read.</param>
internal sealed class TokenChannel(int resumedCount = 0) : IValueTaskSource<bool>
{
    private readonly Lock _endGate = new();
    private readonly int _resumedCount = resumedCount;

    // Asynchronously, since a continuation must never run on the step loop's thread.
    private ManualResetValueTaskSourceCore<bool> _signal = new() { RunContinuationsAsynchronously = true };
    private CancellationTokenRegistration _cancellation;
    private GeneratedToken[] _tokens = [];
    private GeneratedToken[] _alternatives = [];
    private int _alternativesPerToken;
    private int _written = resumedCount;
    private int _read = resumedCount;

    // 0: nobody waits. Else the count of written tokens that the reader waits for; who sets it back to 0 owns the wake-up.
    private int _awaited;
    private int _end;
    private OperatingException? _error;

    /// <summary>Why it ended; set once.</summary>
    public FinishReason End => (FinishReason)Volatile.Read(ref _end);

    /// <summary>Count of tokens written so far, resumed ones included. Producer only.</summary>
    public int WrittenCount => _written;

    /// <summary>Tokens written so far, once there is room for them. Producer only.</summary>
    public ReadOnlySpan<GeneratedToken> Written => _tokens.AsSpan(0, _written);

    /// <summary>Alternatives of the token read last. Consumer only.</summary>
    public ReadOnlySpan<GeneratedToken> Alternatives =>
        _read == _resumedCount ? default : _alternatives.AsSpan((_read - 1) * _alternativesPerToken, _alternativesPerToken);

    /// <summary>Where the producer puts the alternatives of the token it writes next.</summary>
    public Span<GeneratedToken> NextAlternatives => _alternatives.AsSpan(_written * _alternativesPerToken, _alternativesPerToken);

    private bool HasNews => _read < Volatile.Read(ref _written) || End != FinishReason.None;

    /// <summary>Makes room for a whole completion, before the first <see cref="Write"/>. It begins with the <paramref name="resumed"/> tokens.</summary>
    public void Reserve(int tokenCount, int alternativesPerToken, ReadOnlySpan<int> resumed = default)
    {
        _tokens = new GeneratedToken[tokenCount];
        for (int i = 0; i < resumed.Length; i++)
            _tokens[i] = new GeneratedToken(resumed[i], 0);
        _alternativesPerToken = alternativesPerToken;
        _alternatives = new GeneratedToken[checked(tokenCount * alternativesPerToken)];
    }

    /// <summary>Hands a token over. Producer only.</summary>
    public void Write(GeneratedToken token)
    {
        _tokens[_written] = token;
        Volatile.Write(ref _written, _written + 1);
        Wake();
    }

    /// <summary>Ends the stream unless it has ended before; true for the one call that did. Any thread.</summary>
    public bool TryEnd(FinishReason reason, OperatingException? error = null)
    {
        lock (_endGate)
        {
            if (_end != (int)FinishReason.None)
                return false;
            _error = error;
            Volatile.Write(ref _end, (int)reason);
        }

        Wake();
        return true;
    }

    /// <summary>Takes the next token if there is one. Consumer only.</summary>
    public bool TryRead(out GeneratedToken token)
    {
        if (_read >= Volatile.Read(ref _written))
        {
            token = default;
            return false;
        }

        token = _tokens[_read++];
        return true;
    }

    /// <summary>Waits until a token can be read (true) or there will be none (false). Consumer only.</summary>
    public ValueTask<bool> WaitToReadAsync(CancellationToken cancellationToken)
    {
        if (HasNews)
            return Ready();
        if (cancellationToken.IsCancellationRequested)
            return ValueTask.FromCanceled<bool>(cancellationToken);
        if (Volatile.Read(ref _awaited) != 0)
            throw new InvalidOperationException("A sequence has one consumer: the wait before this one has not ended.");

        _signal.Reset();
        short version = _signal.Version;
        Interlocked.Exchange(ref _awaited, _read + 1);

        // What came between the first look and this woke nobody: look again.
        if (HasNews && Interlocked.Exchange(ref _awaited, 0) != 0)
            return Ready();
        _cancellation = cancellationToken.UnsafeRegister(static (self, token) => ((TokenChannel)self!).CancelWait(token), this);
        return new ValueTask<bool>(this, version);
    }

    bool IValueTaskSource<bool>.GetResult(short token)
    {
        _cancellation.Dispose();
        _cancellation = default;
        _signal.GetResult(token);
        return CanRead();
    }

    ValueTaskSourceStatus IValueTaskSource<bool>.GetStatus(short token) => _signal.GetStatus(token);

    void IValueTaskSource<bool>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _signal.OnCompleted(continuation, state, token, flags);

    private ValueTask<bool> Ready() =>
        _error is { } error && _read >= _written ? ValueTask.FromException<bool>(error) : new ValueTask<bool>(CanRead());

    private bool CanRead()
    {
        if (_read < Volatile.Read(ref _written))
            return true;
        if (_error is { } error)
            throw new OperatingException(error.Error, error.Message, error.InnerException);
        return false;
    }

    private void Wake()
    {
        // Between what was written and the look at the reader. A writer that comes late to this line, when its token is long read, must not wake
        // the wait for the next one: hence the count.
        Interlocked.MemoryBarrier();
        int awaited = Volatile.Read(ref _awaited);
        if (awaited == 0 || (Volatile.Read(ref _written) < awaited && End == FinishReason.None))
            return;
        if (Interlocked.CompareExchange(ref _awaited, 0, awaited) == awaited)
            _signal.SetResult(true);
    }

    private void CancelWait(CancellationToken token)
    {
        if (Interlocked.Exchange(ref _awaited, 0) != 0)
            _signal.SetException(new OperationCanceledException(token));
    }
}
