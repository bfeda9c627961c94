using Grpc.Core;
using Microsoft.Extensions.Logging;

namespace Grpc.AspNetCore.Server.Internal;

/// <summary>What the server logs.</summary>
internal static partial class Log
{
    [LoggerMessage(1, LogLevel.Information, "Request content-type of '{ContentType}' is not supported.")]
    public static partial void UnsupportedContentType(ILogger logger, string? contentType);

    [LoggerMessage(2, LogLevel.Information, "Request protocol of '{Protocol}' is not supported.")]
    public static partial void UnsupportedProtocol(ILogger logger, string protocol);

    [LoggerMessage(3, LogLevel.Information, "Call of '{Method}' ended with the status {StatusCode}.")]
    public static partial void EndedWithStatus(ILogger logger, string method, StatusCode statusCode, Exception exception);

    [LoggerMessage(4, LogLevel.Error, "Error when executing service method '{Method}'.")]
    public static partial void HandlerFailed(ILogger logger, string method, Exception exception);

    [LoggerMessage(5, LogLevel.Debug, "The handler of '{Method}' ended after its call had been cancelled.")]
    public static partial void EndedAfterCancellation(ILogger logger, string method, Exception exception);

    [LoggerMessage(6, LogLevel.Error, "The trailers of '{Method}' cannot be sent.")]
    public static partial void TrailersFailed(ILogger logger, string method, Exception exception);

    [LoggerMessage(7, LogLevel.Error, "Error when ending a call of '{Method}' whose deadline had passed.")]
    public static partial void DeadlineFailed(ILogger logger, string method, Exception exception);
}
