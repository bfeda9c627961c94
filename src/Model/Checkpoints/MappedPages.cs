using System.Runtime.InteropServices;

namespace Conclave.Model.Checkpoints;

/// <summary>Which pages of a mapped file this process has at hand. Only for memory that maps a file: anonymous memory would lose its content.</summary>
internal static unsafe partial class MappedPages
{
    // madvise(2), the same on all Linux architectures that .NET runs on.
    private const int DontNeed = 4, PopulateRead = 22;

    /// <summary>
    /// Brings all pages of the range into this process's memory, from the disk if need be. The kernel does it in one call, during which a garbage collection need not wait for this thread.
    /// </summary>
    public static void Touch(byte* start, long sizeBytes)
    {
        nuint page = (nuint)Environment.SystemPageSize;
        nuint first = (nuint)start / page * page, end = (nuint)start + (nuint)sizeBytes;
        if (OperatingSystem.IsLinux() && madvise((void*)first, end - first, PopulateRead) == 0) return;
        // A kernel before 5.14, or another system.
        for (long offset = 0; offset < sizeBytes; offset += (long)page) Volatile.Read(ref start[offset]);
        if (sizeBytes > 0) Volatile.Read(ref start[sizeBytes - 1]);
    }

    /// <summary>
    /// Takes the pages that lie wholly in <paramref name="start"/> to <paramref name="start"/> + <paramref name="sizeBytes"/> out of this process's memory. Whoever reads them later,
    /// or at this moment, finds the same bytes after a page fault.
    /// </summary>
    public static void Release(byte* start, long sizeBytes)
    {
        nuint page = (nuint)Environment.SystemPageSize;
        nuint first = ((nuint)start + page - 1) / page * page, end = ((nuint)start + (nuint)sizeBytes) / page * page;
        // Advice: a kernel that does not take it keeps the pages until memory is short, which is as correct.
        if (end > first && OperatingSystem.IsLinux()) _ = madvise((void*)first, end - first, DontNeed);
    }

    [LibraryImport("libc")]
    private static partial int madvise(void* start, nuint length, int advice);
}
