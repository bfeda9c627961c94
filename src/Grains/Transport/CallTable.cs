namespace Conclave.Grains.Transport;

/// <summary>
/// The calls to one peer: those under way by slot, those free for the next <see cref="Rent"/>. Its lock decides every race between a reply, a
/// deadline, a lost connection and a caller that gives up; whoever is first sets the outcome. A call whose reply is being written into its
/// buffer at that moment keeps the buffer until the writer is through.
/// </summary>
internal sealed unsafe class CallTable
{
    private const int SlotBits = 15;

    private readonly object _lock = new();
    private readonly NativeBufferPool _pool;
    private readonly TimeProvider _clock;
    private readonly TensorCall?[] _slots;
    private readonly Stack<int> _freeSlots;
    private readonly Stack<TensorCall> _freeCalls = new();
    private PeerConnection? _connection;
    private long _bytes, _maxBytes;
    private int _count, _maxCount, _waitingForRoom;
    private ulong _generation;

    public CallTable(NativeBufferPool pool, TimeProvider clock, int maxInFlightRequests)
    {
        _pool = pool;
        _clock = clock;
        _slots = new TensorCall?[maxInFlightRequests];
        _freeSlots = new Stack<int>(Enumerable.Range(0, maxInFlightRequests).Reverse());
    }

    /// <summary>Calls under way.</summary>
    public int InFlight => Volatile.Read(ref _count);

    public TensorCall Rent(int requestBytes)
    {
        NativeBuffer buffer = _pool.Rent(requestBytes);
        TensorCall? call;
        lock (_lock) _freeCalls.TryPop(out call);
        call ??= new TensorCall(this, _clock);
        call.Reset(requestBytes);
        call.RequestBuffer = buffer;
        call.IsRented = true;
        return call;
    }

    /// <summary>From now on calls use <paramref name="connection"/>, within its bounds.</summary>
    public void Open(PeerConnection connection, int maxCount, long maxBytes)
    {
        lock (_lock)
        {
            _connection = connection;
            _maxCount = Math.Min(maxCount, _slots.Length);
            _maxBytes = maxBytes;
        }
    }

    /// <summary>Fails every call of <paramref name="connection"/>, if it is the one in use.</summary>
    public void Close(PeerConnection connection, string reason)
    {
        lock (_lock)
        {
            if (_connection != connection) return;
            _connection = null;
            foreach (TensorCall? call in _slots)
            {
                if (call is not null) Complete(call, CallStatus.PeerFailed, reason);
            }

            Monitor.PulseAll(_lock);
        }
    }

    /// <summary>Gives the call an id and a connection; false = it is done already, without either.</summary>
    public bool Begin(TensorCall call)
    {
        lock (_lock)
        {
            while (_connection is not null && (_count >= _maxCount || (_count > 0 && _bytes + call.RequestBytes > _maxBytes)))
            {
                int leftMs = Nanoseconds.CeilingMs(call.DeadlineNs - _clock.NowNs(), 1000);
                if (leftMs == 0)
                {
                    call.Complete(CallStatus.DeadlineExceeded, $"{_count} requests of {_bytes} bytes are under way to the peer, no room for another");
                    return false;
                }

                _waitingForRoom++;
                Monitor.Wait(_lock, leftMs);
                _waitingForRoom--;
            }

            if (_connection is null)
            {
                call.Complete(CallStatus.PeerFailed, "the peer is not connected");
                return false;
            }

            int slot = _freeSlots.Pop();
            call.Id = (++_generation << SlotBits) | (uint)slot;
            call.RequestHeader.RequestId = call.Id;
            call.Connection = _connection;
            call.InFlight = true;
            _slots[slot] = call;
            _count++;
            _bytes += call.RequestBytes;
            return true;
        }
    }

    public void TimeOut(TensorCall call) => GiveUp(call, CallStatus.DeadlineExceeded, "no reply in time");

    public void Cancel(TensorCall call) => GiveUp(call, CallStatus.Canceled, null);

    /// <summary>The owner is through with the call.</summary>
    public void Release(TensorCall call)
    {
        GiveUp(call, CallStatus.Canceled, null);
        lock (_lock)
        {
            if (!call.IsRented) return;
            call.IsRented = false;
            if (call.Writing) call.Abandoned = true;
            else Recycle(call);
        }
    }

    /// <summary>A reply or a part of it arrives: where its bytes go, or null if nobody waits for it any more.</summary>
    /// <exception cref="TransportException">It does not fit what came before.</exception>
    public byte* BeginReply(in FrameHeader header, out TensorCall? call)
    {
        lock (_lock)
        {
            uint slot = (uint)header.RequestId & ((1u << SlotBits) - 1);
            call = slot < _slots.Length && _slots[slot] is { } found && found.Id == header.RequestId ? found : null;
            if (call is null) return null;
            if (header.Type == FrameType.Reply)
            {
                if (call.ReplyBegun) throw new TransportException($"a second reply to request {header.RequestId}");
                if (header.Status is CallStatus.Pending or > CallStatus.Canceled) throw new TransportException($"a reply with the status {(byte)header.Status}");
                call.ReplyBegun = true;
                call.ReplyHeader = header;
                if (header.PayloadBytes > 0) call.ReplyBuffer = _pool.Rent((int)header.PayloadBytes);
            }
            else if (!call.ReplyBegun || header.PayloadBytes != call.ReplyHeader.PayloadBytes || header.ChunkBytes > header.PayloadBytes - call.ReplyReceivedBytes)
            {
                throw new TransportException($"a chunk of {header.ChunkBytes} bytes that the reply to request {header.RequestId} does not have");
            }

            call.Writing = true;
            return call.ReplyBuffer is null ? null : call.ReplyBuffer.Data + call.ReplyReceivedBytes;
        }
    }

    /// <summary>The bytes of <see cref="BeginReply"/> are written, or never will be (<paramref name="count"/> 0).</summary>
    public void EndReply(TensorCall call, int count, long dueNs)
    {
        lock (_lock)
        {
            call.Writing = false;
            call.ReplyReceivedBytes += count;
            if (call.Abandoned)
            {
                Recycle(call);
            }
            else if (call.InFlight && call.ReplyReceivedBytes == call.ReplyHeader.PayloadBytes)
            {
                call.DueNs = dueNs;
                Complete(call, call.ReplyHeader.Status, null);
            }
        }
    }

    private void GiveUp(TensorCall call, CallStatus status, string? message)
    {
        PeerConnection? connection;
        ulong id;
        lock (_lock)
        {
            if (!call.InFlight) return;
            connection = call.Connection;
            id = call.Id;
            Complete(call, status, message);
        }

        connection?.SendCancel(id);
    }

    private void Complete(TensorCall call, CallStatus status, string? message)
    {
        call.InFlight = false;
        int slot = (int)(call.Id & ((1u << SlotBits) - 1));
        _slots[slot] = null;
        _freeSlots.Push(slot);
        _count--;
        _bytes -= call.RequestBytes;
        if (_waitingForRoom > 0) Monitor.PulseAll(_lock);
        PeerConnection? connection = call.Connection;
        if (call.Complete(status, message)) connection?.Unparked();
    }

    private void Recycle(TensorCall call)
    {
        call.RequestBuffer!.Return();
        call.ReplyBuffer?.Return();
        call.RequestBuffer = call.ReplyBuffer = null;
        _freeCalls.Push(call);
    }
}
