using System.Runtime.InteropServices;

namespace Conclave.Model.Checkpoints;

/// <summary>Memory in pages of 2 MiB where the system has them: a pass reads gigabytes, and with pages of 4 KiB much of its time would go into finding them.</summary>
public static unsafe partial class HugePages
{
    /// <summary>Size of a huge page; memory should begin at a multiple of it.</summary>
    public const int SizeBytes = 2 << 20;

    /// <summary>Blocks of memory from here on are worth aligning to huge pages.</summary>
    public const long WorthSizeBytes = 4L * SizeBytes;

    // madvise(2), the same on all Linux architectures that .NET runs on.
    private const int AdviseHugePage = 14;

    /// <summary>Asks for huge pages for the whole pages of the range. Call it before the memory is first written. Systems without them ignore it.</summary>
    public static void Advise(byte* start, long sizeBytes)
    {
        nuint page = (nuint)Environment.SystemPageSize;
        nuint first = ((nuint)start + page - 1) / page * page, end = ((nuint)start + (nuint)sizeBytes) / page * page;
        if (end > first && OperatingSystem.IsLinux()) _ = madvise((void*)first, end - first, AdviseHugePage);
    }

    [LibraryImport("libc")]
    private static partial int madvise(void* start, nuint length, int advice);
}
