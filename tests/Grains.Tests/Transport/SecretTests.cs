using System.Net;
using System.Net.Sockets;
using Conclave.Grains.Transport;
using Conclave.Tests.Support;
using Microsoft.Extensions.Logging;

namespace Conclave.Grains.Tests.Transport;

/// <summary>Who may connect.</summary>
public sealed class SecretTests
{
    [Theory]
    [InlineData("open sesame", "open barley", true)]
    [InlineData("open sesame", "open barley", false)]
    [InlineData("open sesame", "", true)]
    [InlineData("", "open sesame", true)]
    public void Another_secret_is_refused_and_both_ends_say_so(string secret, string other, bool unix)
    {
        var calledLog = new ListLogger();
        var callerLog = new ListLogger();
        using var called = new TensorTransport(new TransportOptions { ClusterSecret = secret, UseUnixSocket = unix }, logger: calledLog);
        using var caller = new TensorTransport(new TransportOptions { ClusterSecret = other, UseUnixSocket = unix }, logger: callerLog);
        called.Start();
        caller.Start();
        TransportPeer peer = caller.Connect(called.Address);
        Assert.True(SpinWait.SpinUntil(() => calledLog.Has("could not prove the cluster secret") && callerLog.Has("another cluster secret"), Pair.Long));
        Assert.False(peer.WaitAlive(TimeSpan.FromMilliseconds(50)));
        Assert.False(peer.IsAlive);
    }

    [Fact]
    public void A_proof_that_is_sent_back_proves_nothing()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        string address = $"127.0.0.1:{((IPEndPoint)listener.LocalEndPoint!).Port};machine=m;instance=i";
        var log = new ListLogger();
        using var caller = new TensorTransport(new TransportOptions { ClusterSecret = "open sesame", HandshakeTimeoutMs = PatientSilo.LongMs }, logger: log);
        caller.Start();
        TransportPeer peer = caller.Connect(address);
        using Socket accepted = listener.Accept();
        var hello = new byte[40 + caller.Address.Length];
        ReadAll(accepted, hello);
        // A challenge with the caller's own nonce, and then the caller's own proof as the answer.
        var challenge = new byte[64];
        hello.AsSpan(0, 6).CopyTo(challenge);
        hello.AsSpan(8, 32).CopyTo(challenge.AsSpan(32));
        accepted.Send(challenge);
        var proof = new byte[32];
        ReadAll(accepted, proof);
        accepted.Send([0, 0, 0, 0, .. proof]);
        Assert.True(SpinWait.SpinUntil(() => log.Has("could not prove the cluster secret"), Pair.Long));
        Assert.False(peer.IsAlive);
    }

    [Fact]
    public void Strangers_who_say_nothing_take_few_places()
    {
        var log = new ListLogger();
        using TensorTransport called = Silent(log, handshakeTimeoutMs: PatientSilo.LongMs);
        // Three take the places, one after the other; those who come then are hung up on.
        List<Socket> strangers = [.. Enumerable.Range(0, 6).Select(_ => Dial(called))];
        Assert.True(SpinWait.SpinUntil(() => strangers.Count(IsHungUpOn) == 3, Pair.Long));
        Assert.True(log.Has("have not introduced themselves"));
        foreach (Socket stranger in strangers) stranger.Dispose();
        using TensorTransport caller = Pair.Make(unix: false);
        Assert.True(caller.Connect(called.Address).WaitAlive(Pair.Long));
    }

    [Fact]
    public void Strangers_who_say_nothing_are_hung_up_on_in_time()
    {
        var log = new ListLogger();
        using TensorTransport called = Silent(log, handshakeTimeoutMs: 50);
        using Socket stranger = Dial(called);
        Assert.True(SpinWait.SpinUntil(() => IsHungUpOn(stranger), Pair.Long));
        Assert.True(SpinWait.SpinUntil(() => log.Has("refused a connection") && log.Has("introduc"), Pair.Long));
    }

    [Fact]
    public void A_restarted_process_is_not_taken_for_its_forerunner()
    {
        using TensorTransport caller = Pair.Make(unix: false), called = Pair.Make(unix: false);
        string forerunner = (TransportAddress.Parse(called.Address) with { Instance = "0123456789abcdef" }).ToString();
        TransportPeer peer = caller.Connect(forerunner);
        Assert.True(SpinWait.SpinUntil(() => peer.State == PeerState.Suspect, Pair.Long));
    }

    [Fact]
    public void Socket_files_of_killed_processes_are_cleared_away()
    {
        string folder = Directory.CreateTempSubdirectory("conclave-sock-").FullName;
        string left = Path.Combine(folder, "conclave-99999999-0123456789abcdef.sock");
        using (var dead = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)) dead.Bind(new UnixDomainSocketEndPoint(left));
        if (!File.Exists(left)) File.WriteAllText(left, "");
        using (TensorTransport transport = Pair.Make(unix: true, options => options.UnixSocketFolder = folder))
        {
            Assert.False(File.Exists(left));
            Assert.True(File.Exists(TransportAddress.Parse(transport.Address).UnixPath));
        }

        Assert.Empty(Directory.EnumerateFiles(folder));
        Directory.Delete(folder);
    }

    [Fact]
    public void Closing_does_not_wait_for_one_who_never_introduces_himself()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        using TensorTransport caller = Pair.Make(unix: false, options => options.HandshakeTimeoutMs = 600_000);
        TransportPeer peer = caller.Connect($"127.0.0.1:{((IPEndPoint)listener.LocalEndPoint!).Port};machine=m;instance=i");
        using Socket accepted = listener.Accept();
        Assert.NotEqual(0, accepted.Receive(new byte[1]));
        using TensorCall call = peer.Rent(0);
        call.Send(Pair.Long);
        Assert.Equal(CallStatus.PeerFailed, call.WaitForReply());
        peer.Dispose();
        Assert.Equal(PeerState.Closed, peer.State);
        Assert.Empty(caller.Peers);
    }

    [Theory]
    [InlineData("*", "")]
    [InlineData("0.0.0.0", "")]
    [InlineData("not a host", "x")]
    public void Listening_to_the_world_takes_a_secret(string host, string secret) =>
        Assert.Throws<ArgumentException>(() => new TensorTransport(new TransportOptions { ListenHost = host, ClusterSecret = secret }));

    [Theory]
    [InlineData("")]
    [InlineData("host")]
    [InlineData("host:99999;machine=m;instance=i")]
    [InlineData("host:1;instance=i")]
    [InlineData("host:1;machine=m")]
    public void An_address_that_is_none_is_refused(string text) => Assert.Throws<FormatException>(() => TransportAddress.Parse(text));

    [Theory]
    [InlineData("10.0.0.1:7000;machine=m;instance=i")]
    [InlineData("[::1]:7000;unix=/tmp/a b.sock;machine=m;instance=i")]
    public void An_address_survives_as_text(string text) => Assert.Equal(text, TransportAddress.Parse(text).ToString());

    /// <summary>A transport with three places for strangers.</summary>
    private static TensorTransport Silent(ListLogger log, int handshakeTimeoutMs)
    {
        var transport = new TensorTransport(
            new TransportOptions { ClusterSecret = "open sesame", UseUnixSocket = false, MaxHalfOpenConnections = 3, HandshakeTimeoutMs = handshakeTimeoutMs }, logger: log);
        transport.Start();
        return transport;
    }

    private static Socket Dial(TensorTransport called)
    {
        TransportAddress target = TransportAddress.Parse(called.Address);
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Connect(IPAddress.Parse(target.Host), target.Port);
        return socket;
    }

    /// <summary>Whether the other end has closed or reset the connection; nothing is ever sent.</summary>
    private static bool IsHungUpOn(Socket socket) => socket.Poll(0, SelectMode.SelectRead);

    private static void ReadAll(Socket socket, Span<byte> into)
    {
        while (into.Length > 0)
        {
            int count = socket.Receive(into);
            Assert.NotEqual(0, count);
            into = into[count..];
        }
    }
}

/// <summary>Keeps what is logged.</summary>
internal sealed class ListLogger : ILogger
{
    private readonly List<string> _lines = [];

    public bool Has(string text)
    {
        lock (_lines) return _lines.Exists(line => line.Contains(text, StringComparison.Ordinal));
    }

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        lock (_lines) _lines.Add(formatter(state, exception));
    }
}
