using Microsoft.Extensions.Logging;

namespace Orleans.Runtime;

/// <summary>What silos and clients log.</summary>
internal static partial class RuntimeLogs
{
    [LoggerMessage(LogLevel.Error, "{Address} received bytes that are no message")]
    public static partial void BadFrame(this ILogger logger, SiloAddress address, Exception exception);

    [LoggerMessage(LogLevel.Warning, "Silo {Silo} stopped before its {Count} grains were deactivated")]
    public static partial void StopCut(this ILogger logger, SiloAddress silo, int count);

    [LoggerMessage(LogLevel.Warning, "Silo {Silo} leaves, though somebody who is connected to it did not say that no more requests come")]
    public static partial void NotSilent(this ILogger logger, SiloAddress silo);

    [LoggerMessage(LogLevel.Error, "Silo {Silo} counts as dead and stops serving: {Reason}")]
    public static partial void DeclaredDead(this ILogger logger, SiloAddress silo, string reason);

    [LoggerMessage(LogLevel.Warning, "Silo {Silo} has left, but the membership table could not be told")]
    public static partial void LeftUnnoticed(this ILogger logger, SiloAddress silo);
}
