using System.Globalization;
using Conclave.Engine;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Microsoft.Extensions.Logging;

namespace Conclave.Gateway.Grpc;

/// <summary>Turns what a service throws into a gRPC status, by the same map as HTTP.</summary>
internal sealed partial class ErrorInterceptor(ILogger<ErrorInterceptor> logger) : Interceptor
{
    public override async Task<TResponse> UnaryServerHandler<TRequest, TResponse>(
        TRequest request, ServerCallContext context, UnaryServerMethod<TRequest, TResponse> continuation)
    {
        try
        {
            return await continuation(request, context);
        }
        catch (Exception e) when (IsOurs(e, context))
        {
            throw Status(e, context);
        }
    }

    public override async Task ServerStreamingServerHandler<TRequest, TResponse>(
        TRequest request, IServerStreamWriter<TResponse> responseStream, ServerCallContext context, ServerStreamingServerMethod<TRequest, TResponse> continuation)
    {
        try
        {
            await continuation(request, responseStream, context);
        }
        catch (Exception e) when (IsOurs(e, context))
        {
            throw Status(e, context);
        }
    }

    /// <summary>A cancelled call has its status already.</summary>
    private static bool IsOurs(Exception e, ServerCallContext context) =>
        e is not RpcException && !(e is OperationCanceledException && context.CancellationToken.IsCancellationRequested);

    private RpcException Status(Exception e, ServerCallContext context)
    {
        OperatingException error = ErrorMap.Explain(e);
        if (error.Error == OperatingError.Internal) LogFault(e, context.Method);
        var status = new Status(ErrorMap.For(error.Error).GrpcStatus, error.Message);
        if (ErrorMap.RetryAfterSeconds(error) is not { } seconds) return new RpcException(status);
        // The name and unit that gRPC's own retry policies know.
        return new RpcException(status, new Metadata { { "grpc-retry-pushback-ms", (seconds * 1000).ToString(CultureInfo.InvariantCulture) } });
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "{Method} failed")]
    private partial void LogFault(Exception exception, string method);
}
