using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Conclave.Cli.Commands.Bench;

/// <summary>The operating system's file cache.</summary>
internal static partial class FileCache
{
    // posix_fadvise(2), the same on all Linux architectures that .NET runs on.
    private const int DontNeed = 4;

    /// <summary>Has <paramref name="file"/> leave the cache, so that whoever reads it next reads from the disk; does nothing where there is no way to ask for it.</summary>
    public static void Drop(string file)
    {
        if (!OperatingSystem.IsLinux()) return;
        using SafeFileHandle handle = File.OpenHandle(file, FileMode.Open, FileAccess.ReadWrite);

        // What is not written yet cannot leave.
        RandomAccess.FlushToDisk(handle);
        _ = posix_fadvise(handle, 0, 0, DontNeed);
    }

    [LibraryImport("libc")]
    private static partial int posix_fadvise(SafeFileHandle file, long offset, long length, int advice);
}
