namespace Grpc.Core;

/// <summary>Thrown by a handler to end its call with a status, and optionally with trailers.</summary>
public class RpcException : Exception
{
    /// <summary>Ends the call with <paramref name="status"/>.</summary>
    public RpcException(Status status) : this(status, new Metadata(), status.ToString())
    {
    }

    /// <summary>Ends the call with <paramref name="status"/>; <paramref name="message"/> is for the log.</summary>
    public RpcException(Status status, string message) : this(status, new Metadata(), message)
    {
    }

    /// <summary>Ends the call with <paramref name="status"/> and sends <paramref name="trailers"/> with it.</summary>
    public RpcException(Status status, Metadata trailers) : this(status, trailers, status.ToString())
    {
    }

    /// <summary>Ends the call with <paramref name="status"/> and <paramref name="trailers"/>; <paramref name="message"/> is for the log.</summary>
    public RpcException(Status status, Metadata trailers, string message) : base(message, status.DebugException)
    {
        ArgumentNullException.ThrowIfNull(trailers);
        Status = status;
        Trailers = trailers;
    }

    /// <summary>The status that the caller sees.</summary>
    public Status Status { get; }

    /// <summary>The code of <see cref="Status"/>.</summary>
    public StatusCode StatusCode => Status.StatusCode;

    /// <summary>Metadata sent with the status; never null.</summary>
    public Metadata Trailers { get; }
}
