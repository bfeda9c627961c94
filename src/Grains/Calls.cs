using Orleans.Runtime;

namespace Conclave.Grains;

/// <summary>Calls of grains that must not be given up for one failure.</summary>
public static class Calls
{
    /// <summary>
    /// Whether a call failed for reasons of the cluster: a silo is dead, stopping or slow, so that the same call may succeed a moment later. Its outcome is
    /// unknown, so only calls that may run twice may be repeated.
    /// </summary>
    public static bool MayBeRepeated(Exception exception) =>
        exception is OrleansException or TimeoutException or OperationCanceledException or IOException or ClusterException { Error: Engine.OperatingError.Unavailable };
}
