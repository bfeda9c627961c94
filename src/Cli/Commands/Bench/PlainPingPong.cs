using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Conclave.Cli.Commands.Bench;

/// <summary>The floor: blocking TCP sockets, one message there and the same number of bytes back, nothing else.</summary>
internal sealed class PlainPingPong : IDisposable
{
    private readonly Socket _socket;
    private readonly byte[] _message;

    /// <summary>Connects to <see cref="Serve"/> for messages of one size. An empty message cannot be answered, so the least is one byte.</summary>
    public PlainPingPong(int port, int sizeBytes)
    {
        _message = new byte[Math.Max(sizeBytes, 1)];
        _socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        _socket.Connect(IPAddress.Loopback, port);
        SendAll(_socket, BitConverter.GetBytes(_message.Length));
    }

    /// <summary>Listens on a free port of the loopback and answers each connection on a thread of its own.</summary>
    public static int Serve()
    {
        var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        new Thread(() =>
        {
            while (true)
            {
                Socket caller = listener.Accept();
                new Thread(() => Answer(caller)) { IsBackground = true }.Start();
            }
        })
        { IsBackground = true }.Start();
        return ((IPEndPoint)listener.LocalEndPoint!).Port;
    }

    /// <summary>Round trips until the time is up.</summary>
    public void Measure(TimeSpan time, Samples samples)
    {
        for (long start = Stopwatch.GetTimestamp(), last = start; Stopwatch.GetElapsedTime(start) < time;)
        {
            SendAll(_socket, _message);
            if (!ReceiveAll(_socket, _message)) throw new IOException("the second process hung up");
            long now = Stopwatch.GetTimestamp();
            samples.Add(now - last);
            last = now;
        }
    }

    public void Dispose() => _socket.Dispose();

    private static void Answer(Socket caller)
    {
        using Socket socket = caller;
        socket.NoDelay = true;
        byte[] size = new byte[sizeof(int)];
        if (!ReceiveAll(socket, size)) return;
        var message = new byte[BitConverter.ToInt32(size)];
        while (ReceiveAll(socket, message)) SendAll(socket, message);
    }

    private static void SendAll(Socket socket, ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0) bytes = bytes[socket.Send(bytes)..];
    }

    private static bool ReceiveAll(Socket socket, Span<byte> into)
    {
        while (into.Length > 0)
        {
            int count = socket.Receive(into);
            if (count == 0) return false;
            into = into[count..];
        }

        return true;
    }
}
