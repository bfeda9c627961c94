using Grpc.Core;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.Timeouts;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Microsoft.Extensions.Logging;

namespace Grpc.AspNetCore.Server.Internal;

/// <summary>The endpoint of a method, whatever its kind: from the HTTP request to the status.</summary>
internal abstract class CallHandler(GrpcServiceOptions options, ILogger logger)
{
    public async Task HandleAsync(HttpContext httpContext)
    {
        if (Refuse(httpContext))
            return;
        httpContext.Response.ContentType = Protocol.ContentType;
        await using var call = new HttpCallContext(httpContext, options, logger);
        Status status;
        Metadata? trailers = null;
        try
        {
            await RunAsync(call);
            status = call.Status;
        }
        catch (Exception exception)
        {
            LogFailure(call, exception);
            status = Errors.From(exception, options.EnableDetailedErrors == true);
            trailers = (exception as RpcException)?.Trailers;
        }
        await call.EndAsync(status, trailers);
    }

    protected abstract Task RunAsync(HttpCallContext call);

    /// <summary>A stream may be long and slow; limits that are meant for ordinary requests would cut it off.</summary>
    protected static void LiftRequestLimits(HttpContext httpContext)
    {
        DisableTimeout(httpContext);
        if (httpContext.Features.Get<IHttpMinRequestBodyDataRateFeature>() is { } rate)
            rate.MinDataRate = null;
        if (httpContext.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } size)
            size.MaxRequestBodySize = null;
    }

    protected static void DisableTimeout(HttpContext httpContext) => httpContext.Features.Get<IHttpRequestTimeoutFeature>()?.DisableTimeout();

    private bool Refuse(HttpContext httpContext)
    {
        HttpRequest request = httpContext.Request;
        if (!Protocol.IsGrpcContentType(request.ContentType))
        {
            Log.UnsupportedContentType(logger, request.ContentType);
            string detail = request.ContentType is null
                ? "Content-Type is missing from the request."
                : $"Content-Type '{request.ContentType}' is not supported.";
            Refuse(httpContext.Response, StatusCodes.Status415UnsupportedMediaType, detail);
            return true;
        }
        if (!HttpProtocol.IsHttp2(request.Protocol) && !HttpProtocol.IsHttp3(request.Protocol))
        {
            Log.UnsupportedProtocol(logger, request.Protocol);
            Refuse(httpContext.Response, StatusCodes.Status426UpgradeRequired, $"Request protocol '{request.Protocol}' is not supported.");
            httpContext.Response.Headers.Upgrade = "HTTP/2";
            return true;
        }
        return false;
    }

    private static void Refuse(HttpResponse response, int httpStatus, string detail)
    {
        response.StatusCode = httpStatus;
        Trailers.SetStatus(response, new Status(StatusCode.Internal, detail));
    }

    private void LogFailure(HttpCallContext call, Exception exception)
    {
        if (call.CancellationToken.IsCancellationRequested)
            Log.EndedAfterCancellation(logger, call.Method, exception);
        else if (exception is RpcException rpc)
            Log.EndedWithStatus(logger, call.Method, rpc.StatusCode, exception);
        else
            Log.HandlerFailed(logger, call.Method, exception);
    }
}
