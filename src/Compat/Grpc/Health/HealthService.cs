using Grpc.Core;
using Grpc.Health.V1;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using ServingStatus = Grpc.Health.V1.HealthCheckResponse.Types.ServingStatus;

namespace Grpc.AspNetCore.HealthChecks;

/// <summary>Answers grpc.health.v1.Health from the health checks of the host.</summary>
internal sealed class HealthService(
    HealthStates states, HealthCheckService checks, IOptions<GrpcHealthChecksOptions> options, IHostApplicationLifetime lifetime)
    : Grpc.Health.V1.Health.HealthBase
{
    public override async Task<HealthCheckResponse> Check(HealthCheckRequest request, ServerCallContext context)
    {
        ServingStatus? state = await CurrentAsync(request.Service, context.CancellationToken);
        return new HealthCheckResponse { Status = state ?? throw new RpcException(new Status(StatusCode.NotFound, "")) };
    }

    public override async Task Watch(HealthCheckRequest request, IServerStreamWriter<HealthCheckResponse> responseStream, ServerCallContext context)
    {
        using HealthStates.Watcher watcher = states.Watch(request.Service);
        using var cancellation = CancellationTokenSource.CreateLinkedTokenSource(
            context.CancellationToken, options.Value.SuppressCompletionOnShutdown ? default : lifetime.ApplicationStopping);
        ServingStatus last = await CurrentAsync(request.Service, context.CancellationToken) ?? ServingStatus.ServiceUnknown;
        await responseStream.WriteAsync(new HealthCheckResponse { Status = last }, context.CancellationToken);
        try
        {
            await foreach (ServingStatus state in watcher.Changes.ReadAllAsync(cancellation.Token))
            {
                if (state == last)
                    continue;
                last = state;
                await responseStream.WriteAsync(new HealthCheckResponse { Status = state }, context.CancellationToken);
            }
        }
        catch (OperationCanceledException) when (lifetime.ApplicationStopping.IsCancellationRequested && !context.CancellationToken.IsCancellationRequested)
        {
            // Watchers learn of the end while they can still be told; the call then ends well.
            if (last != ServingStatus.NotServing)
                await responseStream.WriteAsync(new HealthCheckResponse { Status = ServingStatus.NotServing }, context.CancellationToken);
        }
    }

    private async Task<ServingStatus?> CurrentAsync(string service, CancellationToken cancellationToken)
    {
        if (options.Value.UseHealthChecksCache)
            return states.Find(service);
        if (options.Value.Services.Find(service) is not { } mapping)
            return null;
        HealthReport report = await checks.CheckHealthAsync(
            registration => mapping.HealthCheckPredicate?.Invoke(new HealthCheckMapContext(registration.Name, registration.Tags)) != false, cancellationToken);
        return HealthStates.Judge(mapping, report);
    }
}
