using System.Net;
using System.Net.Sockets;

namespace Conclave.Cli.Local;

/// <summary>Ports for processes that start in a moment.</summary>
internal static class Ports
{
    // Below the range from which systems take ports for outgoing connections, so that none of those gets in between.
    private const int First = 18_000, End = 30_000;

    /// <summary>A port of the loopback address that nobody uses now and that no other caller here was given.</summary>
    public static int Free(ISet<int> taken)
    {
        for (int attempt = 0; attempt < 200; attempt++)
        {
            int port = Random.Shared.Next(First, End);
            if (IsFree(port) && taken.Add(port)) return port;
        }

        throw new InvalidOperationException($"no free port was found between {First} and {End}");
    }

    private static bool IsFree(int port)
    {
        try
        {
            using var listener = new TcpListener(IPAddress.Loopback, port);
            listener.Start();
            return true;
        }
        catch (SocketException)
        {
            // Somebody has it.
            return false;
        }
    }
}
