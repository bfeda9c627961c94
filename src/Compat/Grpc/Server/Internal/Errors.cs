using System.Text;
using Grpc.Core;
using Microsoft.AspNetCore.Http;

namespace Grpc.AspNetCore.Server.Internal;

/// <summary>The statuses that the server itself answers with.</summary>
internal static class Errors
{
    private const string HandlerThrew = "Exception was thrown by handler.";

    public static readonly Status ReceivedTooLarge = new(StatusCode.ResourceExhausted, "Received message exceeds the maximum configured message size.");
    public static readonly Status SendingTooLarge = new(StatusCode.ResourceExhausted, "Sending message exceeds the maximum configured message size.");
    public static readonly Status Incomplete = new(StatusCode.Internal, "Incomplete message.");
    public static readonly Status AdditionalData = new(StatusCode.Internal, "Additional data after the message received.");
    public static readonly Status BadFlag = new(StatusCode.Internal, "Unexpected compressed flag value in message header.");
    public static readonly Status NoEncoding = new(StatusCode.Internal, "Request did not include grpc-encoding value with compressed message.");
    public static readonly Status IdentityEncoding = new(StatusCode.Internal, "Request sent 'identity' grpc-encoding value with compressed message.");
    public static readonly Status DeadlineExceeded = new(StatusCode.DeadlineExceeded, "Deadline Exceeded");
    public static readonly Status NoResponse = new(StatusCode.Cancelled, "No message returned from method.");

    public static Status UnknownEncoding(string encoding)
        => new(StatusCode.Unimplemented, $"Unsupported grpc-encoding value '{encoding}'. Supported encodings: {Compression.Supported}");

    public static Status Unparsable(Exception exception) => new(StatusCode.Internal, "The request message cannot be parsed.", exception);

    /// <summary>The status for an exception that left a handler. Its text is shown only when <paramref name="detailed"/>.</summary>
    public static Status From(Exception exception, bool detailed) => exception switch
    {
        RpcException rpc => rpc.Status,
        BadHttpRequestException { StatusCode: StatusCodes.Status413PayloadTooLarge } => ReceivedTooLarge,
        _ => new Status(StatusCode.Unknown, detailed ? HandlerThrew + Describe(exception) : HandlerThrew, exception),
    };

    private static string Describe(Exception exception)
    {
        var text = new StringBuilder();
        for (Exception? inner = exception; inner is not null; inner = inner.InnerException)
            text.Append(' ').Append(inner.GetType().Name).Append(": ").Append(inner.Message);
        return text.ToString();
    }
}
