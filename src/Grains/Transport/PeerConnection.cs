namespace Conclave.Grains.Transport;

/// <summary>
/// A live connection to a peer, from the calling side. Whoever waits for a reply receives for all: a reply then costs one wake-up, as in a plain
/// ping-pong. A background thread receives while nobody waits, and stands back for a moment after somebody did.
/// </summary>
internal sealed unsafe class PeerConnection : IFrameSink
{
    private const int StandBackMs = 1, IdleStandBackMs = 5;

    private readonly object _receiving = new(), _background = new();
    private readonly Wire _wire;
    private readonly FrameReceiver _receiver;
    private readonly CallTable _table;
    private readonly TimeProvider _clock;
    private readonly LinkClock _link;
    private readonly long _spinNs;
    private TensorCall? _current;
    private int _turns, _parked;
    private volatile bool _failed;

    public PeerConnection(Wire wire, CallTable table, NativeBufferPool pool, TransportOptions options, TimeProvider clock, Action<ReadOnlySpan<ulong>> heartbeat)
    {
        _wire = wire;
        _table = table;
        _clock = clock;
        _link = new LinkClock(options.Link);
        _spinNs = options.SpinUs * Nanoseconds.PerMicrosecond;
        _receiver = new FrameReceiver(wire, this, pool, options.MaxPayloadBytes);
        Sender = new FrameSender(wire, options.ChunkBytes, options.Link, clock);
        Hearing = new Hearing(wire, Sender, pool, options.Link, clock, heartbeat);
    }

    public FrameSender Sender { get; }

    /// <summary>What is heard of the peer.</summary>
    public Hearing Hearing { get; }

    public bool IsFailed => _failed;

    /// <summary>Why it ended.</summary>
    public string? FailureReason { get; private set; }

    /// <summary>The peer said goodbye.</summary>
    public bool IsGoodbye { get; private set; }

    /// <summary>Ends the connection and every call on it. Any thread; the first reason counts.</summary>
    public void Fail(string reason)
    {
        if (_failed) return;
        FailureReason ??= reason;
        _failed = true;
        _wire.Shutdown();
        _table.Close(this, FailureReason);
        WakeBackground();
    }

    public void Parked()
    {
        Interlocked.Increment(ref _parked);
        Interlocked.Increment(ref _turns);
    }

    public void Unparked() => Interlocked.Decrement(ref _parked);

    /// <summary>Tells the peer that a reply is not wanted any more.</summary>
    public void SendCancel(ulong requestId)
    {
        if (_failed) return;
        FrameHeader cancel = FrameHeader.Of(FrameType.Cancel, requestId);
        Sender.TrySend(&cancel, 0);
    }

    /// <summary>Receives until <paramref name="call"/> is complete or the time has come; 0 = only what is there. False = another thread is receiving.</summary>
    public bool TryReceive(TensorCall call, long untilNs)
    {
        if (!_wire.CanPoll || !Monitor.TryEnter(_receiving)) return false;
        try
        {
            Interlocked.Increment(ref _turns);
            ReceiveUntil(call, untilNs);
        }
        finally
        {
            Monitor.Exit(_receiving);
        }

        if (Volatile.Read(ref _parked) > 0) WakeBackground();
        return true;
    }

    /// <summary>The background thread's work until the connection fails.</summary>
    public void ReceiveUntilFailed()
    {
        int seen = 0;
        while (!_failed)
        {
            bool isWaitedFor = Volatile.Read(ref _parked) > 0;
            int turns = Volatile.Read(ref _turns);
            // Somebody has waited since we looked: next time let them receive.
            if ((turns != seen && !isWaitedFor) || !Monitor.TryEnter(_receiving))
            {
                seen = turns;
                // With nothing under way only heartbeats can come, and the next call's own thread had better receive its reply.
                lock (_background) Monitor.Wait(_background, _table.InFlight == 0 ? IdleStandBackMs : StandBackMs);
                continue;
            }

            try
            {
                if (_wire.WaitReadable(isWaitedFor ? StandBackMs : Wire.SliceMs)) ReceiveOnce();
            }
            finally
            {
                Monitor.Exit(_receiving);
            }
        }
    }

    /// <summary>Frees what the connection holds; nobody uses it any more when this returns.</summary>
    public void Dispose()
    {
        Fail("closed");
        lock (_receiving)
        {
            _table.AbortReply(_current);
            _current = null;
            _receiver.Dispose();
            Hearing.Dispose();
        }

        Sender.Exclusively(_wire.Dispose);
    }

    byte* IFrameSink.Begin(in FrameHeader header)
    {
        if (Hearing.IsLost()) return null;
        switch (header.Type)
        {
            case FrameType.Reply or FrameType.Chunk:
                return _table.BeginReply(in header, out _current);
            case FrameType.Heartbeat when Hearing.IsHeartbeat(in header):
                return Hearing.BeginHeartbeat();
            case FrameType.Goodbye when header.PayloadBytes == 0:
                return null;
            default:
                throw new TransportException($"frame from {_wire.Remote}: a {header.Type} of {header.PayloadBytes} bytes is not for the calling end");
        }
    }

    void IFrameSink.End(in FrameHeader header)
    {
        if (Hearing.IsLost())
        {
            _table.AbortReply(_current);
            _current = null;
        }
        else if (header.Type is FrameType.Reply or FrameType.Chunk)
        {
            TensorCall? call = _current;
            _current = null;
            _table.EndReply(in header, call, _link.Arrival(in header));
        }
        else if (header.Type == FrameType.Heartbeat)
        {
            Hearing.EndHeartbeat(in header);
        }
        else if (header.Type == FrameType.Goodbye)
        {
            IsGoodbye = true;
        }
    }

    private void ReceiveUntil(TensorCall call, long untilNs)
    {
        long now = _clock.NowNs(), spinUntilNs = now + _spinNs;
        while (!call.IsCompleted && !_failed)
        {
            bool isReadable = true;
            if (now < spinUntilNs)
            {
                isReadable = _wire.WaitReadable(0);
                if (!isReadable) Thread.SpinWait(8);
            }
            else if (untilNs - now < Wire.SliceMs * Nanoseconds.PerMillisecond)
            {
                isReadable = _wire.WaitReadable(Nanoseconds.CeilingMs(untilNs - now, Wire.SliceMs));
            }

            if (isReadable) ReceiveOnce();
            now = _clock.NowNs();
            if (!isReadable && now >= untilNs) return;
        }
    }

    private void ReceiveOnce()
    {
        if (_failed) return;
        try
        {
            int count = _receiver.Receive();
            Hearing.Received(count);
            if (IsGoodbye) Fail("the peer has left");
            else if (count < 0) Fail("the peer closed the connection");
        }
        catch (TransportException e)
        {
            Fail(e.Message);
        }
    }

    private void WakeBackground()
    {
        lock (_background) Monitor.Pulse(_background);
    }
}
