namespace Conclave.Grains.Transport;

/// <summary>Requests of one connection that are arriving or wait for their turn. Used by the connection's thread alone.</summary>
internal sealed unsafe class ServedRequests(NativeBufferPool pool, TransportOptions options, TimeProvider clock) : IDisposable
{
    private readonly List<TensorRequest> _arriving = [];
    private readonly Queue<TensorRequest> _ready = new();
    private readonly Stack<TensorRequest> _free = new();
    private long _bytes;

    /// <summary>A request begins.</summary>
    /// <exception cref="TransportException">The caller has more under way than was agreed.</exception>
    public TensorRequest Begin(in FrameHeader header)
    {
        int count = _arriving.Count + _ready.Count;
        if (count >= options.MaxInFlightRequests || (count > 0 && _bytes + header.PayloadBytes > options.MaxInFlightBytes))
            throw new TransportException($"{count} requests of {_bytes} bytes are under way already, another one of {header.PayloadBytes} bytes is more than was agreed");
        if (Find(header.RequestId) is not null) throw new TransportException($"request {header.RequestId} was begun before");
        if (!_free.TryPop(out TensorRequest? request)) request = new TensorRequest();
        request.Header = header;
        request.Buffer = pool.Rent((int)header.PayloadBytes);
        request.ReceivedBytes = 0;
        request.DueNs = 0;
        request.DeadlineNs = header.DeadlineMs == 0 ? long.MaxValue : clock.NowNs() + (header.DeadlineMs * Nanoseconds.PerMillisecond);
        _bytes += header.PayloadBytes;
        _arriving.Add(request);
        return request;
    }

    /// <summary>More of a request arrives.</summary>
    /// <exception cref="TransportException">It does not fit what came before.</exception>
    public TensorRequest Continue(in FrameHeader header) =>
        Find(header.RequestId) is { } request && header.PayloadBytes == request.Header.PayloadBytes && header.ChunkBytes <= header.PayloadBytes - request.ReceivedBytes
            ? request
            : throw new TransportException($"a chunk of {header.ChunkBytes} bytes that request {header.RequestId} does not have");

    /// <summary>A part has arrived; the last one makes the request ready.</summary>
    public void End(TensorRequest request, int count, long dueNs)
    {
        request.ReceivedBytes += count;
        if (request.ReceivedBytes < request.Header.PayloadBytes) return;
        request.DueNs = dueNs;
        _arriving.Remove(request);
        _ready.Enqueue(request);
    }

    /// <summary>The caller wants no reply any more.</summary>
    public void Cancel(ulong requestId)
    {
        foreach (TensorRequest request in _ready)
        {
            if (request.Header.RequestId == requestId) request.DeadlineNs = 0;
        }

        if (Find(requestId) is { } arriving) arriving.DeadlineNs = 0;
    }

    public bool TryNext(out TensorRequest request) => _ready.TryPeek(out request!);

    public void TakeNext() => _ready.Dequeue();

    public void Recycle(TensorRequest request)
    {
        _bytes -= request.Header.PayloadBytes;
        request.Buffer.Return();
        request.Buffer = null!;
        _free.Push(request);
    }

    public void Dispose()
    {
        foreach (TensorRequest request in _arriving) request.Buffer.Return();
        foreach (TensorRequest request in _ready) request.Buffer.Return();
        _arriving.Clear();
        _ready.Clear();
    }

    private TensorRequest? Find(ulong requestId)
    {
        foreach (TensorRequest request in _arriving)
        {
            if (request.Header.RequestId == requestId) return request;
        }

        return null;
    }
}
