using System.Runtime.InteropServices;

namespace Conclave.Grains;

/// <summary>
/// Background threads that let computing ones go first. On Linux <see cref="Thread.Priority"/> has no effect; the scheduler goes by niceness, which each thread has of its own.
/// </summary>
internal static partial class ThreadNiceness
{
    private const int OfProcess = 0, Background = 15;

    /// <summary>
    /// Lowers the calling thread's share of a busy core to about a thirtieth of a normal thread's; an idle core it has in full. Not the lowest: whoever waits for a lock it holds waits
    /// for its turn.
    /// </summary>
    public static void Lower()
    {
        // Number 0 means the calling thread. It cannot fail: lowering is open to everyone; and if it did, nothing but time would be lost.
        if (OperatingSystem.IsLinux()) _ = setpriority(OfProcess, 0, Background);
    }

    [LibraryImport("libc")]
    private static partial int setpriority(int which, uint who, int niceness);
}
