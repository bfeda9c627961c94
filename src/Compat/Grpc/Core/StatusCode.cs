namespace Grpc.Core;

/// <summary>How a call ended. The numbers are those of the gRPC protocol.</summary>
public enum StatusCode
{
    /// <summary>Success.</summary>
    OK = 0,
    /// <summary>The operation was cancelled, usually by the caller.</summary>
    Cancelled = 1,
    /// <summary>An error without a better code.</summary>
    Unknown = 2,
    /// <summary>The client sent an argument that is wrong whatever the state of the system.</summary>
    InvalidArgument = 3,
    /// <summary>The deadline passed before the operation was complete.</summary>
    DeadlineExceeded = 4,
    /// <summary>A requested entity was not found.</summary>
    NotFound = 5,
    /// <summary>The entity to be created exists.</summary>
    AlreadyExists = 6,
    /// <summary>The caller is known, and may not do this.</summary>
    PermissionDenied = 7,
    /// <summary>A quota, a size limit or memory is exhausted.</summary>
    ResourceExhausted = 8,
    /// <summary>The system is not in the state that the operation needs.</summary>
    FailedPrecondition = 9,
    /// <summary>Aborted, usually for a conflict between concurrent operations.</summary>
    Aborted = 10,
    /// <summary>Past the valid range.</summary>
    OutOfRange = 11,
    /// <summary>The operation does not exist here.</summary>
    Unimplemented = 12,
    /// <summary>An invariant of the underlying system is broken, or a frame is malformed.</summary>
    Internal = 13,
    /// <summary>The service cannot be reached now; trying again may help.</summary>
    Unavailable = 14,
    /// <summary>Unrecoverable loss or corruption of data.</summary>
    DataLoss = 15,
    /// <summary>The caller is not known: credentials are missing or wrong.</summary>
    Unauthenticated = 16,
}
