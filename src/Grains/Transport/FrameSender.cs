namespace Conclave.Grains.Transport;

/// <summary>Puts frames on a connection. Any thread; a large payload lets others in between its chunks.</summary>
internal sealed unsafe class FrameSender(Wire wire, int chunkBytes, LinkConditions link, TimeProvider clock)
{
    private const int MaxYields = 20;

    private static readonly TimeSpan FarewellLimit = TimeSpan.FromSeconds(2), FarewellSlice = TimeSpan.FromMilliseconds(1);

    private readonly Lock _lock = new();
    private int _waiting, _payloads;

    /// <summary>A frame was dropped by an injected cut: the connection has a hole.</summary>
    public bool HasHole { get; private set; }

    /// <summary>Sends a request or reply whose payload is <paramref name="buffer"/>'s; false = the connection is gone. The payload is unchanged afterwards.</summary>
    public bool Send(in FrameHeader header, NativeBuffer buffer)
    {
        Interlocked.Increment(ref _payloads);
        try
        {
            return SendChunks(header, buffer);
        }
        finally
        {
            Interlocked.Decrement(ref _payloads);
        }
    }

    private bool SendChunks(in FrameHeader header, NativeBuffer buffer)
    {
        int offset = 0, total = (int)header.PayloadBytes;
        do
        {
            int count = Math.Min(chunkBytes, total - offset);
            // The header goes where it is contiguous with its chunk; what it covers has been sent already and is put back.
            var place = (FrameHeader*)(buffer.Data + offset - FrameHeader.SizeBytes);
            Enter(letOthersIn: offset > 0);
            try
            {
                FrameHeader covered = *place;
                *place = header;
                if (offset > 0) place->Type = FrameType.Chunk;
                place->ChunkBytes = count;
                bool sent = Put(place, count);
                *place = covered;
                if (!sent) return false;
            }
            finally
            {
                _lock.Exit();
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
        Enter(letOthersIn: false);
        try
        {
            return Put(&frame, 0);
        }
        finally
        {
            _lock.Exit();
        }
    }

    /// <summary>Sends a small frame if that takes no waiting; false = not sent.</summary>
    public bool TrySend(FrameHeader* frame, int payloadBytes)
    {
        if (!_lock.TryEnter()) return false;
        try
        {
            return wire.IsWritable && Put(frame, payloadBytes);
        }
        finally
        {
            _lock.Exit();
        }
    }

    /// <summary>
    /// Says goodbye, so that the other end does not take this one for dead. A heartbeat that is just being sent is waited for, however long its thread waits for a core; a payload, which may never get
    /// through, is not.
    /// </summary>
    public void SendFarewell()
    {
        FrameHeader goodbye = FrameHeader.Of(FrameType.Goodbye);
        long start = clock.GetTimestamp();
        while (!TrySend(&goodbye, 0) && wire.IsWritable && Volatile.Read(ref _payloads) == 0 && clock.GetElapsedTime(start) < FarewellLimit)
        {
            if (_lock.TryEnter(FarewellSlice)) _lock.Exit();
        }
    }

    /// <summary>Runs <paramref name="action"/> while nobody sends.</summary>
    public void Exclusively(Action action)
    {
        lock (_lock) action();
    }

    private void Enter(bool letOthersIn)
    {
        // The lock is not fair: a thread in the middle of a large payload would win it again and again.
        for (int i = 0; letOthersIn && i < MaxYields && Volatile.Read(ref _waiting) > 0; i++) Thread.Yield();
        if (_lock.TryEnter()) return;
        Interlocked.Increment(ref _waiting);
        _lock.Enter();
        Interlocked.Decrement(ref _waiting);
    }

    private bool Put(FrameHeader* frame, int payloadBytes)
    {
        if (link.Cut)
        {
            HasHole = true;
            return true;
        }

        frame->SentNs = clock.NowNs();
        return wire.Send((byte*)frame, FrameHeader.SizeBytes + payloadBytes);
    }
}
