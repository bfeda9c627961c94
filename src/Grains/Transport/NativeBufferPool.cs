using System.Numerics;
using System.Runtime.InteropServices;

namespace Conclave.Grains.Transport;

/// <summary>Native memory for one payload with room for a frame header directly in front of it, so that both leave in one send.</summary>
internal sealed unsafe class NativeBuffer(NativeBufferPool pool, int sizeClass, byte* data, int capacityBytes)
{
    private int _rented;

    /// <summary>First byte of the payload, 64-byte aligned.</summary>
    public byte* Data => data;

    /// <summary>Room for the payload, bytes.</summary>
    public int CapacityBytes => capacityBytes;

    public int SizeClass => sizeClass;

    /// <summary>The 64 bytes in front of the payload.</summary>
    public FrameHeader* Header => (FrameHeader*)(data - FrameHeader.SizeBytes);

    /// <summary>Gives the memory back. Nobody may touch it afterwards.</summary>
    public void Return()
    {
        if (Interlocked.Exchange(ref _rented, 0) == 0) throw new InvalidOperationException("a native buffer was returned twice");
        pool.TakeBack(this);
    }

    public void MarkRented() => Volatile.Write(ref _rented, 1);

    public void Free() => NativeMemory.AlignedFree(data - FrameHeader.SizeBytes);
}

/// <summary>
/// Buffers by power-of-two size classes. What comes back is kept, up to a bound, so that a warm transport neither allocates nor touches fresh pages.
/// </summary>
internal sealed unsafe class NativeBufferPool(long maxKeptBytes) : IDisposable
{
    private const int Alignment = 64, MinShift = 12, ClassCount = 31 - MinShift;

    private readonly Stack<NativeBuffer>[] _free = [.. Enumerable.Range(0, ClassCount).Select(_ => new Stack<NativeBuffer>())];
    private long _keptBytes;
    private bool _disposed;

    /// <summary>Bytes in buffers that are rented out; a leak shows here.</summary>
    public long RentedBytes { get; private set; }

    /// <summary>Memory for <paramref name="sizeBytes"/> at least, contents undefined.</summary>
    public NativeBuffer Rent(int sizeBytes)
    {
        int shift = Math.Max(MinShift, 32 - BitOperations.LeadingZeroCount((uint)Math.Max(sizeBytes - 1, 0)));
        int sizeClass = shift - MinShift;
        if (sizeClass >= ClassCount) throw new ArgumentOutOfRangeException(nameof(sizeBytes), sizeBytes, "a payload has at most 1 GiB");
        NativeBuffer? buffer;
        lock (_free)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_free[sizeClass].TryPop(out buffer)) _keptBytes -= buffer.CapacityBytes;
            RentedBytes += 1L << shift;
        }

        buffer ??= Allocate(sizeClass, 1 << shift);
        buffer.MarkRented();
        return buffer;
    }

    public void TakeBack(NativeBuffer buffer)
    {
        lock (_free)
        {
            RentedBytes -= buffer.CapacityBytes;
            if (!_disposed && _keptBytes + buffer.CapacityBytes <= maxKeptBytes)
            {
                _free[buffer.SizeClass].Push(buffer);
                _keptBytes += buffer.CapacityBytes;
                return;
            }
        }

        buffer.Free();
    }

    /// <summary>Frees what is not rented; the rest goes when it comes back.</summary>
    public void Dispose()
    {
        lock (_free)
        {
            _disposed = true;
            foreach (Stack<NativeBuffer> stack in _free)
            {
                while (stack.TryPop(out NativeBuffer? buffer)) buffer.Free();
            }

            _keptBytes = 0;
        }
    }

    private NativeBuffer Allocate(int sizeClass, int capacityBytes)
    {
        var block = (byte*)NativeMemory.AlignedAlloc((nuint)capacityBytes + FrameHeader.SizeBytes, Alignment);
        return new NativeBuffer(this, sizeClass, block + FrameHeader.SizeBytes, capacityBytes);
    }
}
