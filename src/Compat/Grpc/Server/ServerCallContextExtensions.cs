using Grpc.AspNetCore.Server.Internal;
using Microsoft.AspNetCore.Http;

namespace Grpc.Core;

/// <summary>The HTTP side of a call.</summary>
public static class ServerCallContextExtensions
{
    /// <summary>The HTTP request behind a call.</summary>
    public static HttpContext GetHttpContext(this ServerCallContext serverCallContext)
    {
        ArgumentNullException.ThrowIfNull(serverCallContext);
        if (serverCallContext is HttpCallContext call)
            return call.HttpContext;
        return serverCallContext.UserState.TryGetValue("__HttpContext", out object? value) && value is HttpContext httpContext
            ? httpContext
            : throw new InvalidOperationException("The call has no HTTP request: it was not made by this server, nor does its UserState hold '__HttpContext'.");
    }
}
