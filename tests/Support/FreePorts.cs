using System.Net;
using System.Net.Sockets;

namespace Conclave.Tests.Support;

/// <summary>
/// Ports of the loopback address that nobody listens at. They lie below those that the system gives to outgoing connections: one of those may be taken by any connection of any process before a
/// server listens at it, or while a server is away.
/// </summary>
internal static class FreePorts
{
    private const int First = 12_000, End = 32_000;

    private static readonly Lock Gate = new();
    private static readonly HashSet<int> Given = [];

    /// <summary>A port that is free now; no two calls of this process get the same one.</summary>
    public static int Next()
    {
        lock (Gate)
        {
            while (true)
            {
                int port = Random.Shared.Next(First, End);
                if (!Given.Contains(port) && IsFree(port))
                {
                    Given.Add(port);
                    return port;
                }
            }
        }
    }

    /// <summary>Several of them.</summary>
    public static int[] Next(int count) => [.. Enumerable.Range(0, count).Select(_ => Next())];

    private static bool IsFree(int port)
    {
        try
        {
            using var listener = new TcpListener(IPAddress.Loopback, port);
            listener.Start();
            return true;
        }
        catch (SocketException e) when (e.SocketErrorCode is SocketError.AddressAlreadyInUse or SocketError.AccessDenied)
        {
            return false;
        }
    }
}
