using Conclave.Engine;
using Conclave.Grains;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Conclave.Silo;

/// <summary>Healthy while this silo's rank can take sequences.</summary>
internal sealed class RankHealth(Rank rank) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        try
        {
            EngineStatus status = rank.Engine.Status;
            if (status.Fault is { } fault) return Task.FromResult(HealthCheckResult.Unhealthy("the step loop has failed; restart the silo", fault));
            return Task.FromResult(HealthCheckResult.Healthy($"{status.Running} running, {status.Waiting} waiting"));
        }
        catch (OperatingException e)
        {
            return Task.FromResult(HealthCheckResult.Unhealthy(e.Message));
        }
    }
}
