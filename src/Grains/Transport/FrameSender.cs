namespace Conclave.Grains.Transport;

/// <summary>Puts frames on a connection. Any thread; a large payload lets others in between its chunks.</summary>
internal sealed unsafe class FrameSender(Wire wire, int chunkBytes, LinkConditions link, TimeProvider clock)
{
    private readonly Lock _lock = new();
    private long _lastSentNs = clock.NowNs();

    /// <summary>When the last frame left, by the local clock.</summary>
    public long LastSentNs => Volatile.Read(ref _lastSentNs);

    /// <summary>A frame was dropped by an injected cut: the connection has a hole.</summary>
    public bool HasHole { get; private set; }

    /// <summary>Sends a request or reply whose payload is <paramref name="buffer"/>'s; false = the connection is gone. The payload is unchanged afterwards.</summary>
    public bool Send(in FrameHeader header, NativeBuffer buffer)
    {
        int offset = 0, total = (int)header.PayloadBytes;
        do
        {
            int count = Math.Min(chunkBytes, total - offset);
            // The header goes where it is contiguous with its chunk; what it covers has been sent already and is put back.
            var place = (FrameHeader*)(buffer.Data + offset - FrameHeader.SizeBytes);
            lock (_lock)
            {
                FrameHeader covered = *place;
                *place = header;
                if (offset > 0) place->Type = FrameType.Chunk;
                place->ChunkBytes = count;
                bool sent = Put(place, count);
                *place = covered;
                if (!sent) return false;
            }

            offset += count;
        }
        while (offset < total);
        return true;
    }

    /// <summary>Sends a frame without payload; false = the connection is gone.</summary>
    public bool Send(in FrameHeader header)
    {
        FrameHeader frame = header;
        lock (_lock) return Put(&frame, 0);
    }

    /// <summary>Sends a small frame if that takes no waiting. A busy connection needs no heartbeat.</summary>
    public void TrySend(FrameHeader* frame, int payloadBytes)
    {
        if (!_lock.TryEnter()) return;
        try
        {
            if (wire.IsWritable) Put(frame, payloadBytes);
        }
        finally
        {
            _lock.Exit();
        }
    }

    /// <summary>Runs <paramref name="action"/> while nobody sends.</summary>
    public void Exclusively(Action action)
    {
        lock (_lock) action();
    }

    private bool Put(FrameHeader* frame, int payloadBytes)
    {
        if (link.Cut)
        {
            HasHole = true;
            return true;
        }

        frame->SentNs = clock.NowNs();
        Volatile.Write(ref _lastSentNs, frame->SentNs);
        return wire.Send((byte*)frame, FrameHeader.SizeBytes + payloadBytes);
    }
}
