using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Conclave.Gateway.Ranks;

/// <summary>Healthy while some rank takes sequences.</summary>
internal sealed class RanksHealth(RankDirectory ranks) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) =>
        Task.FromResult(ranks.HasRank ? HealthCheckResult.Healthy() : HealthCheckResult.Unhealthy($"no rank can be reached: {ranks.Trouble}"));
}
