namespace Conclave.Engine;

/// <summary>One generated token as it leaves the step loop.</summary>
/// <param name="Id">Token id.</param>
/// <param name="Logprob">Natural logarithm of its probability before temperature and truncation; 0 if not asked for.</param>
public readonly record struct GeneratedToken(int Id, float Logprob);

/// <summary>A sequence in flight: its tokens arrive in order, readable by one consumer. Disposing it cancels it and frees its pages at once.</summary>
public sealed class Sequence : IDisposable
{
    /// <summary>Prompt tokens whose pages came from the prefix cache.</summary>
    public int CachedTokens => throw new NotImplementedException();

    /// <summary>Why it ended; <see cref="FinishReason.None"/> while it runs.</summary>
    public FinishReason FinishReason => throw new NotImplementedException();

    /// <summary>Waits until a token can be read (true) or the sequence has ended and everything is read (false).</summary>
    /// <exception cref="OperatingException">The engine failed the sequence.</exception>
    public ValueTask<bool> WaitToReadAsync(CancellationToken cancellationToken) => throw new NotImplementedException();

    /// <summary>Takes the next token if there is one.</summary>
    public bool TryRead(out GeneratedToken token) => throw new NotImplementedException();

    /// <summary>The alternatives of the token read last, highest first, at most <c>TopLogprobs</c>.</summary>
    public ReadOnlySpan<GeneratedToken> TopLogprobs => throw new NotImplementedException();

    /// <summary>Cancels if it still runs and frees its pages.</summary>
    public void Dispose() => throw new NotImplementedException();
}
