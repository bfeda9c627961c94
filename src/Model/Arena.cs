using System.Runtime.InteropServices;
using Conclave.Model.Checkpoints;

namespace Conclave.Model;

/// <summary>Zeroed native memory outside the garbage collector's heap, 64-byte aligned, freed all at once. Large blocks lie in huge pages where the system has them.</summary>
public sealed unsafe class Arena : IDisposable
{
    private const int Alignment = 64;
    private readonly List<nint> _blocks = [];

    /// <summary>Memory for <paramref name="count"/> floats.</summary>
    public float* Floats(long count) => (float*)Bytes(count * sizeof(float));

    /// <summary>Memory for <paramref name="count"/> 32-bit integers.</summary>
    public int* Ints(long count) => (int*)Bytes(count * sizeof(int));

    /// <summary>Memory of <paramref name="sizeBytes"/> bytes.</summary>
    public void* Bytes(long sizeBytes)
    {
        var size = (nuint)Math.Max(sizeBytes, Alignment);
        var isLarge = sizeBytes >= HugePages.WorthSizeBytes;
        var block = NativeMemory.AlignedAlloc(size, (nuint)(isLarge ? HugePages.SizeBytes : Alignment));
        if (isLarge)
            HugePages.Advise((byte*)block, sizeBytes);
        NativeMemory.Clear(block, size);
        _blocks.Add((nint)block);
        return block;
    }

    /// <summary>Frees everything that was handed out.</summary>
    public void Dispose()
    {
        foreach (var block in _blocks)
            NativeMemory.AlignedFree((void*)block);
        _blocks.Clear();
    }
}
