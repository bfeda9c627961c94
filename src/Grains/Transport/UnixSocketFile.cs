using System.Globalization;
using System.Net.Sockets;

namespace Conclave.Grains.Transport;

/// <summary>The file of a listening Unix socket, <c>conclave-PID-INSTANCE.sock</c>. Files of processes that were killed are cleared away.</summary>
internal static class UnixSocketFile
{
    /// <summary>A socket's path has at most 107 bytes; the name takes up to 45.</summary>
    public const int MaxFolderBytes = 60;

    private const string Prefix = "conclave-", Suffix = ".sock";

    /// <summary>Listens on a new file that only this user may open.</summary>
    public static Socket Listen(string folder, string instance, out string path)
    {
        ClearAway(folder);
        path = Path.Combine(folder, $"{Prefix}{Environment.ProcessId}-{instance}{Suffix}");
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(path));
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        socket.Listen(128);
        return socket;
    }

    private static void ClearAway(string folder)
    {
        foreach (string path in Directory.EnumerateFiles(folder, $"{Prefix}*{Suffix}"))
        {
            string[] parts = Path.GetFileName(path).Split('-');
            // A process of another container is not seen here, so a missing one is asked first.
            if (parts.Length != 3 || !int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int process) || Directory.Exists($"/proc/{process}")) continue;
            using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                socket.Connect(new UnixDomainSocketEndPoint(path));
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionRefused)
            {
                File.Delete(path);
            }
            catch (SocketException)
            {
                // Another user's, or gone meanwhile.
            }
        }
    }
}
