namespace Conclave.Grains.Transport;

/// <summary>
/// The calls to one peer: those under way by slot, those free for the next <see cref="Rent"/>. Its lock decides every race between a reply, a
/// deadline, a lost connection and a caller that gives up; whoever is first sets the outcome. A call whose reply is being written into its
/// buffer at that moment keeps the buffer until the writer is through. A slot is free again when the peer has answered, wanted or not: what
/// the peer still works on counts as under way.
/// </summary>
internal sealed unsafe class CallTable
{
    private const int SlotBits = 15;

    private readonly object _lock = new();
    private readonly NativeBufferPool _pool;
    private readonly TimeProvider _clock;
    private readonly Slot[] _slots;
    private readonly Stack<Slot> _freeSlots;
    private readonly Stack<TensorCall> _freeCalls = new();
    private PeerConnection? _connection;
    private long _bytes, _maxBytes;
    private int _count, _maxCount, _waitingForRoom;
    private ulong _generation;

    public CallTable(NativeBufferPool pool, TimeProvider clock, int maxInFlightRequests)
    {
        _pool = pool;
        _clock = clock;
        _slots = [.. Enumerable.Range(0, maxInFlightRequests).Select(index => new Slot(index))];
        _freeSlots = new Stack<Slot>(_slots.Reverse());
    }

    /// <summary>Requests that the peer has not answered.</summary>
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
            foreach (Slot slot in _slots)
            {
                if (slot.Id == 0) continue;
                if (slot.Call is { } call) Complete(slot, call, CallStatus.PeerFailed, reason);
                Free(slot);
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

            Slot slot = _freeSlots.Pop();
            slot.Take(call, (++_generation << SlotBits) | (uint)slot.Index);
            call.Id = call.RequestHeader.RequestId = slot.Id;
            call.Connection = _connection;
            call.InFlight = true;
            _count++;
            _bytes += slot.RequestBytes;
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

    /// <summary>A reply or a part of it arrives: where its bytes go (into the buffer of <paramref name="call"/>), or null if nobody waits for them any more.</summary>
    /// <exception cref="TransportException">It does not fit what came before.</exception>
    public byte* BeginReply(in FrameHeader header, out TensorCall? call)
    {
        lock (_lock)
        {
            call = null;
            if (Find(header.RequestId) is not { } slot) return null;
            if (header.Type == FrameType.Reply)
            {
                if (slot.IsBegun) throw new TransportException($"a second reply to request {header.RequestId}");
                if (header.Status is CallStatus.Pending or > CallStatus.Canceled) throw new TransportException($"a reply with the status {(byte)header.Status}");
                slot.IsBegun = true;
                slot.ReplyBytes = header.PayloadBytes;
                if (slot.Call is { } first)
                {
                    first.ReplyHeader = header;
                    if (header.PayloadBytes > 0) first.ReplyBuffer = _pool.Rent((int)header.PayloadBytes);
                }
            }
            else if (!slot.IsBegun || header.PayloadBytes != slot.ReplyBytes || header.ChunkBytes > slot.ReplyBytes - slot.ReceivedBytes)
            {
                throw new TransportException($"a chunk of {header.ChunkBytes} bytes that the reply to request {header.RequestId} does not have");
            }

            // A call given up meanwhile, after the reply had begun, has left the slot: its buffer is no longer ours.
            call = slot.Call;
            if (call is null) return null;
            call.Writing = true;
            return call.ReplyBuffer is null ? null : call.ReplyBuffer.Data + slot.ReceivedBytes;
        }
    }

    /// <summary>The bytes of <see cref="BeginReply"/> have arrived.</summary>
    public void EndReply(in FrameHeader header, TensorCall? call, long dueNs)
    {
        lock (_lock)
        {
            StopWriting(call);
            if (Find(header.RequestId) is not { IsBegun: true } slot) return;
            slot.ReceivedBytes += header.ChunkBytes;
            if (slot.ReceivedBytes < slot.ReplyBytes) return;
            if (slot.Call is { } done)
            {
                done.ReplyReceivedBytes = (int)slot.ReplyBytes;
                done.DueNs = dueNs;
                Complete(slot, done, done.ReplyHeader.Status, null);
            }

            Free(slot);
        }
    }

    /// <summary>The bytes of <see cref="BeginReply"/> will never arrive.</summary>
    public void AbortReply(TensorCall? call)
    {
        lock (_lock) StopWriting(call);
    }

    private Slot? Find(ulong requestId)
    {
        uint index = (uint)requestId & ((1u << SlotBits) - 1);
        return requestId != 0 && index < _slots.Length && _slots[index].Id == requestId ? _slots[index] : null;
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
            Complete(Find(id)!, call, status, message);
        }

        connection?.SendCancel(id);
    }

    private static void Complete(Slot slot, TensorCall call, CallStatus status, string? message)
    {
        slot.Call = null;
        call.InFlight = false;
        PeerConnection? connection = call.Connection;
        if (call.Complete(status, message)) connection?.Unparked();
    }

    private void Free(Slot slot)
    {
        _count--;
        _bytes -= slot.RequestBytes;
        slot.Id = 0;
        _freeSlots.Push(slot);
        if (_waitingForRoom > 0) Monitor.PulseAll(_lock);
    }

    private void StopWriting(TensorCall? call)
    {
        if (call is null) return;
        call.Writing = false;
        if (call.Abandoned) Recycle(call);
    }

    private void Recycle(TensorCall call)
    {
        call.RequestBuffer!.Return();
        call.ReplyBuffer?.Return();
        call.RequestBuffer = call.ReplyBuffer = null;
        _freeCalls.Push(call);
    }

    /// <summary>A request under way; free while <see cref="Id"/> is 0.</summary>
    private sealed class Slot(int index)
    {
        public int Index => index;

        public ulong Id { get; set; }

        public int RequestBytes { get; private set; }

        /// <summary>Who waits for the reply; null when nobody does any more.</summary>
        public TensorCall? Call { get; set; }

        public bool IsBegun { get; set; }

        public long ReplyBytes { get; set; }

        public long ReceivedBytes { get; set; }

        public void Take(TensorCall call, ulong id)
        {
            Id = id;
            Call = call;
            RequestBytes = call.RequestBytes;
            IsBegun = false;
            ReplyBytes = ReceivedBytes = 0;
        }
    }
}
