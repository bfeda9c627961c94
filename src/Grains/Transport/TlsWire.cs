using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Conclave.Grains.Transport;

/// <summary>TLS over a TCP socket. Reading waits, so one thread does all of it; a thread that waits for a reply is woken by that one.</summary>
internal sealed unsafe class TlsWire : Wire
{
    private readonly Socket _socket;
    private readonly SslStream _stream;
    private volatile bool _closed;

    public TlsWire(Socket socket, int bufferBytes)
    {
        _socket = socket;
        SocketWire.Prepare(socket, bufferBytes);
        socket.SendTimeout = SocketWire.StallLimitMs;
        Remote = $"{socket.RemoteEndPoint} (TLS)";
        _stream = new SslStream(new NetworkStream(socket, ownsSocket: true));
    }

    public override bool CanPoll => false;

    public override string Remote { get; }

    public override byte[] CertificateDigest { get; protected set; } = [];

    public override int AvailableBytes => SocketWire.Available(_socket, _closed);

    public override bool IsWritable => SocketWire.CanWrite(_socket, _closed);

    public override void Introduce(TransportCertificates? certificates, string? host)
    {
        try
        {
            if (host is null) _stream.AuthenticateAsServer(certificates!.ServerOptions);
            else _stream.AuthenticateAsClient(certificates!.ClientOptions(host));
        }
        catch (Exception e) when (e is AuthenticationException or IOException or ObjectDisposedException or InvalidOperationException)
        {
            throw new TransportException($"TLS with {Remote}: {e.Message}", e);
        }

        // Part of the proof of the secret: somebody in the middle with a certificate of his own cannot pass it on.
        X509Certificate? shown = host is null ? _stream.LocalCertificate : _stream.RemoteCertificate;
        CertificateDigest = SHA256.HashData(shown!.GetRawCertData());
    }

    public override int Receive(Span<byte> into)
    {
        if (_closed) return -1;
        try
        {
            int count = _stream.Read(into);
            return count == 0 ? -1 : count;
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException or InvalidOperationException)
        {
            return -1;
        }
    }

    /// <summary>Receiving waits by itself.</summary>
    public override bool WaitReadable(int timeoutMs) => true;

    public override bool Send(byte* data, int sizeBytes)
    {
        if (_closed) return false;
        try
        {
            _stream.Write(new ReadOnlySpan<byte>(data, sizeBytes));
            return true;
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException or InvalidOperationException)
        {
            return false;
        }
    }

    public override void Shutdown()
    {
        _closed = true;
        SocketWire.HangUp(_socket);
    }

    public override void Dispose()
    {
        _closed = true;
        _stream.Dispose();
    }
}
