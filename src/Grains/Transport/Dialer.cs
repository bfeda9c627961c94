using System.Net;
using System.Net.Sockets;

namespace Conclave.Grains.Transport;

/// <summary>Opens connections: a Unix socket where the peer is on this machine and its socket's file can be seen, TCP otherwise.</summary>
internal static class Dialer
{
    /// <summary>Connects within the options' limit.</summary>
    /// <exception cref="SocketException">Nobody answers.</exception>
    public static Wire Dial(TransportAddress target, TransportOptions options, TransportCertificates? certificates, out bool isUnix)
    {
        if (options.Link.Cut) throw new SocketException((int)SocketError.HostUnreachable);
        isUnix = options.UseUnixSocket && target.UnixPath is not null && target.Machine == TransportAddress.ThisMachine && File.Exists(target.UnixPath);
        if (isUnix)
        {
            try
            {
                return new SocketWire(Connect(new UnixDomainSocketEndPoint(target.UnixPath!), ProtocolType.Unspecified, options), options.SocketBufferBytes);
            }
            catch (SocketException)
            {
                // The file is a dead process', or another user's: the network decides.
                isUnix = false;
            }
        }

        if (!IPAddress.TryParse(target.Host.Trim('[', ']'), out IPAddress? address))
            address = Dns.GetHostAddresses(target.Host).FirstOrDefault() ?? throw new SocketException((int)SocketError.HostNotFound);
        Socket socket = Connect(new IPEndPoint(address, target.Port), ProtocolType.Tcp, options);
        return certificates is null ? new SocketWire(socket, options.SocketBufferBytes) : new TlsWire(socket, options.SocketBufferBytes);
    }

    /// <summary>Blocking, so that the socket never enters the runtime's event loop; a timer hangs up if nobody answers.</summary>
    private static Socket Connect(EndPoint endPoint, ProtocolType protocol, TransportOptions options)
    {
        var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, protocol);
        using var limit = new Timer(static s => ((Socket)s!).Dispose(), socket, options.ConnectTimeoutMs, Timeout.Infinite);
        try
        {
            SocketWire.Prepare(socket, options.SocketBufferBytes);
            socket.Connect(endPoint);
            return socket;
        }
        catch (ObjectDisposedException)
        {
            throw new SocketException((int)SocketError.TimedOut);
        }
        catch (SocketException)
        {
            socket.Dispose();
            throw;
        }
    }
}
