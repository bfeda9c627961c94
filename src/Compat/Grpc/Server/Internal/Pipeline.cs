using Grpc.Core;
using Grpc.Core.Interceptors;
using Microsoft.Extensions.DependencyInjection;

namespace Grpc.AspNetCore.Server.Internal;

/// <summary>
/// Chains the interceptors of a server around the method of a service. The chain is made once; interceptors and service are made
/// for each call, inside the chain, so that an outer interceptor sees what goes wrong while an inner one or the service is made.
/// </summary>
internal static class Pipeline
{
    public static UnaryServerMethod<TRequest, TResponse> Unary<TService, TRequest, TResponse>(
        IReadOnlyList<InterceptorRegistration> interceptors, Func<TService, TRequest, ServerCallContext, Task<TResponse>> invoke)
        where TService : class
        where TRequest : class
        where TResponse : class
    {
        Func<IServiceProvider, Activated<TService>> activate = Activated.Service<TService>();
        UnaryServerMethod<TRequest, TResponse> chain = async (request, context) =>
        {
            await using Activated<TService> service = activate(Services(context));
            return await invoke(service.Instance, request, context);
        };
        foreach (InterceptorRegistration registration in interceptors.Reverse())
        {
            UnaryServerMethod<TRequest, TResponse> next = chain;
            chain = async (request, context) =>
            {
                await using Activated<Interceptor> interceptor = Activated.Interceptor(registration, Services(context));
                return await interceptor.Instance.UnaryServerHandler(request, context, next);
            };
        }
        return chain;
    }

    public static ClientStreamingServerMethod<TRequest, TResponse> ClientStreaming<TService, TRequest, TResponse>(
        IReadOnlyList<InterceptorRegistration> interceptors,
        Func<TService, IAsyncStreamReader<TRequest>, ServerCallContext, Task<TResponse>> invoke)
        where TService : class
        where TRequest : class
        where TResponse : class
    {
        Func<IServiceProvider, Activated<TService>> activate = Activated.Service<TService>();
        ClientStreamingServerMethod<TRequest, TResponse> chain = async (requests, context) =>
        {
            await using Activated<TService> service = activate(Services(context));
            return await invoke(service.Instance, requests, context);
        };
        foreach (InterceptorRegistration registration in interceptors.Reverse())
        {
            ClientStreamingServerMethod<TRequest, TResponse> next = chain;
            chain = async (requests, context) =>
            {
                await using Activated<Interceptor> interceptor = Activated.Interceptor(registration, Services(context));
                return await interceptor.Instance.ClientStreamingServerHandler(requests, context, next);
            };
        }
        return chain;
    }

    public static ServerStreamingServerMethod<TRequest, TResponse> ServerStreaming<TService, TRequest, TResponse>(
        IReadOnlyList<InterceptorRegistration> interceptors,
        Func<TService, TRequest, IServerStreamWriter<TResponse>, ServerCallContext, Task> invoke)
        where TService : class
        where TRequest : class
        where TResponse : class
    {
        Func<IServiceProvider, Activated<TService>> activate = Activated.Service<TService>();
        ServerStreamingServerMethod<TRequest, TResponse> chain = async (request, responses, context) =>
        {
            await using Activated<TService> service = activate(Services(context));
            await invoke(service.Instance, request, responses, context);
        };
        foreach (InterceptorRegistration registration in interceptors.Reverse())
        {
            ServerStreamingServerMethod<TRequest, TResponse> next = chain;
            chain = async (request, responses, context) =>
            {
                await using Activated<Interceptor> interceptor = Activated.Interceptor(registration, Services(context));
                await interceptor.Instance.ServerStreamingServerHandler(request, responses, context, next);
            };
        }
        return chain;
    }

    public static DuplexStreamingServerMethod<TRequest, TResponse> DuplexStreaming<TService, TRequest, TResponse>(
        IReadOnlyList<InterceptorRegistration> interceptors,
        Func<TService, IAsyncStreamReader<TRequest>, IServerStreamWriter<TResponse>, ServerCallContext, Task> invoke)
        where TService : class
        where TRequest : class
        where TResponse : class
    {
        Func<IServiceProvider, Activated<TService>> activate = Activated.Service<TService>();
        DuplexStreamingServerMethod<TRequest, TResponse> chain = async (requests, responses, context) =>
        {
            await using Activated<TService> service = activate(Services(context));
            await invoke(service.Instance, requests, responses, context);
        };
        foreach (InterceptorRegistration registration in interceptors.Reverse())
        {
            DuplexStreamingServerMethod<TRequest, TResponse> next = chain;
            chain = async (requests, responses, context) =>
            {
                await using Activated<Interceptor> interceptor = Activated.Interceptor(registration, Services(context));
                await interceptor.Instance.DuplexStreamingServerHandler(requests, responses, context, next);
            };
        }
        return chain;
    }

    private static IServiceProvider Services(ServerCallContext context) => context.GetHttpContext().RequestServices;
}
