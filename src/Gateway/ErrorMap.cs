using Conclave.Engine;
using Conclave.Grains;
using Conclave.Model.Chat;
using Grpc.Core;
using Orleans.Runtime;

namespace Conclave.Gateway;

/// <summary>The one place where an operating error becomes an HTTP status, an API error type, a gRPC status and a metric label.</summary>
public static class ErrorMap
{
    /// <summary>How one error is told to each kind of client.</summary>
    /// <param name="HttpStatus">HTTP status code.</param>
    /// <param name="Type">The error body's <c>type</c>.</param>
    /// <param name="Code">The error body's <c>code</c>.</param>
    /// <param name="GrpcStatus">gRPC status code.</param>
    /// <param name="RetryAfterSeconds">Value of <c>Retry-After</c> unless the error knows better; null for none.</param>
    public sealed record Entry(int HttpStatus, string Type, string Code, StatusCode GrpcStatus, int? RetryAfterSeconds = null);

    /// <summary>The entry of <paramref name="error"/>.</summary>
    public static Entry For(OperatingError error) => error switch
    {
        OperatingError.InvalidRequest => new(400, "invalid_request_error", "invalid_request_error", StatusCode.InvalidArgument),
        OperatingError.ContextTooLong => new(400, "invalid_request_error", "invalid_request_error", StatusCode.InvalidArgument),
        OperatingError.UnknownModel => new(400, "invalid_request_error", "invalid_request_error", StatusCode.NotFound),
        OperatingError.Overloaded => new(429, "rate_limit_error", "rate_limit_exceeded", StatusCode.ResourceExhausted, RetryAfterSeconds: 1),
        OperatingError.Unavailable => new(503, "service_unavailable", "overloaded", StatusCode.Unavailable, RetryAfterSeconds: 1),
        OperatingError.DeadlineExceeded => new(504, "server_error", "deadline_exceeded", StatusCode.DeadlineExceeded),
        _ => new(500, "server_error", "internal_error", StatusCode.Internal),
    };

    /// <summary>When a client had better come back after <paramref name="error"/>: as it says, else as is usual for its kind; null if that is no use.</summary>
    public static int? RetryAfterSeconds(OperatingException error)
    {
        ArgumentNullException.ThrowIfNull(error);
        return error.RetryAfterSeconds ?? For(error.Error).RetryAfterSeconds;
    }

    /// <summary>What <paramref name="exception"/> means; a fault that we did not foresee is <see cref="OperatingError.Internal"/> and tells the client no detail.</summary>
    public static OperatingException Explain(Exception exception) => exception switch
    {
        OperatingException known => known,
        ClusterException remote => new OperatingException(remote.Error, remote.Message, remote) { RetryAfterSeconds = remote.RetryAfterSeconds > 0 ? remote.RetryAfterSeconds : null },
        ChatFormatException chat => new OperatingException(OperatingError.InvalidRequest, chat.Message, chat),
        SiloUnavailableException or OrleansMessageRejectionException or EnumerationAbortedException => new OperatingException(OperatingError.Unavailable, "the silo that served this request is gone; try again", exception),
        TimeoutException => new OperatingException(OperatingError.Unavailable, "the cluster did not answer in time; try again", exception),
        _ => new OperatingException(OperatingError.Internal, "internal error; the server's log has the details", exception),
    };
}
