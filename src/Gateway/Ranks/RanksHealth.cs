using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Conclave.Gateway.Ranks;

/// <summary>Healthy while some rank takes sequences.</summary>
internal sealed class RanksHealth(RankDirectory ranks) : IHealthCheck
{
    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        // Who asks while the host still starts gets the answer to the first look, not a guess.
        await ranks.Looked.WaitAsync(cancellationToken);
        return ranks.IsReady ? HealthCheckResult.Healthy() : HealthCheckResult.Unhealthy($"no rank can be reached: {ranks.Trouble}");
    }
}
