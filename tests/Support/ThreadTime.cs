using System.Runtime.InteropServices;

namespace Conclave.Tests.Support;

/// <summary>What the processor has done for the current thread. Other than a clock on the wall it stands still while the thread waits for its turn, so a limit to it holds on a busy machine too.</summary>
internal static unsafe partial class ThreadTime
{
    // CLOCK_THREAD_CPUTIME_ID of Linux.
    private const int ThreadClock = 3;

    /// <summary>Processor time of the current thread since it began.</summary>
    public static TimeSpan Now
    {
        get
        {
            (long Seconds, long Nanoseconds) time;
            if (clock_gettime(ThreadClock, &time) != 0)
                throw new InvalidOperationException($"clock_gettime failed with {Marshal.GetLastSystemError()}.");
            return TimeSpan.FromSeconds(time.Seconds) + TimeSpan.FromTicks(time.Nanoseconds / TimeSpan.NanosecondsPerTick);
        }
    }

    [LibraryImport("libc")]
    private static partial int clock_gettime(int clock, (long Seconds, long Nanoseconds)* time);
}
