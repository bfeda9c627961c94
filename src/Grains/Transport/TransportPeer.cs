using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace Conclave.Grains.Transport;

/// <summary>
/// Another silo's transport, as the calling end sees it: one connection, made and remade in the background by the peer's own thread.
/// Any thread may rent calls.
/// </summary>
public sealed class TransportPeer : IDisposable
{
    private readonly TensorTransport _transport;
    private readonly TransportOptions _options;
    private readonly TimeProvider _clock;
    private readonly ILogger _logger;
    private readonly CallTable _calls;
    private readonly object _changed = new();
    private readonly Thread _thread;
    private readonly TransportAddress _target;
    private readonly Silence _silence = new();
    private volatile PeerConnection? _connection;
    private volatile Wire? _dialled;
    private volatile bool _disposed;
    private PeerState _state = PeerState.Connecting;
    private long _heardNs;
    private volatile bool _wasAlive;
    private string? _lastFailure;

    internal TransportPeer(TensorTransport transport, string address, ILogger logger, TimeProvider clock)
    {
        _transport = transport;
        _options = transport.Options;
        _clock = clock;
        _logger = logger;
        Address = address;
        Digest = TransportAddress.Digest(address);
        _target = TransportAddress.Parse(address);
        _calls = new CallTable(transport.Buffers, clock, _options.MaxInFlightRequests);
        _heardNs = clock.NowNs();
        _thread = new Thread(Run) { IsBackground = true, Name = $"transport to {_target.Host}:{_target.Port}" };
    }

    /// <summary>The peer's address, as it is in the membership data.</summary>
    public string Address { get; }

    /// <summary>What is known about it now.</summary>
    public PeerState State
    {
        get
        {
            lock (_changed) return _state;
        }
    }

    /// <summary>Whether calls have a chance.</summary>
    public bool IsAlive => _connection is not null;

    /// <summary>Whether the connection is a Unix socket; false while there is none.</summary>
    public bool UsesUnixSocket { get; private set; }

    /// <summary>Calls under way.</summary>
    public int InFlight => _calls.InFlight;

    internal ulong Digest { get; }

    /// <summary>
    /// A call with a native request buffer of <paramref name="requestBytes"/> (contents undefined). Never waits and never fails because of the peer.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The size is negative or above <see cref="TransportOptions.MaxPayloadBytes"/>.</exception>
    public TensorCall Rent(int requestBytes)
    {
        if ((uint)requestBytes > (uint)_options.MaxPayloadBytes) ThrowSize(requestBytes);
        return _calls.Rent(requestBytes);
    }

    /// <summary>Waits until the peer is connected; false = not within <paramref name="timeout"/>.</summary>
    public bool WaitAlive(TimeSpan timeout)
    {
        long untilNs = _clock.NowNs() + timeout.ToNs();
        lock (_changed)
        {
            while (_state != PeerState.Alive)
            {
                int leftMs = Nanoseconds.CeilingMs(untilNs - _clock.NowNs(), 1000);
                if (leftMs == 0 || _disposed) return false;
                Monitor.Wait(_changed, leftMs);
            }

            return true;
        }
    }

    /// <summary>Closes the connection; calls under way end with <see cref="CallStatus.PeerFailed"/>, and nobody is told that the peer is suspected.</summary>
    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        _transport.Forget(this);
        if (_connection is { } connection)
        {
            connection.Sender.SendFarewell();
            connection.Fail("closed");
        }

        _dialled?.Shutdown();
        SetState(PeerState.Closed, "closed");
        if (_thread != Thread.CurrentThread) _thread.Join();
    }

    internal void Start() => _thread.Start();

    /// <summary>For heartbeats; null while not connected.</summary>
    internal FrameSender? Sender => _connection?.Sender;

    /// <summary>Suspects the peer if it was silent for too long; called by the heart after every <paramref name="stepNs"/> of running time.</summary>
    internal void Judge(long stepNs)
    {
        PeerConnection? connection = _connection;
        if (connection is { Hearing.HasHole: true }) connection.Fail("the link was cut");
        long silentMs = _silence.Observe(connection?.Hearing.HeardNs ?? Volatile.Read(ref _heardNs), connection is { Hearing.HasUnread: true }, stepNs) / Nanoseconds.PerMillisecond;
        if (silentMs < (_wasAlive ? _options.SuspectMs : 3 * _options.ConnectTimeoutMs)) return;
        SetState(PeerState.Suspect, $"silent for {silentMs} ms");
        connection?.Fail("it was silent for too long");
    }

    private void Run()
    {
        int pauseMs = _options.ReconnectMinMs;
        while (!_disposed)
        {
            if (TryConnect() is { } connection)
            {
                pauseMs = _options.ReconnectMinMs;
                Use(connection);
                if (connection.IsGoodbye) return;
            }

            if (_disposed) return;
            lock (_changed) Monitor.Wait(_changed, pauseMs);
            pauseMs = Math.Min(pauseMs * 2, _options.ReconnectMaxMs);
        }
    }

    private PeerConnection? TryConnect()
    {
        Wire? wire = null;
        try
        {
            wire = Dialer.Dial(_target, _options, _transport.Certificates, out bool isUnix);
            _dialled = wire;
            if (_disposed) wire.Shutdown();
            Agreement agreement;
            // Nobody may keep us waiting: a certificate's exchange has no limit of its own.
            using (new Timer(static w => ((Wire)w!).Shutdown(), wire, 2 * _options.HandshakeTimeoutMs, Timeout.Infinite))
            {
                wire.Introduce(_transport.Certificates, _target.Host);
                agreement = Handshake.Call(wire, _transport.Address, Address, _options, _clock);
            }

            UsesUnixSocket = isUnix;
            var connection = new PeerConnection(wire, _calls, _transport.Buffers, _options, _clock, suspects => _transport.Hear(Address, suspects));
            _calls.Open(connection, agreement.MaxInFlightRequests, agreement.MaxInFlightBytes);
            return connection;
        }
        catch (Exception e)
        {
            // Whatever it is, the next attempt may do better; the thread must not end.
            wire?.Dispose();
            if (_disposed) return null;
            if (_lastFailure != e.Message) TransportLog.CannotConnect(_logger, Address, e.Message);
            _lastFailure = e.Message;
            if (e is PeerReplacedException || (_wasAlive && e is SocketException { SocketErrorCode: SocketError.ConnectionRefused })) SetState(PeerState.Suspect, e.Message);
            return null;
        }
        finally
        {
            _dialled = null;
        }
    }

    private void Use(PeerConnection connection)
    {
        _connection = connection;
        _lastFailure = null;
        _wasAlive = true;
        SetState(PeerState.Alive, UsesUnixSocket ? "unix" : "tcp");
        if (_disposed) connection.Fail("closed");
        connection.ReceiveUntilFailed();
        _connection = null;
        Volatile.Write(ref _heardNs, connection.Hearing.HeardNs);
        if (!_disposed) SetState(connection.IsGoodbye ? PeerState.Closed : PeerState.Connecting, connection.FailureReason ?? "");
        connection.Dispose();
    }

    private void SetState(PeerState state, string reason)
    {
        PeerState before;
        lock (_changed)
        {
            before = _state;
            // A suspect stays one until it is heard again.
            if (before == state || before == PeerState.Closed || (before == PeerState.Suspect && state == PeerState.Connecting)) return;
            _state = state;
            Monitor.PulseAll(_changed);
        }

        if (state == PeerState.Alive) TransportLog.Connected(_logger, Address, reason);
        else if (state is PeerState.Connecting or PeerState.Closed) TransportLog.Lost(_logger, Address, reason);
        else if (state == PeerState.Suspect) TransportLog.Suspected(_logger, Address, reason);
        _transport.OnStateChanged(this, before, state);
    }

    private static void ThrowSize(int requestBytes) =>
        throw new ArgumentOutOfRangeException(nameof(requestBytes), requestBytes, $"a request has 0 to {nameof(TransportOptions.MaxPayloadBytes)} bytes");
}
