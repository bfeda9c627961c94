using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;

namespace Orleans.Runtime;

/// <summary>
/// Probes some of the other silos: those that follow this one on a ring ordered by hash, so that each silo is watched by a few. One that misses
/// several probes in a row is suspected.
/// </summary>
internal sealed partial class FailureDetector(SiloRuntime silo, ClusterMembershipOptions options, TimeProvider clock, ILogger logger)
{
    /// <summary>How late a busy machine may run a timer.</summary>
    private static readonly TimeSpan LongestDelay = TimeSpan.FromSeconds(3);

    private readonly ConcurrentDictionary<SiloAddress, int> _missed = new();

    public async Task RunAsync(CancellationToken token)
    {
        using var timer = new PeriodicTimer(options.ProbeTimeout, clock);
        long last = clock.GetTimestamp();
        try
        {
            while (await timer.WaitForNextTickAsync(token))
            {
                TimeSpan gap = clock.GetElapsedTime(last);
                last = clock.GetTimestamp();
                if (gap > (options.ProbeTimeout * 3) + LongestDelay)
                {
                    // Whoever stood still that long may have been declared dead, and must not take its own silence for that of others.
                    LogStalled(gap.TotalSeconds);
                    _missed.Clear();
                    silo.Membership.RefreshSoon();
                    continue;
                }
                SiloAddress[] watched = Watched();
                foreach (SiloAddress gone in _missed.Keys.Except(watched)) _missed.TryRemove(gone, out _);
                await Task.WhenAll(watched.Select(ProbeAsync));
                if (watched.Length > 0 && watched.All(other => _missed.GetValueOrDefault(other) >= options.NumMissedProbesLimit)) await silo.Membership.OnNobodyAnswersAsync();
            }
        }
        catch (OperationCanceledException) when (token.IsCancellationRequested)
        {
            LogStopped();
        }
    }

    private SiloAddress[] Watched()
    {
        SiloAddress[] ring = [.. silo.Membership.Data.Rows.Where(row => row.IsLive).Select(row => row.Silo).OrderBy(address => StableHash.Of(address.ToParsableString())).ThenBy(address => address)];
        int self = Array.IndexOf(ring, silo.Address);
        return self < 0 ? [] : [.. ring[(self + 1)..].Concat(ring[..self]).Take(options.NumProbedSilos)];
    }

    private async Task ProbeAsync(SiloAddress target)
    {
        try
        {
            await silo.Control(target).Ping().WaitAsync(options.ProbeTimeout, clock);
            _missed[target] = 0;
        }
        catch (Exception e)
        {
            int missed = _missed.AddOrUpdate(target, 1, static (_, count) => count + 1);
            LogMissed(target, missed, options.NumMissedProbesLimit, e.Message);
            if (missed >= options.NumMissedProbesLimit) await silo.Membership.SuspectAsync(target);
        }
    }

    [LoggerMessage(LogLevel.Warning, "Silo {Silo} missed {Missed} probes ({Limit} make it suspect): {Reason}")]
    private partial void LogMissed(SiloAddress silo, int missed, int limit, string reason);

    [LoggerMessage(LogLevel.Warning, "This process stood still for {Seconds:F0} s")]
    private partial void LogStalled(double seconds);

    [LoggerMessage(LogLevel.Debug, "Probing has stopped")]
    private partial void LogStopped();
}
