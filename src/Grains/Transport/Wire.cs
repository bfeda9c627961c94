using System.Net;
using System.Net.Sockets;

namespace Conclave.Grains.Transport;

/// <summary>One connection's bytes, for dedicated threads: at most one receives and one sends at a time, any thread may shut it down.</summary>
internal abstract unsafe class Wire : IDisposable
{
    /// <summary>Longest time that <see cref="Receive"/> waits.</summary>
    public const int SliceMs = 50;

    /// <summary>Whether <see cref="WaitReadable"/> can tell what <see cref="Receive"/> will do, so that any waiting thread may do the receiving.</summary>
    public abstract bool CanPoll { get; }

    /// <summary>Who is at the other end, for logs.</summary>
    public abstract string Remote { get; }

    /// <summary>Digest of the called end's certificate, the same at both ends; empty without TLS.</summary>
    public virtual byte[] CertificateDigest { get; protected set; } = [];

    /// <summary>Agrees on encryption, where the wire has any; <paramref name="host"/> is the name called, null at the called end.</summary>
    /// <exception cref="TransportException">The other end's certificate is not trusted, or it has none.</exception>
    public virtual void Introduce(TransportCertificates? certificates, string? host)
    {
    }

    /// <summary>Bytes that the system holds for us to read.</summary>
    public abstract int AvailableBytes { get; }

    /// <summary>Waits a little for bytes. Returns their number, 0 = none came, -1 = the connection is gone.</summary>
    public abstract int Receive(Span<byte> into);

    /// <summary>Waits until something can be received, the connection is gone or the time is up.</summary>
    public abstract bool WaitReadable(int timeoutMs);

    /// <summary>Whether a small frame can be sent without waiting.</summary>
    public abstract bool IsWritable { get; }

    /// <summary>Sends all of it; false = the connection is gone.</summary>
    public abstract bool Send(byte* data, int sizeBytes);

    /// <summary>Ends the connection: everyone who waits on it returns.</summary>
    public abstract void Shutdown();

    public abstract void Dispose();
}

/// <summary>A TCP or Unix socket.</summary>
internal sealed unsafe class SocketWire : Wire
{
    /// <summary>A send that makes no progress for this long has failed.</summary>
    public const int StallLimitMs = 10_000;

    private readonly Socket _socket;
    private volatile bool _closed;

    public SocketWire(Socket socket, int bufferBytes)
    {
        _socket = socket;
        Prepare(socket, bufferBytes);
        // Blocking calls: one system call to receive, one to send, as a plain ping-pong has.
        socket.ReceiveTimeout = SliceMs;
        socket.SendTimeout = StallLimitMs;
        Remote = socket.RemoteEndPoint is IPEndPoint remote ? remote.ToString() : "a process of this machine";
    }

    public override bool CanPoll => true;

    public override string Remote { get; }

    public override int AvailableBytes => Available(_socket, _closed);

    public override bool IsWritable => CanWrite(_socket, _closed);

    /// <summary>Bytes to be read; 0 if the socket is gone.</summary>
    public static int Available(Socket socket, bool isClosed)
    {
        try
        {
            return isClosed ? 0 : socket.Available;
        }
        catch (Exception e) when (e is ObjectDisposedException or SocketException)
        {
            return 0;
        }
    }

    /// <summary>Whether a small frame fits; false if the socket is gone.</summary>
    public static bool CanWrite(Socket socket, bool isClosed)
    {
        try
        {
            return !isClosed && socket.Poll(0, SelectMode.SelectWrite);
        }
        catch (Exception e) when (e is ObjectDisposedException or SocketException)
        {
            return false;
        }
    }

    /// <summary>Wakes everyone who waits on the socket.</summary>
    public static void HangUp(Socket socket)
    {
        try
        {
            socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception e) when (e is ObjectDisposedException or SocketException)
        {
            // It is gone already, which is what was asked for.
        }
    }

    /// <summary>Options that every connection of the transport wants.</summary>
    public static void Prepare(Socket socket, int bufferBytes)
    {
        if (socket.AddressFamily != AddressFamily.Unix) socket.NoDelay = true;
        socket.SendBufferSize = bufferBytes;
        socket.ReceiveBufferSize = bufferBytes;
    }

    public override int Receive(Span<byte> into)
    {
        if (_closed) return -1;
        try
        {
            int count = _socket.Receive(into, SocketFlags.None, out SocketError error);
            return error == SocketError.Success ? (count == 0 ? -1 : count)
                : error is SocketError.WouldBlock or SocketError.TimedOut or SocketError.Interrupted ? 0 : -1;
        }
        catch (ObjectDisposedException)
        {
            return -1;
        }
    }

    public override bool WaitReadable(int timeoutMs)
    {
        if (_closed) return true;
        try
        {
            return _socket.Poll(timeoutMs * 1000, SelectMode.SelectRead);
        }
        catch (Exception e) when (e is ObjectDisposedException or SocketException)
        {
            // The next Receive tells that the connection is gone.
            return true;
        }
    }

    public override bool Send(byte* data, int sizeBytes)
    {
        int sent = 0;
        try
        {
            while (sent < sizeBytes)
            {
                if (_closed) return false;
                int count = _socket.Send(new ReadOnlySpan<byte>(data + sent, sizeBytes - sent), SocketFlags.None, out SocketError error);
                if (error is not (SocketError.Success or SocketError.Interrupted)) return false;
                sent += count;
            }

            return true;
        }
        catch (ObjectDisposedException)
        {
            return false;
        }
    }

    public override void Shutdown()
    {
        _closed = true;
        HangUp(_socket);
    }

    public override void Dispose()
    {
        _closed = true;
        _socket.Dispose();
    }
}
