namespace Conclave.Grains.Transport;

/// <summary>Sleeps to within some microseconds, for injected link delays only: the end of the wait is spun.</summary>
internal static class PreciseSleep
{
    public static void Until(long untilNs, TimeProvider clock)
    {
        while (clock.NowNs() < untilNs) Thread.SpinWait(20);
    }
}
