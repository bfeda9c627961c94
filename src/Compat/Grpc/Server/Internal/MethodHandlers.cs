using Grpc.Core;
using Microsoft.Extensions.Logging;

namespace Grpc.AspNetCore.Server.Internal;

internal sealed class UnaryHandler<TRequest, TResponse>(
    Method<TRequest, TResponse> method, GrpcServiceOptions options, ILogger logger, UnaryServerMethod<TRequest, TResponse> invoke)
    : CallHandler(options, logger)
    where TRequest : class
    where TResponse : class
{
    protected override async Task RunAsync(HttpCallContext call)
    {
        TRequest request = await call.Reader.ReadSingleAsync(method.RequestMarshaller.ContextualDeserializer, call.CancellationToken);
        await call.RespondAsync(await invoke(request, call), method.ResponseMarshaller);
    }
}

internal sealed class ClientStreamingHandler<TRequest, TResponse>(
    Method<TRequest, TResponse> method, GrpcServiceOptions options, ILogger logger, ClientStreamingServerMethod<TRequest, TResponse> invoke)
    : CallHandler(options, logger)
    where TRequest : class
    where TResponse : class
{
    protected override async Task RunAsync(HttpCallContext call)
    {
        LiftRequestLimits(call.HttpContext);
        var requests = new RequestStream<TRequest>(call, method.RequestMarshaller.ContextualDeserializer);
        await call.RespondAsync(await invoke(requests, call), method.ResponseMarshaller);
    }
}

internal sealed class ServerStreamingHandler<TRequest, TResponse>(
    Method<TRequest, TResponse> method, GrpcServiceOptions options, ILogger logger, ServerStreamingServerMethod<TRequest, TResponse> invoke)
    : CallHandler(options, logger)
    where TRequest : class
    where TResponse : class
{
    protected override async Task RunAsync(HttpCallContext call)
    {
        DisableTimeout(call.HttpContext);
        TRequest request = await call.Reader.ReadSingleAsync(method.RequestMarshaller.ContextualDeserializer, call.CancellationToken);
        await invoke(request, new ResponseStream<TResponse>(call, method.ResponseMarshaller.ContextualSerializer), call);
    }
}

internal sealed class DuplexStreamingHandler<TRequest, TResponse>(
    Method<TRequest, TResponse> method, GrpcServiceOptions options, ILogger logger, DuplexStreamingServerMethod<TRequest, TResponse> invoke)
    : CallHandler(options, logger)
    where TRequest : class
    where TResponse : class
{
    protected override async Task RunAsync(HttpCallContext call)
    {
        LiftRequestLimits(call.HttpContext);
        var requests = new RequestStream<TRequest>(call, method.RequestMarshaller.ContextualDeserializer);
        var responses = new ResponseStream<TResponse>(call, method.ResponseMarshaller.ContextualSerializer);
        await invoke(requests, responses, call);
    }
}
