namespace Conclave.Engine;

/// <summary>Everything that can go wrong while serving, as users and operators see it. Mapped to HTTP, gRPC and metrics in one place of the gateway.</summary>
public enum OperatingError
{
    /// <summary>A value of the request is wrong; the message names the field.</summary>
    InvalidRequest,

    /// <summary>Prompt and completion do not fit the context.</summary>
    ContextTooLong,

    /// <summary>The model is not served here.</summary>
    UnknownModel,

    /// <summary>Queue or KV memory is full; try again later.</summary>
    Overloaded,

    /// <summary>Shutting down, or not started yet.</summary>
    Unavailable,

    /// <summary>The caller's deadline passed, while the request waited or ran.</summary>
    DeadlineExceeded,

    /// <summary>A fault of ours.</summary>
    Internal,
}

/// <summary>An operating error with a message fit for the client.</summary>
public sealed class OperatingException(OperatingError error, string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>What kind.</summary>
    public OperatingError Error { get; } = error;

    /// <summary>With <see cref="OperatingError.Overloaded"/>: when to try again, estimated from what was measured; null if nothing is known.</summary>
    public int? RetryAfterSeconds { get; init; }
}
