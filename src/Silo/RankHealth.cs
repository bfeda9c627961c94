using Conclave.Engine;
using Conclave.Grains;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Conclave.Silo;

/// <summary>Healthy while this silo serves: its rank takes sequences, and every expert has a place somewhere.</summary>
internal sealed class RankHealth(SiloLifetime lifetime, ClusterWatch watch, SiloOptions options, Rank rank) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) => Task.FromResult(Check());

    private HealthCheckResult Check()
    {
        if (lifetime.Obstacle is { } obstacle) return HealthCheckResult.Unhealthy(obstacle);
        if (watch.View.MissingExperts is > 0 and int missing) return HealthCheckResult.Unhealthy($"{missing} experts have no place; add a silo or raise its expert memory");
        if (!options.HasRank) return HealthCheckResult.Healthy($"experts only, map version {watch.View.Map.Version}");
        EngineStatus status = rank.Engine.Status;
        return rank.Fault is { } fault
            ? HealthCheckResult.Unhealthy($"restart the silo: {fault}", status.Fault)
            : HealthCheckResult.Healthy($"{status.Running} running, {status.Waiting} waiting");
    }
}
