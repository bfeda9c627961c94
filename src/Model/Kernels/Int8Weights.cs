using System.Runtime.InteropServices;
using Conclave.Model.Checkpoints;

namespace Conclave.Model.Kernels;

/// <summary>The matrices of one checkpoint in 8 bits: each made once, when it is first bound, and kept until the checkpoint is closed. Any thread.</summary>
public sealed unsafe class Int8Weights : IDisposable
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, nint> _matrices = [];
    private readonly Dictionary<string, long> _sizes = [];
    private long _sizeBytes;

    /// <summary>Bytes that they take so far.</summary>
    public long SizeBytes => Interlocked.Read(ref _sizeBytes);

    /// <summary>Bytes of the matrix <paramref name="name"/>; null if it is not used in 8 bits.</summary>
    public long? SizeBytesOf(string name)
    {
        lock (_gate)
            return _sizes.TryGetValue(name, out var size) ? size : null;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            foreach (var matrix in _matrices.Values)
                NativeMemory.AlignedFree((void*)matrix);
            _matrices.Clear();
        }
    }

    /// <summary>The matrix <paramref name="name"/>, whose stored form is <paramref name="weight"/>.</summary>
    internal Int8Matrix* Of(string name, in Weight weight)
    {
        lock (_gate)
        {
            if (_matrices.TryGetValue(name, out var made))
                return (Int8Matrix*)made;
            var size = Int8Matrix.SizeBytes(weight.Rows, weight.Columns);
            var memory = (byte*)NativeMemory.AlignedAlloc((nuint)size, size >= HugePages.SizeBytes ? (nuint)HugePages.SizeBytes : 64);
            HugePages.Advise(memory, size);
            NativeMemory.Clear(memory, (nuint)size);
            _matrices[name] = (nint)memory;
            _sizes[name] = size;
            Interlocked.Add(ref _sizeBytes, size);
            return Int8Matrix.Make(weight, memory);
        }
    }
}
