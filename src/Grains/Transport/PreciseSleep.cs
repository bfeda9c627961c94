using System.Runtime.InteropServices;

namespace Conclave.Grains.Transport;

/// <summary>
/// Sleeps to within some ten microseconds without spinning, for injected link delays only. Linux rounds a thread's sleeps up by 50 us
/// unless its timer slack is set; elsewhere the wait is spun.
/// </summary>
internal static unsafe partial class PreciseSleep
{
    private const int SetTimerSlack = 29;
    private const long WakeUpNs = 20 * Nanoseconds.PerMicrosecond;

    [ThreadStatic]
    private static bool IsSlackSet;

    public static void Until(long untilNs, TimeProvider clock)
    {
        while (true)
        {
            long leftNs = untilNs - clock.NowNs();
            if (leftNs <= 0) return;
            if (leftNs <= WakeUpNs || !OperatingSystem.IsLinux()) Thread.SpinWait(20);
            else Sleep(leftNs - WakeUpNs);
        }
    }

    private static void Sleep(long ns)
    {
        if (!IsSlackSet) IsSlackSet = prctl(SetTimerSlack, 1, 0, 0, 0) == 0;
        long* span = stackalloc long[2] { ns / 1_000_000_000, ns % 1_000_000_000 };
        _ = nanosleep(span, null);
    }

    [LibraryImport("libc")]
    private static partial int prctl(int option, nuint argument, nuint unused3, nuint unused4, nuint unused5);

    /// <summary>Two long integers each, seconds and nanoseconds. An interrupted sleep is taken up again by the caller's loop.</summary>
    [LibraryImport("libc")]
    private static partial int nanosleep(long* span, long* left);
}
