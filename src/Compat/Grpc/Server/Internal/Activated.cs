using Grpc.Core.Interceptors;
using Microsoft.Extensions.DependencyInjection;

namespace Grpc.AspNetCore.Server.Internal;

/// <summary>An object for one call. One that was made for the call is disposed after it; one that came from the services is theirs.</summary>
internal readonly record struct Activated<T>(T Instance, bool Made) : IAsyncDisposable where T : class
{
    public async ValueTask DisposeAsync()
    {
        if (!Made)
            return;
        if (Instance is IAsyncDisposable asyncDisposable)
            await asyncDisposable.DisposeAsync();
        else
            (Instance as IDisposable)?.Dispose();
    }
}

internal static class Activated
{
    /// <summary>What gets a service from a call's services, or makes it from them.</summary>
    public static Func<IServiceProvider, Activated<T>> Service<T>() where T : class
    {
        var factory = new Lazy<ObjectFactory<T>>(() => ActivatorUtilities.CreateFactory<T>([]));
        return services => services.GetService<T>() is { } service
            ? new Activated<T>(service, Made: false)
            : new Activated<T>(factory.Value(services, []), Made: true);
    }

    /// <summary>Gets an interceptor from a call's services, or makes it from them and its arguments.</summary>
    public static Activated<Interceptor> Interceptor(InterceptorRegistration registration, IServiceProvider services)
        => registration.Arguments.Count == 0 && services.GetService(registration.Type) is Interceptor interceptor
            ? new Activated<Interceptor>(interceptor, Made: false)
            : new Activated<Interceptor>(
                (Interceptor)ActivatorUtilities.CreateInstance(services, registration.Type, [.. registration.Arguments]), Made: true);
}
