using System.Runtime.InteropServices;

namespace Conclave.Model.Tests.Kernels;

/// <summary>Memory that ends right before a page that must not be touched: reading or writing one byte too far ends the process.</summary>
internal sealed unsafe partial class GuardedBuffer : IDisposable
{
    private const int Readable = 1;
    private const int Writable = 2;
    private const int PrivateAnonymous = 0x22;
    private readonly nint _map;
    private readonly nuint _mapSizeBytes;

    public GuardedBuffer(long sizeBytes)
    {
        var page = (long)Environment.SystemPageSize;
        var data = (sizeBytes + page - 1) / page * page;
        _mapSizeBytes = (nuint)(data + page);
        _map = Map(0, _mapSizeBytes, Readable | Writable, PrivateAnonymous, -1, 0);
        Assert.NotEqual(-1, _map);
        Assert.Equal(0, Protect(_map + (nint)data, (nuint)page, 0));
        Data = (byte*)(_map + (nint)(data - sizeBytes));
        SizeBytes = sizeBytes;
    }

    public byte* Data { get; }

    public float* Floats => (float*)Data;

    public long SizeBytes { get; }

    public static GuardedBuffer Of<T>(ReadOnlySpan<T> values)
        where T : unmanaged
    {
        var buffer = new GuardedBuffer((long)values.Length * sizeof(T));
        values.CopyTo(new Span<T>(buffer.Data, values.Length));
        return buffer;
    }

    public float[] ToFloats() => new Span<float>(Data, (int)(SizeBytes / sizeof(float))).ToArray();

    public void Dispose() => _ = Unmap(_map, _mapSizeBytes);

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial nint Map(nint address, nuint size, int protection, int flags, int file, long offset);

    [LibraryImport("libc", EntryPoint = "mprotect", SetLastError = true)]
    private static partial int Protect(nint address, nuint size, int protection);

    [LibraryImport("libc", EntryPoint = "munmap", SetLastError = true)]
    private static partial int Unmap(nint address, nuint size);
}
