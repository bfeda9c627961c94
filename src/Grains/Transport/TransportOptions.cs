using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Conclave.Grains.Transport;

/// <summary>How a transport listens, proves itself, bounds what is under way, and detects failures.</summary>
public sealed class TransportOptions
{
    /// <summary>Address the TCP listener binds to (IP address, or <c>*</c> for all).</summary>
    public string ListenHost { get; set; } = "127.0.0.1";

    /// <summary>TCP port; 0 = any free one.</summary>
    public int Port { get; set; }

    /// <summary>Host that others connect to; null = <see cref="ListenHost"/>, or the host's name when that is all addresses.</summary>
    public string? AdvertisedHost { get; set; }

    /// <summary>Whether processes of the same machine meet over a Unix socket. Off where a test cuts the network between silos of one machine.</summary>
    public bool UseUnixSocket { get; set; } = true;

    /// <summary>Folder of the Unix socket; it must be short, as the path of a socket has at most 107 bytes.</summary>
    public string UnixSocketFolder { get; set; } = Path.GetTempPath();

    /// <summary>Secret that every member of the cluster knows. Empty = nobody is asked for proof; allowed on loopback only.</summary>
    public string ClusterSecret { get; set; } = "";

    /// <summary>Certificates for TCP connections; null = no TLS. Unix sockets never use it.</summary>
    public TransportTlsOptions? Tls { get; set; }

    /// <summary>Largest payload of a request or reply, bytes.</summary>
    public int MaxPayloadBytes { get; set; } = 256 << 20;

    /// <summary>Requests under way to one peer; <see cref="TensorCall.Send"/> waits for room.</summary>
    public int MaxInFlightRequests { get; set; } = 256;

    /// <summary>Bytes of requests under way to one peer.</summary>
    public long MaxInFlightBytes { get; set; } = 256 << 20;

    /// <summary>A payload larger than this travels in pieces, so that other frames get in between.</summary>
    public int ChunkBytes { get; set; } = 256 << 10;

    /// <summary>Send and receive buffer of a socket, bytes.</summary>
    public int SocketBufferBytes { get; set; } = 4 << 20;

    /// <summary>How long a waiting thread looks at the socket before it sleeps, microseconds. With few cores it would only keep the peer from running.</summary>
    public int SpinUs { get; set; } = Environment.ProcessorCount >= 8 ? 10 : 0;

    /// <summary>A frame goes out at least this often.</summary>
    public int HeartbeatMs { get; set; } = 100;

    /// <summary>Silence after which a peer is suspected.</summary>
    public int SuspectMs { get; set; } = 400;

    /// <summary>Time for connecting; a peer that was never reached is suspected after three of these.</summary>
    public int ConnectTimeoutMs { get; set; } = 1000;

    /// <summary>Time for a stranger to prove the cluster secret.</summary>
    public int HandshakeTimeoutMs { get; set; } = 2000;

    /// <summary>Strangers that may be proving themselves at a time; more are turned away.</summary>
    public int MaxHalfOpenConnections { get; set; } = 32;

    /// <summary>Accepted connections, proved or not.</summary>
    public int MaxConnections { get; set; } = 1024;

    /// <summary>First pause before calling a lost peer again; it doubles up to <see cref="ReconnectMaxMs"/>.</summary>
    public int ReconnectMinMs { get; set; } = 20;

    /// <summary>Longest pause before calling a lost peer again.</summary>
    public int ReconnectMaxMs { get; set; } = 1000;

    /// <summary>Test option: a slow, narrow or cut link.</summary>
    public LinkConditions Link { get; set; } = new();

    /// <summary>Checks every field.</summary>
    /// <exception cref="ArgumentException">A field is out of range; the message names it.</exception>
    public void Validate()
    {
        AtLeast(MaxPayloadBytes, 1, nameof(MaxPayloadBytes));
        if (MaxPayloadBytes > 1 << 30) throw new ArgumentException($"{nameof(MaxPayloadBytes)} is {MaxPayloadBytes}, at most 1 GiB");
        if (MaxInFlightRequests is < 1 or > 32768) throw new ArgumentException($"{nameof(MaxInFlightRequests)} is {MaxInFlightRequests}, must be 1 to 32768");
        AtLeast(MaxInFlightBytes, MaxPayloadBytes, nameof(MaxInFlightBytes));
        AtLeast(ChunkBytes, 4096, nameof(ChunkBytes));
        AtLeast(SocketBufferBytes, 4096, nameof(SocketBufferBytes));
        AtLeast(SpinUs, 0, nameof(SpinUs));
        AtLeast(HeartbeatMs, 1, nameof(HeartbeatMs));
        AtLeast(SuspectMs, 2L * HeartbeatMs, nameof(SuspectMs));
        AtLeast(ConnectTimeoutMs, 1, nameof(ConnectTimeoutMs));
        AtLeast(HandshakeTimeoutMs, 1, nameof(HandshakeTimeoutMs));
        AtLeast(MaxHalfOpenConnections, 1, nameof(MaxHalfOpenConnections));
        AtLeast(MaxConnections, 1, nameof(MaxConnections));
        AtLeast(ReconnectMinMs, 1, nameof(ReconnectMinMs));
        AtLeast(ReconnectMaxMs, ReconnectMinMs, nameof(ReconnectMaxMs));
        if (Port is < 0 or > IPEndPoint.MaxPort) throw new ArgumentException($"{nameof(Port)} is {Port}, must be 0 to {IPEndPoint.MaxPort}");
        IPAddress listen = ListenAddress();
        if (ClusterSecret.Length == 0 && !IPAddress.IsLoopback(listen))
            throw new ArgumentException($"{nameof(ClusterSecret)} is empty, but {nameof(ListenHost)} {ListenHost} can be reached from other machines: set a secret, or listen on 127.0.0.1");
        if (UseUnixSocket && !Directory.Exists(UnixSocketFolder)) throw new ArgumentException($"{nameof(UnixSocketFolder)} '{UnixSocketFolder}' does not exist");
        if (UseUnixSocket && Encoding.UTF8.GetByteCount(UnixSocketFolder) > UnixSocketFile.MaxFolderBytes)
            throw new ArgumentException($"{nameof(UnixSocketFolder)} '{UnixSocketFolder}' is too long for a socket: at most {UnixSocketFile.MaxFolderBytes} bytes");
        Tls?.Validate();
        Link.Validate();
    }

    internal IPAddress ListenAddress() =>
        ListenHost == "*" ? (Socket.OSSupportsIPv6 ? IPAddress.IPv6Any : IPAddress.Any)
        : ListenHost == "localhost" ? IPAddress.Loopback
        : IPAddress.TryParse(ListenHost, out IPAddress? address) ? address
        : throw new ArgumentException($"{nameof(ListenHost)} '{ListenHost}' is not an IP address or *");

    private static void AtLeast(long value, long min, string name)
    {
        if (value < min) throw new ArgumentException($"{name} is {value}, must be at least {min}");
    }
}

/// <summary>PEM files for TCP connections between hosts.</summary>
public sealed class TransportTlsOptions
{
    /// <summary>Certificate chain of this silo.</summary>
    public string CertificatePath { get; set; } = "";

    /// <summary>Private key of the certificate.</summary>
    public string KeyPath { get; set; } = "";

    /// <summary>Authorities that the peers' certificates are checked against; null = those of the system.</summary>
    public string? AuthorityPath { get; set; }

    /// <summary>Name that the peers' certificates must carry; null = the host that is connected to.</summary>
    public string? ServerName { get; set; }

    /// <summary>Checks that the files exist.</summary>
    /// <exception cref="ArgumentException">One does not; the message names it.</exception>
    public void Validate()
    {
        foreach ((string name, string? path) in new[] { (nameof(CertificatePath), CertificatePath), (nameof(KeyPath), KeyPath), (nameof(AuthorityPath), AuthorityPath) })
        {
            if (path is not null && !File.Exists(path)) throw new ArgumentException($"{name} '{path}' does not exist");
        }
    }
}

/// <summary>
/// A link as a test wants it. Delay and bandwidth are applied where frames arrive, by the time at which they were sent, so no sender waits;
/// both processes must run on one machine. May be changed while the transport runs.
/// </summary>
public sealed class LinkConditions
{
    private volatile bool _cut;

    /// <summary>One-way delay of every request and reply.</summary>
    public TimeSpan Delay { get; set; }

    /// <summary>Bytes a second in each direction of a connection; 0 = no limit.</summary>
    public long BandwidthBytesPerSecond { get; set; }

    /// <summary>While true nothing leaves and nothing arrives. A connection that lost a frame this way is closed when the link is whole again.</summary>
    public bool Cut
    {
        get => _cut;
        set => _cut = value;
    }

    internal bool IsSlow => Delay > TimeSpan.Zero || BandwidthBytesPerSecond > 0;

    internal void Validate()
    {
        if (Delay < TimeSpan.Zero || Delay > TimeSpan.FromMinutes(1)) throw new ArgumentException($"{nameof(Delay)} is {Delay}, must be 0 to 1 minute");
        if (BandwidthBytesPerSecond < 0) throw new ArgumentException($"{nameof(BandwidthBytesPerSecond)} is {BandwidthBytesPerSecond}, must not be negative");
    }
}
