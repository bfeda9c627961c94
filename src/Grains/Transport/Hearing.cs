namespace Conclave.Grains.Transport;

/// <summary>What one end of a connection hears of the other: when last, its heartbeats, and whether an injected cut has swallowed something.</summary>
internal sealed unsafe class Hearing(Wire wire, FrameSender sender, NativeBufferPool pool, LinkConditions conditions, TimeProvider clock, Action<ReadOnlySpan<ulong>> heartbeat)
{
    private const int MaxHeartbeatBytes = 4096;

    private readonly NativeBuffer _heartbeatBuffer = pool.Rent(MaxHeartbeatBytes);
    private bool _hasHole;
    private long _heardNs = clock.NowNs();

    /// <summary>When the other end was last heard, by the local clock.</summary>
    public long HeardNs => Volatile.Read(ref _heardNs);

    /// <summary>Bytes that wait to be received: the other end is not silent, this one is slow.</summary>
    public bool HasUnread => !conditions.Cut && wire.AvailableBytes > 0;

    /// <summary>An injected cut has swallowed frames and is over: what follows cannot be trusted any more.</summary>
    public bool HasHole => !conditions.Cut && (_hasHole || sender.HasHole);

    /// <summary>Takes note of bytes that came.</summary>
    public void Received(int byteCount)
    {
        if (byteCount > 0 && !conditions.Cut) Volatile.Write(ref _heardNs, clock.NowNs());
    }

    /// <summary>Whether the frame that comes is lost to an injected cut: under way, or one that left a hole before it.</summary>
    public bool IsLost() => _hasHole |= conditions.Cut;

    /// <summary>Whether a frame is a heartbeat as it should be.</summary>
    public static bool IsHeartbeat(in FrameHeader header) =>
        header.Type == FrameType.Heartbeat && header.PayloadBytes <= MaxHeartbeatBytes && header.PayloadBytes == header.ChunkBytes && header.PayloadBytes % sizeof(ulong) == 0;

    /// <summary>Where the payload of a heartbeat goes.</summary>
    public byte* BeginHeartbeat() => _heartbeatBuffer.Data;

    /// <summary>Hands over what a heartbeat says.</summary>
    public void EndHeartbeat(in FrameHeader header) => heartbeat(new ReadOnlySpan<ulong>(_heartbeatBuffer.Data, header.ChunkBytes / sizeof(ulong)));

    /// <summary>Gives the buffer back; nothing is received any more.</summary>
    public void Dispose() => _heartbeatBuffer.Return();
}
