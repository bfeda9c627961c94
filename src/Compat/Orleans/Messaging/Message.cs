using Orleans.Serialization;

namespace Orleans.Runtime;

internal enum MessageKind : byte
{
    Request,
    Response,
    Cancel,

    /// <summary>Brings the packed state of a grain.</summary>
    Migrate,

    /// <summary>A request to the silo's runtime itself: see <see cref="ISiloControl"/>.</summary>
    Control,

    /// <summary>Tells a client which silos there are.</summary>
    Members,

    /// <summary>Of a silo that leaves: asks for no more requests, and tells which silos there are.</summary>
    Leaving,

    /// <summary>The answer to <see cref="Leaving"/>: no more requests come by this connection.</summary>
    Silent,
}

/// <summary>What a request does with its method.</summary>
internal enum Operation : byte
{
    Invoke,
    StreamStart,
    StreamNext,
    StreamDispose,
}

/// <summary>
/// A request or response. Within a silo its content is objects (already copied); between silos and clients it is bytes,
/// which are read where the content is used.
/// </summary>
internal sealed class Message
{
    private object?[]? _arguments;
    private object? _result;
    private ReadOnlyMemory<byte> _body;

    public MessageKind Kind { get; init; }

    public Operation Operation { get; init; }

    /// <summary>Identifies the call at its sender; the response repeats it.</summary>
    public long CallId { get; set; }

    /// <summary>The connection that the request came by and its response goes by; null for a call of this process.</summary>
    public Connection? Origin { get; set; }

    /// <summary>Of a request to a silo's runtime: that silo.</summary>
    public SiloAddress? Silo { get; init; }

    /// <summary>Whether placement picked the receiver for the new activation of a grain that was not active anywhere.</summary>
    public bool IsPlaced { get; set; }

    /// <summary>Of a response: the silo that answered, where the one that was asked had to pass the request on.</summary>
    public SiloAddress? Location { get; init; }

    public GrainId Target { get; init; }

    public GrainMethod? Method { get; init; }

    public Guid StreamId { get; init; }

    public int BatchSize { get; init; }

    public int ForwardCount { get; set; }

    public Dictionary<string, object>? Context { get; init; }

    /// <summary>Cancelled when the caller gives up; made when a method with a token starts.</summary>
    public CancellationTokenSource? Cancellation { get; set; }

    /// <summary>Whether the caller gave up before the call started.</summary>
    public bool IsCancelled { get; set; }

    /// <summary>Of a response: what went wrong.</summary>
    public Exception? Failure { get; init; }

    /// <summary>Of a response: the request it answers.</summary>
    public Message? Request { get; init; }

    /// <summary>Content that the runtime itself sends: the packed state of a grain that moves, or a response passed on as it is.</summary>
    public ReadOnlyMemory<byte> Body { get => _body; init => _body = value; }

    /// <summary>Of a timer's tick: what to run. It never leaves the activation.</summary>
    public Func<Task>? LocalWork { get; init; }

    public bool LocalInterleaves { get; init; }

    public bool LocalKeepsAlive { get; init; }

    /// <summary>Whether it may run beside any other request.</summary>
    public bool Interleaves => Method is null ? LocalInterleaves : Method.AlwaysInterleave || Operation != Operation.Invoke;

    public bool IsReadOnly => Method is { IsReadOnly: true };

    /// <summary>Whether it counts as use of the grain.</summary>
    public bool KeepsAlive => Method is not null || LocalKeepsAlive;

    public void SetArguments(object?[] arguments) => _arguments = arguments;

    public void SetResult(object? result) => _result = result;

    public object?[] GetArguments(CodecProvider codecs) => _arguments ??= Method!.ReadArguments(new Reader(codecs, _body));

    /// <summary>The result: as it was set, or read from the body.</summary>
    public object? TakeResult(CodecProvider codecs) => _body.IsEmpty ? _result : codecs.Get(Request!.ResponseType).ReadObject(new Reader(codecs, _body));

    /// <summary>The type of what the response holds.</summary>
    public Type ResponseType => Method?.Returns.ResultType ?? typeof(object);

    /// <summary>Writes the arguments into the body, so that they no longer share anything with the caller.</summary>
    public void Pack(CodecProvider codecs)
    {
        if (!_body.IsEmpty || _arguments is null) return;
        if (Operation is Operation.StreamNext or Operation.StreamDispose) return;
        Writer writer = codecs.RentWriter();
        try
        {
            Method!.WriteArguments(writer, _arguments);
            _body = writer.ToArray();
            if (!_body.IsEmpty) _arguments = null;
        }
        finally
        {
            codecs.Return(writer);
        }
    }

    public Message Respond(object? result, Exception? failure)
    {
        var response = new Message { Kind = MessageKind.Response, CallId = CallId, Request = this, Failure = failure };
        response.SetResult(result);
        return response;
    }
}
