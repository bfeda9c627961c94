using System.Text;

namespace Conclave.Grains.Transport;

/// <summary>
/// One request and its reply, both in native memory. <see cref="TransportPeer.Rent"/> it, fill <see cref="Request"/> and the header fields,
/// <see cref="Send"/>, do something else, then <see cref="WaitForReply()"/>; <see cref="Dispose"/> gives it back. Used by one thread at a time and by
/// nobody after Dispose. Nothing here throws because a peer failed: the status tells.
/// </summary>
public sealed unsafe class TensorCall : IDisposable
{
    private readonly CallTable _table;
    private readonly TimeProvider _clock;
    private string? _errorMessage;
    private volatile bool _completed;
    private bool _parked;

    internal TensorCall(CallTable table, TimeProvider clock)
    {
        _table = table;
        _clock = clock;
    }

    // Guarded by the table's lock while the call is in flight.
    internal FrameHeader RequestHeader, ReplyHeader;
    internal NativeBuffer? RequestBuffer, ReplyBuffer;
    internal PeerConnection? Connection;
    internal ulong Id;
    internal int RequestBytes, ReplyReceivedBytes;
    internal long DeadlineNs, DueNs;
    internal bool IsRented, InFlight, Writing, Abandoned;

    /// <summary>What is asked: the number of the peer's handler.</summary>
    public ushort Kind { get => RequestHeader.Kind; set => RequestHeader.Kind = value; }

    /// <summary>Layer the rows belong to.</summary>
    public int Layer { get => RequestHeader.Layer; set => RequestHeader.Layer = value; }

    /// <summary>Version of the expert map in use.</summary>
    public long MapVersion { get => RequestHeader.MapVersion; set => RequestHeader.MapVersion = value; }

    /// <summary>Rows of the request.</summary>
    public int Rows { get => RequestHeader.Rows; set => RequestHeader.Rows = value; }

    /// <summary>Columns of the request.</summary>
    public int Columns { get => RequestHeader.Columns; set => RequestHeader.Columns = value; }

    /// <summary>Type of the request's elements.</summary>
    public ElementType ElementType { get => RequestHeader.ElementType; set => RequestHeader.ElementType = value; }

    /// <summary>First byte of the request's payload, 64-byte aligned.</summary>
    public byte* RequestData => RequestBuffer!.Data;

    /// <summary>The request's payload, as many bytes as were rented.</summary>
    public Span<byte> Request => new(RequestData, RequestBytes);

    /// <summary>How it ended; <see cref="CallStatus.Pending"/> until then.</summary>
    public CallStatus Status { get; private set; }

    /// <summary>Why it failed, or null.</summary>
    public string? ErrorMessage => Status is CallStatus.Pending or CallStatus.Ok ? null
        : _errorMessage ??= Status is CallStatus.Rejected or CallStatus.HandlerFailed && ReplyBuffer is not null
            ? Encoding.UTF8.GetString(ReplyBuffer.Data, ReplyReceivedBytes)
            : Status.ToString();

    /// <summary>When the outcome was known here, by the clock's monotonic counter in nanoseconds, an injected delay included; whether anyone waited for it or not. 0 until then.</summary>
    public long DoneNs { get; private set; }

    /// <summary>First byte of the reply's payload, 64-byte aligned; null if it is empty. Only with <see cref="CallStatus.Ok"/>.</summary>
    public byte* ReplyData => Status == CallStatus.Ok && ReplyBuffer is not null ? ReplyBuffer.Data : null;

    /// <summary>The reply's payload; empty unless <see cref="CallStatus.Ok"/>.</summary>
    public ReadOnlySpan<byte> Reply => Status == CallStatus.Ok && ReplyBuffer is not null ? new(ReplyBuffer.Data, ReplyReceivedBytes) : default;

    /// <summary>Rows of the reply.</summary>
    public int ReplyRows => ReplyHeader.Rows;

    /// <summary>Columns of the reply.</summary>
    public int ReplyColumns => ReplyHeader.Columns;

    /// <summary>Type of the reply's elements.</summary>
    public ElementType ReplyElementType => ReplyHeader.ElementType;

    /// <summary>Whether <see cref="WaitForReply()"/> would return at once. Looks at the socket if nobody else does, so polling makes progress.</summary>
    public bool IsDone
    {
        get
        {
            if (!_completed && InFlight)
            {
                Connection?.TryReceive(this, untilNs: 0);
                if (!_completed && _clock.NowNs() >= DeadlineNs) _table.TimeOut(this);
            }

            return _completed && (DueNs == 0 || _clock.NowNs() >= DueNs);
        }
    }

    /// <summary>The call has its outcome, though an injected delay may still hide it.</summary>
    internal bool IsCompleted => _completed;

    /// <summary>
    /// Sends the request; the caller has <paramref name="timeout"/> from now to get the reply. Waits while the bounds on what is under way are
    /// reached. If the peer is not connected the call is done at once with <see cref="CallStatus.PeerFailed"/>.
    /// </summary>
    /// <exception cref="InvalidOperationException">It was sent before.</exception>
    public void Send(TimeSpan timeout)
    {
        if (!IsRented || Id != 0 || _completed) throw new InvalidOperationException("a call is sent once; rent another one");
        DeadlineNs = _clock.NowNs() + timeout.ToNs();
        if (!_table.Begin(this)) return;
        RequestHeader.DeadlineMs = (int)Math.Clamp(timeout.TotalMilliseconds + 1, 1, int.MaxValue);
        if (!Connection!.Sender.Send(in RequestHeader, RequestBuffer!)) Connection.Fail("the connection was lost while sending");
    }

    /// <summary>Waits for the reply, at most until the deadline given to <see cref="Send"/>. The waiting thread itself receives, if no other does.</summary>
    public CallStatus WaitForReply()
    {
        if (DeadlineNs == 0) throw new InvalidOperationException("a call is sent before it is waited for");
        WaitUntil(DeadlineNs);
        if (!_completed) _table.TimeOut(this);
        return Status;
    }

    /// <summary>Waits at most <paramref name="timeout"/>; false = still under way (and its deadline not reached).</summary>
    public bool WaitForReply(TimeSpan timeout)
    {
        long untilNs = _clock.NowNs() + timeout.ToNs();
        if (untilNs >= DeadlineNs)
        {
            WaitForReply();
            return true;
        }

        return WaitUntil(untilNs);
    }

    /// <summary>Gives up: the status becomes <see cref="CallStatus.Canceled"/> unless the call is done, and a late reply is dropped.</summary>
    public void Cancel() => _table.Cancel(this);

    /// <summary>Gives the call and its buffers back; a reply that is still to come is dropped.</summary>
    public void Dispose() => _table.Release(this);

    internal void Reset(int requestBytes)
    {
        RequestHeader = FrameHeader.Of(FrameType.Request, 0, requestBytes);
        ReplyHeader = default;
        RequestBytes = requestBytes;
        ReplyReceivedBytes = 0;
        Connection = null;
        Id = 0;
        DueNs = 0;
        DoneNs = 0;
        DeadlineNs = 0;
        Writing = Abandoned = InFlight = false;
        Status = CallStatus.Pending;
        _errorMessage = null;
        _completed = false;
    }

    /// <summary>Sets the outcome and wakes the thread that waits. Returns whether one was parked.</summary>
    internal bool Complete(CallStatus status, string? message)
    {
        lock (this)
        {
            Status = status;
            _errorMessage = message;
            DoneNs = Math.Max(_clock.NowNs(), DueNs);
            _completed = true;
            if (!_parked) return false;
            _parked = false;
            Monitor.Pulse(this);
            return true;
        }
    }

    private bool WaitUntil(long untilNs)
    {
        while (!_completed)
        {
            if (_clock.NowNs() >= untilNs) return false;
            if (Connection is not { } connection) return false;
            if (!connection.TryReceive(this, untilNs)) Park(connection, untilNs);
        }

        if (DueNs != 0)
        {
            PreciseSleep.Until(Math.Min(DueNs, untilNs), _clock);
            return _clock.NowNs() >= DueNs;
        }

        return true;
    }

    /// <summary>Sleeps until the thread that receives has completed this call.</summary>
    private void Park(PeerConnection connection, long untilNs)
    {
        lock (this)
        {
            if (_completed) return;
            _parked = true;
            connection.Parked();
            Monitor.Wait(this, Nanoseconds.CeilingMs(untilNs - _clock.NowNs(), 50));
            if (!_parked) return;
            _parked = false;
            connection.Unparked();
        }
    }
}
