using Conclave.Engine;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Conclave.Gateway.Http;

/// <summary>Turns whatever goes wrong before the first byte into the API's error body; after it, the connection is cut so that no client takes half an answer for a whole one.</summary>
internal sealed partial class ErrorMiddleware(RequestDelegate next, ILogger<ErrorMiddleware> logger)
{
    public async Task InvokeAsync(HttpContext context)
    {
        try
        {
            await next(context);
            await ExplainStatus(context.Response);
        }
        catch (Exception e) when (context.RequestAborted.IsCancellationRequested)
        {
            // There is nobody to answer, and the sequence is freed already.
            LogClientGone(e, context.Request.Method, context.Request.Path);
        }
        catch (BadHttpRequestException e) when (!context.Response.HasStarted)
        {
            string message = e.StatusCode == StatusCodes.Status413PayloadTooLarge ? "the request body is too large" : e.Message;
            await ApiError.Respond(context.Response, new OperatingException(OperatingError.InvalidRequest, message), e.StatusCode);
        }
        catch (Exception e)
        {
            OperatingException error = ErrorMap.Explain(e);
            if (error.Error == OperatingError.Internal) LogFault(e, context.Request.Method, context.Request.Path);
            if (context.Response.HasStarted) context.Abort();
            else await ApiError.Respond(context.Response, error);
        }
    }

    private static Task ExplainStatus(HttpResponse response)
    {
        if (response.HasStarted || response.ContentLength > 0 || response.ContentType is not null) return Task.CompletedTask;
        string? message = response.StatusCode switch
        {
            StatusCodes.Status404NotFound => $"no such path: {response.HttpContext.Request.Method} {response.HttpContext.Request.Path}",
            StatusCodes.Status405MethodNotAllowed => $"method {response.HttpContext.Request.Method} is not allowed here",
            StatusCodes.Status415UnsupportedMediaType => "the content type is not supported; send application/json",
            _ => null,
        };
        return message is null
            ? Task.CompletedTask
            : ApiError.Respond(response, new OperatingException(OperatingError.InvalidRequest, message), response.StatusCode);
    }

    [LoggerMessage(Level = LogLevel.Debug, Message = "the client of {Method} {Path} has gone")]
    private partial void LogClientGone(Exception exception, string method, string path);

    [LoggerMessage(Level = LogLevel.Error, Message = "{Method} {Path} failed")]
    private partial void LogFault(Exception exception, string method, string path);
}
