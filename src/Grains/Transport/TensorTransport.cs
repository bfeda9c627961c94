using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Conclave.Grains.Transport;

/// <summary>
/// Carries activations and KV pages between silos, beside Orleans: register handlers, <see cref="Start"/>, publish <see cref="Address"/> in the
/// cluster's membership data, and <see cref="Connect"/> to the addresses of the others. It is also the fast failure detector: connect to every
/// silo, and listen to <see cref="PeerSuspected"/> and <see cref="SuspicionsHeard"/>. Events are raised on the transport's threads and must return soon.
/// </summary>
public sealed class TensorTransport : IDisposable
{
    private readonly TimeProvider _clock;
    private readonly ILogger _logger;
    private readonly RequestHandlers _handlers = new();
    private readonly Lock _lock = new();
    private readonly Dictionary<string, TransportPeer> _peers = [];
    private readonly List<Listener> _listeners = [];
    private readonly HashSet<AcceptedConnection> _accepted = [];
    private TransportAddress? _address;
    private string? _unixPath;
    private Heart? _heart;
    private bool _disposed;

    /// <summary>A transport that does not listen yet.</summary>
    /// <exception cref="ArgumentException">An option is out of range.</exception>
    /// <exception cref="TransportException">The certificate cannot be read.</exception>
    public TensorTransport(TransportOptions options, TimeProvider? clock = null, ILogger? logger = null)
    {
        if (!BitConverter.IsLittleEndian) throw new PlatformNotSupportedException("the tensor transport's frames are little-endian, this machine is not");
        options.Validate();
        Options = options;
        _clock = clock ?? TimeProvider.System;
        _logger = logger ?? NullLogger.Instance;
        if (options.Tls is not null) Certificates = new TransportCertificates(options.Tls);
        Buffers = new NativeBufferPool(options.MaxInFlightBytes);
    }

    /// <summary>A peer's state changed from the second to the third argument.</summary>
    public event Action<TransportPeer, PeerState, PeerState>? PeerStateChanged;

    /// <summary>This process suspects the peer of that address.</summary>
    public event Action<string>? PeerSuspected;

    /// <summary>A peer that was suspected is heard again.</summary>
    public event Action<string>? PeerRecovered;

    /// <summary>The peer of the first address suspects those of the second, all of them and no others. Only addresses known here are named.</summary>
    public event Action<string, IReadOnlyList<string>>? SuspicionsHeard;

    /// <summary>Where others reach this transport; after <see cref="Start"/>.</summary>
    public string Address => _address?.ToString() ?? throw new InvalidOperationException("the tensor transport is not started");

    /// <summary>The peers that <see cref="Connect"/> was called for.</summary>
    public IReadOnlyList<TransportPeer> Peers
    {
        get
        {
            lock (_lock) return [.. _peers.Values];
        }
    }

    internal TransportOptions Options { get; }

    internal NativeBufferPool Buffers { get; }

    internal TransportCertificates? Certificates { get; }

    /// <summary>A copy that is replaced when a peer comes or goes, for the heart's rounds.</summary>
    internal TransportPeer[] PeerArray { get; private set; } = [];

    internal AcceptedConnection[] AcceptedArray { get; private set; } = [];

    /// <summary>Has requests of <paramref name="kind"/> answered by <paramref name="handler"/>, before or after the start.</summary>
    public void Handle(ushort kind, IRequestHandler handler) => _handlers.Set(kind, handler);

    /// <summary>Listens.</summary>
    /// <exception cref="SocketException">The port is taken, or the address is not one of this machine.</exception>
    public void Start()
    {
        if (_address is not null) throw new InvalidOperationException("the tensor transport was started before");
        IPAddress host = Options.ListenAddress();
        var tcp = new Socket(host.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        if (host.Equals(IPAddress.IPv6Any)) tcp.DualMode = true;
        tcp.Bind(new IPEndPoint(host, Options.Port));
        tcp.Listen(128);
        string instance = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8));
        Socket? unix = Options.UseUnixSocket ? UnixSocketFile.Listen(Options.UnixSocketFolder, instance, out _unixPath) : null;

        string advertised = Options.AdvertisedHost ?? (Options.ListenHost == "*" ? Dns.GetHostName() : host.ToString());
        if (advertised.Contains(':', StringComparison.Ordinal) && !advertised.StartsWith('[')) advertised = $"[{advertised}]";
        _address = new TransportAddress
        {
            Host = advertised,
            Port = ((IPEndPoint)tcp.LocalEndPoint!).Port,
            UnixPath = _unixPath,
            Machine = TransportAddress.ThisMachine,
            Instance = instance,
        };
        _listeners.Add(new Listener(tcp, $"tcp {tcp.LocalEndPoint}", _logger, socket => Accept(socket, Certificates is not null)));
        if (unix is not null) _listeners.Add(new Listener(unix, $"unix {_unixPath}", _logger, socket => Accept(socket, usesTls: false)));
        _heart = new Heart(this, _clock, _logger);
        TransportLog.Listening(_logger, Address);
    }

    /// <summary>The peer at <paramref name="address"/> (another transport's <see cref="Address"/>); connects to it in the background, once.</summary>
    /// <exception cref="FormatException">The text is not an address.</exception>
    public TransportPeer Connect(string address)
    {
        _ = Address;
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_peers.TryGetValue(address, out TransportPeer? peer)) return peer;
            peer = new TransportPeer(this, address, _logger, _clock);
            _peers.Add(address, peer);
            PeerArray = [.. _peers.Values];
            peer.Start();
            return peer;
        }
    }

    /// <summary>Says goodbye, closes every connection, waits for the threads and frees the memory.</summary>
    public void Dispose()
    {
        AcceptedConnection[] accepted;
        lock (_lock)
        {
            if (_disposed) return;
            _disposed = true;
        }

        foreach (Listener listener in _listeners) listener.Dispose();
        foreach (TransportPeer peer in Peers) peer.Dispose();
        lock (_lock) accepted = [.. _accepted];
        foreach (AcceptedConnection connection in accepted) connection.Dispose();
        _heart?.Dispose();
        if (_unixPath is not null) File.Delete(_unixPath);
        Buffers.Dispose();
        Certificates?.Dispose();
    }

    internal void Forget(TransportPeer peer)
    {
        lock (_lock)
        {
            if (_peers.GetValueOrDefault(peer.Address) == peer) _peers.Remove(peer.Address);
            PeerArray = [.. _peers.Values];
        }
    }

    internal void Forget(AcceptedConnection accepted)
    {
        lock (_lock)
        {
            _accepted.Remove(accepted);
            AcceptedArray = [.. _accepted];
        }
    }

    internal void Hear(string from, ReadOnlySpan<ulong> suspects)
    {
        if (SuspicionsHeard is not null) Tell(from, suspects);
    }

    private void Tell(string from, ReadOnlySpan<ulong> suspects)
    {
        var addresses = new List<string>();
        lock (_lock)
        {
            foreach (TransportPeer peer in _peers.Values)
            {
                if (suspects.Contains(peer.Digest)) addresses.Add(peer.Address);
            }
        }

        Raise(() => SuspicionsHeard?.Invoke(from, addresses));
    }

    internal void OnStateChanged(TransportPeer peer, PeerState before, PeerState after)
    {
        Raise(() => PeerStateChanged?.Invoke(peer, before, after));
        if (after == PeerState.Suspect) Raise(() => PeerSuspected?.Invoke(peer.Address));
        else if (before == PeerState.Suspect && after == PeerState.Alive) Raise(() => PeerRecovered?.Invoke(peer.Address));
    }

    /// <summary>A fault of whoever listens must not end a thread of the transport.</summary>
    private void Raise(Action raise)
    {
        try
        {
            raise();
        }
        catch (Exception e)
        {
            TransportLog.EventFailed(_logger, e);
        }
    }

    private void Accept(Socket socket, bool usesTls)
    {
        lock (_lock)
        {
            int halfOpen = _accepted.Count(accepted => accepted.IsHalfOpen);
            if (halfOpen >= Options.MaxHalfOpenConnections) TransportLog.Refused(_logger, $"{halfOpen} connections have not introduced themselves yet");
            else if (_accepted.Count >= Options.MaxConnections) TransportLog.Refused(_logger, $"there are {_accepted.Count} already");
            else if (!_disposed && !Options.Link.Cut)
            {
                try
                {
                    var accepted = new AcceptedConnection(this, socket, usesTls, _handlers, _clock, _logger);
                    _accepted.Add(accepted);
                    AcceptedArray = [.. _accepted];
                    accepted.Start();
                    return;
                }
                catch (SocketException e)
                {
                    TransportLog.Refused(_logger, $"it was gone at once: {e.Message}");
                }
            }
        }

        socket.Dispose();
    }
}
