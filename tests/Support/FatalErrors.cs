using System.Collections.Concurrent;
using Orleans.Runtime;

namespace Conclave.Tests.Support;

/// <summary>Silos that find themselves dead in the tests' process must not take it along.</summary>
internal sealed class FatalErrors : IFatalErrorHandler
{
    /// <summary>Why silos would have ended their processes.</summary>
    public ConcurrentQueue<string?> Reasons { get; } = [];

    public bool IsUnexpected(Exception exception) => exception is not OperationCanceledException;

    public void OnFatalException(object? sender, string? context, Exception? exception) => Reasons.Enqueue($"{context} {exception?.Message}");
}
