using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Routing.Patterns;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Grpc.AspNetCore.Server.Internal;

/// <summary>Makes the endpoints of services: one a method, one for a service's unknown methods, one for unknown services.</summary>
internal sealed class ServiceRoutes(IOptions<GrpcServiceOptions> options, ILoggerFactory loggers)
{
    private static readonly object UnimplementedPolicies = new { unimplementedMethod = new GrpcRequestConstraint() };

    private bool _unknownServiceMapped;

    public IReadOnlyList<IEndpointConventionBuilder> Map<TService>(IEndpointRouteBuilder builder) where TService : class
    {
        var binder = new EndpointBinder<TService>(builder, options.Value, loggers.CreateLogger("Grpc.AspNetCore.Server.ServerCallHandler"));
        ServiceBinding.Bind(typeof(TService), binder);
        List<IEndpointConventionBuilder> endpoints = [.. binder.Endpoints];
        foreach (string service in binder.ServiceNames)
            endpoints.Add(MapUnimplemented(builder, service, "Method is unimplemented.").WithDisplayName($"gRPC - Unimplemented method for {service}"));
        if (!_unknownServiceMapped && options.Value.IgnoreUnknownServices != true)
        {
            _unknownServiceMapped = true;
            endpoints.Add(MapUnimplemented(builder, "{unimplementedService}", "Service is unimplemented.").WithDisplayName("gRPC - Unimplemented service"));
        }
        return endpoints;
    }

    private static IEndpointConventionBuilder MapUnimplemented(IEndpointRouteBuilder builder, string service, string detail)
    {
        RoutePattern pattern = RoutePatternFactory.Parse(service + "/{unimplementedMethod}", defaults: null, UnimplementedPolicies);
        return builder.Map(pattern, context =>
        {
            context.Response.ContentType = Protocol.ContentType;
            Trailers.SetStatus(context.Response, new Status(StatusCode.Unimplemented, detail));
            return Task.CompletedTask;
        });
    }

    /// <summary>Lets gRPC calls alone reach the endpoints of what is not there; all else stays free for other routes.</summary>
    private sealed class GrpcRequestConstraint : IRouteConstraint
    {
        public bool Match(HttpContext? httpContext, IRouter? route, string routeKey, RouteValueDictionary values, RouteDirection routeDirection)
            => httpContext is not null && HttpMethods.IsPost(httpContext.Request.Method) && Protocol.IsGrpcContentType(httpContext.Request.ContentType);
    }
}
