using Grpc.Reflection;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace Microsoft.Extensions.DependencyInjection
{
    /// <summary>Adds gRPC reflection to a host.</summary>
    public static class GrpcReflectionServiceExtensions
    {
        /// <summary>Adds gRPC reflection.</summary>
        public static IServiceCollection AddGrpcReflection(this IServiceCollection services)
        {
            ArgumentNullException.ThrowIfNull(services);
            services.TryAddSingleton<ReflectionAnswers>();
            return services;
        }
    }
}

namespace Microsoft.AspNetCore.Builder
{
    /// <summary>Maps gRPC reflection.</summary>
    public static class GrpcReflectionEndpointRouteBuilderExtensions
    {
        /// <summary>Serves grpc.reflection.v1 and v1alpha, which describe all gRPC services of this server.</summary>
        public static IEndpointConventionBuilder MapGrpcReflectionService(this IEndpointRouteBuilder builder)
        {
            GrpcServiceEndpointConventionBuilder v1 = builder.MapGrpcService<ReflectionServiceV1>();
            GrpcServiceEndpointConventionBuilder v1Alpha = builder.MapGrpcService<ReflectionServiceV1Alpha>();
            return new GrpcServiceEndpointConventionBuilder([v1, v1Alpha]);
        }
    }
}
