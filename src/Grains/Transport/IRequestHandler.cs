namespace Conclave.Grains.Transport;

/// <summary>
/// Answers the requests of one kind. Called on the thread of the connection that brought the request, so requests of one peer are answered
/// in order and those of different peers at the same time: a handler is safe for several threads. It may compute for long (heartbeats go on),
/// allocates nothing once warm, and an exception becomes <see cref="CallStatus.HandlerFailed"/> at the caller.
/// </summary>
public interface IRequestHandler
{
    /// <summary>Reads <paramref name="request"/> and fills <paramref name="reply"/>; both are valid until it returns.</summary>
    void Handle(TensorRequest request, TensorReply reply);
}

/// <summary>A request as the handler sees it: the caller's header fields and its payload in native memory, 64-byte aligned.</summary>
public sealed unsafe class TensorRequest
{
    internal FrameHeader Header;
    internal NativeBuffer Buffer = null!;

    /// <summary>Bytes received so far.</summary>
    internal long ReceivedBytes;

    /// <summary>When the request counts as arrived: never before the injected delay of a test has passed.</summary>
    internal long DueNs;

    /// <summary>When the caller stops waiting, by the server's own clock; <see cref="long.MaxValue"/> = never.</summary>
    internal long DeadlineNs;

    /// <summary>What is asked; the number the handler was registered for.</summary>
    public ushort Kind => Header.Kind;

    /// <summary>Layer the rows belong to.</summary>
    public int Layer => Header.Layer;

    /// <summary>Version of the expert map that the caller uses.</summary>
    public long MapVersion => Header.MapVersion;

    /// <summary>Rows of the payload.</summary>
    public int Rows => Header.Rows;

    /// <summary>Columns of the payload.</summary>
    public int Columns => Header.Columns;

    /// <summary>Type of the elements.</summary>
    public ElementType ElementType => Header.ElementType;

    /// <summary>Bytes of the payload.</summary>
    public int SizeBytes => (int)Header.PayloadBytes;

    /// <summary>The payload, 64-byte aligned.</summary>
    public byte* Data => Buffer.Data;

    /// <summary>The payload.</summary>
    public Span<byte> Span => new(Data, SizeBytes);
}

/// <summary>The reply that a handler fills.</summary>
public sealed unsafe class TensorReply
{
    private readonly NativeBufferPool _pool;

    internal TensorReply(NativeBufferPool pool) => _pool = pool;

    internal NativeBuffer? Buffer { get; private set; }

    internal int SizeBytes { get; private set; }

    internal CallStatus Status { get; private set; }

    internal string? Message { get; private set; }

    /// <summary>Rows of the reply.</summary>
    public int Rows { get; set; }

    /// <summary>Columns of the reply.</summary>
    public int Columns { get; set; }

    /// <summary>Type of the reply's elements.</summary>
    public ElementType ElementType { get; set; }

    /// <summary>Native memory for a payload of <paramref name="sizeBytes"/>, 64-byte aligned, contents undefined. Without a call the reply is empty; a second call replaces the first.</summary>
    public byte* Reserve(int sizeBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(sizeBytes);
        Buffer?.Return();
        Buffer = _pool.Rent(sizeBytes);
        SizeBytes = sizeBytes;
        return Buffer.Data;
    }

    /// <summary>Answers "no" with a reason that the caller reads in <see cref="TensorCall.ErrorMessage"/>; the status there is <see cref="CallStatus.Rejected"/>.</summary>
    public void Reject(string reason) => Fail(CallStatus.Rejected, reason);

    internal void Fail(CallStatus status, string message)
    {
        Status = status;
        Message = message;
    }

    internal void Clear()
    {
        Buffer?.Return();
        Buffer = null;
        SizeBytes = Rows = Columns = 0;
        ElementType = ElementType.Bytes;
        Status = CallStatus.Ok;
        Message = null;
    }
}
