namespace Conclave.Grains.Transport;

/// <summary>How a call ended.</summary>
public enum CallStatus : byte
{
    /// <summary>Not sent yet, or under way.</summary>
    Pending = 0,

    /// <summary>The reply is there.</summary>
    Ok = 1,

    /// <summary>The handler said no (<see cref="TensorReply.Reject"/>); <see cref="TensorCall.ErrorMessage"/> says why.</summary>
    Rejected = 2,

    /// <summary>The handler threw; <see cref="TensorCall.ErrorMessage"/> holds the message.</summary>
    HandlerFailed = 3,

    /// <summary>The peer has no handler for the request's kind.</summary>
    UnknownKind = 4,

    /// <summary>No reply in time.</summary>
    DeadlineExceeded = 5,

    /// <summary>The peer is not connected, was lost, or is suspected.</summary>
    PeerFailed = 6,

    /// <summary>The caller gave up.</summary>
    Canceled = 7,
}

/// <summary>What this process knows about a peer.</summary>
public enum PeerState
{
    /// <summary>Not connected yet, or just lost and being called again.</summary>
    Connecting = 0,

    /// <summary>Connected and heard lately.</summary>
    Alive = 1,

    /// <summary>Silent for longer than <see cref="TransportOptions.SuspectMs"/>, or its process is gone.</summary>
    Suspect = 2,

    /// <summary>Left in good order, or this end closed the connection for good.</summary>
    Closed = 3,
}

/// <summary>The other end broke the protocol, could not prove the cluster secret, or the connection is gone.</summary>
public sealed class TransportException : Exception
{
    /// <summary>A fault with what to do about it.</summary>
    public TransportException(string message) : base(message)
    {
    }

    /// <summary>A fault with what to do about it and its cause.</summary>
    public TransportException(string message, Exception inner) : base(message, inner)
    {
    }
}
