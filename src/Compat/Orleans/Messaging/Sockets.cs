using System.Buffers.Binary;
using System.Net.Sockets;

namespace Orleans.Runtime;

/// <summary>Settings of the sockets between silos and clients.</summary>
internal static class Sockets
{
    private const int KeepAliveAfterS = 10;
    private const int KeepAliveIntervalS = 5;
    private const int KeepAliveCount = 3;

    /// <summary>TCP_USER_TIMEOUT of Linux: how long sent bytes may stay without acknowledgement.</summary>
    private const int LinuxTcp = 6;
    private const int LinuxUserTimeout = 18;
    private const int UserTimeoutMs = 20_000;

    /// <summary>Small messages leave at once, and a host that has vanished is noticed. A process that merely stands still is not: its kernel answers.</summary>
    public static Socket Configure(Socket socket)
    {
        socket.NoDelay = true;
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, KeepAliveAfterS);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, KeepAliveIntervalS);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, KeepAliveCount);
        if (!OperatingSystem.IsLinux()) return socket;
        Span<byte> timeout = stackalloc byte[sizeof(int)];
        BinaryPrimitives.WriteInt32LittleEndian(timeout, UserTimeoutMs);
        socket.SetRawSocketOption(LinuxTcp, LinuxUserTimeout, timeout);
        return socket;
    }
}
