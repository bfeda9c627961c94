using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace Conclave.Grains.Transport;

/// <summary>A connection that was accepted, from the first byte of a stranger to the end, with its thread.</summary>
internal sealed class AcceptedConnection : IDisposable
{
    /// <summary>A caller that was silent for this many times the limit is gone; calling ends judge much sooner.</summary>
    private const int SilenceFactor = 10;

    private readonly TensorTransport _transport;
    private readonly RequestHandlers _handlers;
    private readonly TimeProvider _clock;
    private readonly ILogger _logger;
    private readonly Wire _wire;
    private readonly Thread _thread;
    private readonly Silence _silence = new();
    private readonly long _acceptedNs;
    private volatile ServerConnection? _connection;

    public AcceptedConnection(TensorTransport transport, Socket socket, bool usesTls, RequestHandlers handlers, TimeProvider clock, ILogger logger)
    {
        _transport = transport;
        _handlers = handlers;
        _clock = clock;
        _logger = logger;
        _acceptedNs = clock.NowNs();
        _wire = usesTls ? new TlsWire(socket, transport.Options.SocketBufferBytes) : new SocketWire(socket, transport.Options.SocketBufferBytes);
        _thread = new Thread(Run) { IsBackground = true, Name = $"transport from {_wire.Remote}" };
    }

    /// <summary>Whether the other end is still a stranger.</summary>
    public bool IsHalfOpen => _connection is null;

    /// <summary>For heartbeats; null while the other end is a stranger.</summary>
    public FrameSender? Sender => _connection?.Sender;

    public void Start() => _thread.Start();

    /// <summary>Hangs up on strangers that take too long and on callers that are gone.</summary>
    public void Judge(long stepNs)
    {
        TransportOptions options = _transport.Options;
        if (_connection is not { } connection)
        {
            if (_clock.NowNs() - _acceptedNs > 2 * options.HandshakeTimeoutMs * Nanoseconds.PerMillisecond) _wire.Shutdown();
            return;
        }

        long silentNs = _silence.Observe(connection.Hearing.HeardNs, connection.Hearing.HasUnread, stepNs);
        if (connection.Hearing.HasHole || silentNs > SilenceFactor * options.SuspectMs * Nanoseconds.PerMillisecond) _wire.Shutdown();
    }

    /// <summary>Says goodbye, hangs up and waits for the thread.</summary>
    public void Dispose()
    {
        Sender?.SendFarewell();
        _wire.Shutdown();
        _thread.Join();
    }

    private void Run()
    {
        ServerConnection? connection = null;
        try
        {
            _wire.Introduce(_transport.Certificates, host: null);
            Agreement agreement = Handshake.Answer(_wire, _transport.Address, _transport.Options, _clock);
            connection = new ServerConnection(_wire, _handlers, _transport.Buffers, _transport.Options, _clock, _logger, suspects => _transport.Hear(agreement.RemoteAddress, suspects));
            _connection = connection;
            connection.Serve();
        }
        catch (TransportException e)
        {
            if (connection is null) TransportLog.Refused(_logger, e.Message);
            else TransportLog.Closed(_logger, _wire.Remote, e.Message);
        }
        finally
        {
            _transport.Forget(this);
            if (connection is null) _wire.Dispose();
            else connection.Dispose();
        }
    }
}
