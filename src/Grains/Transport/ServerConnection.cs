using System.Text;
using Microsoft.Extensions.Logging;

namespace Conclave.Grains.Transport;

/// <summary>A connection that a peer opened: one thread receives requests, has them answered and sends the replies.</summary>
internal sealed unsafe class ServerConnection : IFrameSink, IDisposable
{
    private const int MaxMessageBytes = 1024;

    private readonly Wire _wire;
    private readonly ServedRequests _requests;
    private readonly RequestHandlers _handlers;
    private readonly NativeBufferPool _pool;
    private readonly TransportOptions _options;
    private readonly TimeProvider _clock;
    private readonly ILogger _logger;
    private readonly LinkClock _link;
    private readonly TensorReply _reply;
    private readonly FrameReceiver _receiver;
    private TensorRequest? _current;

    public ServerConnection(Wire wire, RequestHandlers handlers, NativeBufferPool pool, TransportOptions options, TimeProvider clock, ILogger logger, Action<ReadOnlySpan<ulong>> heartbeat)
    {
        _wire = wire;
        _handlers = handlers;
        _pool = pool;
        _options = options;
        _clock = clock;
        _logger = logger;
        _link = new LinkClock(options.Link);
        _requests = new ServedRequests(pool, options, clock);
        _reply = new TensorReply(pool);
        _receiver = new FrameReceiver(wire, this, pool, options.MaxPayloadBytes);
        Sender = new FrameSender(wire, options.ChunkBytes, options.Link, clock);
        Hearing = new Hearing(wire, Sender, pool, options.Link, clock, heartbeat);
    }

    public FrameSender Sender { get; }

    /// <summary>What is heard of the caller.</summary>
    public Hearing Hearing { get; }

    /// <summary>Serves until the connection is gone.</summary>
    /// <exception cref="TransportException">The caller broke the protocol.</exception>
    public void Serve()
    {
        long spinUntilNs = 0, spinNs = _options.SpinUs * Nanoseconds.PerMicrosecond;
        while (true)
        {
            if (_requests.TryNext(out TensorRequest request))
            {
                long waitNs = request.DueNs == 0 ? 0 : request.DueNs - _clock.NowNs();
                if (waitNs <= 2 * Nanoseconds.PerMillisecond || !_wire.CanPoll)
                {
                    if (waitNs > 0) PreciseSleep.Until(request.DueNs, _clock);
                    _requests.TakeNext();
                    bool isSent = Answer(request);
                    _requests.Recycle(request);
                    if (!isSent) return;
                    spinUntilNs = spinNs == 0 ? 0 : _clock.NowNs() + spinNs;
                    continue;
                }

                // An injected delay: the time until the request counts as arrived goes into receiving.
                if (!_wire.WaitReadable(1)) continue;
            }
            else if (spinUntilNs != 0 && _wire.CanPoll && _clock.NowNs() < spinUntilNs && !_wire.WaitReadable(0))
            {
                Thread.SpinWait(8);
                continue;
            }

            int count = _receiver.Receive();
            if (count < 0) return;
            Hearing.Received(count);
        }
    }

    /// <summary>Frees what the connection holds; only when nothing serves or sends any more.</summary>
    public void Dispose()
    {
        _requests.Dispose();
        _reply.Clear();
        Hearing.Dispose();
        _receiver.Dispose();
        Sender.Exclusively(_wire.Dispose);
    }

    byte* IFrameSink.Begin(in FrameHeader header)
    {
        if (Hearing.IsLost()) return null;
        switch (header.Type)
        {
            case FrameType.Request:
                _current = _requests.Begin(in header);
                return _current.Buffer.Data;
            case FrameType.Chunk:
                _current = _requests.Continue(in header);
                return _current.Buffer.Data + _current.ReceivedBytes;
            case FrameType.Cancel when header.PayloadBytes == 0:
                return null;
            case FrameType.Heartbeat when Hearing.IsHeartbeat(in header):
                return Hearing.BeginHeartbeat();
            case FrameType.Goodbye when header.PayloadBytes == 0:
                return null;
            default:
                throw new TransportException($"frame from {_wire.Remote}: a {header.Type} of {header.PayloadBytes} bytes is not for the called end");
        }
    }

    void IFrameSink.End(in FrameHeader header)
    {
        if (Hearing.IsLost())
        {
            _current = null;
        }
        else if (_current is { } request)
        {
            _current = null;
            _requests.End(request, header.ChunkBytes, _link.Arrival(in header));
        }
        else if (header.Type == FrameType.Cancel)
        {
            _requests.Cancel(header.RequestId);
        }
        else if (header.Type == FrameType.Heartbeat)
        {
            Hearing.EndHeartbeat(in header);
        }
    }

    private bool Answer(TensorRequest request)
    {
        _reply.Clear();
        if (_clock.NowNs() > request.DeadlineNs)
        {
            // Whoever asked has given up by now, but counts the request as under way until it is answered.
            _reply.Fail(CallStatus.DeadlineExceeded, "");
        }
        else if (_handlers.Find(request.Kind) is not { } handler)
        {
            _reply.Fail(CallStatus.UnknownKind, "");
        }
        else
        {
            try
            {
                handler.Handle(request, _reply);
            }
            catch (Exception e)
            {
                TransportLog.HandlerFailed(_logger, e, request.Kind, request.Layer, _wire.Remote);
                _reply.Fail(CallStatus.HandlerFailed, $"{e.GetType().Name}: {e.Message}");
            }
        }

        if (_reply.Message is { } message) WriteMessage(message);
        FrameHeader header = FrameHeader.Of(FrameType.Reply, request.Header.RequestId, _reply.SizeBytes);
        header.Kind = request.Kind;
        header.Layer = request.Layer;
        header.MapVersion = request.MapVersion;
        header.Status = _reply.Status;
        header.Rows = _reply.Rows;
        header.Columns = _reply.Columns;
        header.ElementType = _reply.ElementType;
        bool isSent = _reply.Buffer is { } buffer ? Sender.Send(in header, buffer) : Sender.Send(in header);
        _reply.Clear();
        return isSent;
    }

    private void WriteMessage(string message)
    {
        byte[] text = Encoding.UTF8.GetBytes(message);
        int count = Math.Min(text.Length, MaxMessageBytes);
        byte* data = _reply.Reserve(count);
        text.AsSpan(0, count).CopyTo(new Span<byte>(data, count));
        _reply.Rows = _reply.Columns = 0;
        _reply.ElementType = ElementType.Bytes;
    }
}
