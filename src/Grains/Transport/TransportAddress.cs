using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;

namespace Conclave.Grains.Transport;

/// <summary>
/// Where a transport is reached, as one string for the cluster's membership data: <c>host:port;unix=PATH;machine=ID;instance=ID</c>. The Unix socket
/// is used by processes of the same machine that can see its file, TCP by all others. The instance id tells a restarted process from its forerunner.
/// </summary>
public sealed record TransportAddress
{
    private const int MaxLength = 512, MaxHostLength = 255, MaxUnixPathBytes = 107;

    /// <summary>Host name or IP address (IPv6 in brackets), and port, of the TCP listener.</summary>
    public required string Host { get; init; }

    /// <summary>TCP port.</summary>
    public required int Port { get; init; }

    /// <summary>Path of the Unix socket, or null.</summary>
    public string? UnixPath { get; init; }

    /// <summary>Identity of the running machine (a hash of machine and boot id).</summary>
    public required string Machine { get; init; }

    /// <summary>Identity of the process' transport.</summary>
    public required string Instance { get; init; }

    /// <summary>Identity of the machine this process runs on.</summary>
    public static string ThisMachine { get; } = FindMachine();

    /// <summary>Reads what <see cref="ToString"/> wrote.</summary>
    /// <exception cref="FormatException">The text is not an address; the message says which part.</exception>
    public static TransportAddress Parse(string text)
    {
        if (text.Length > MaxLength) throw new FormatException($"transport address of {text.Length} characters, at most {MaxLength}");
        string[] parts = text.Split(';');
        int colon = parts[0].LastIndexOf(':');
        if (colon <= 0 || !int.TryParse(parts[0].AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out int port) || port is < 0 or > IPEndPoint.MaxPort)
            throw new FormatException($"transport address '{text}' does not begin with host:port");
        string Field(string name, string? missing = null) =>
            Array.Find(parts, part => part.StartsWith(name + '=', StringComparison.Ordinal))?[(name.Length + 1)..] ?? missing
            ?? throw new FormatException($"transport address '{text}' lacks {name}=");
        if (colon > MaxHostLength) throw new FormatException($"transport address '{text}' has a host of {colon} characters, at most {MaxHostLength}");
        string unix = Field("unix", "");
        if (Encoding.UTF8.GetByteCount(unix) > MaxUnixPathBytes) throw new FormatException($"transport address '{text}' has a unix path of more than {MaxUnixPathBytes} bytes");
        return new TransportAddress { Host = parts[0][..colon], Port = port, UnixPath = unix.Length == 0 ? null : unix, Machine = Field("machine"), Instance = Field("instance") };
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Host}:{Port}{(UnixPath is null ? "" : $";unix={UnixPath}")};machine={Machine};instance={Instance}";

    /// <summary>A short stand-in for an address in heartbeats.</summary>
    internal static ulong Digest(string address) => BitConverter.ToUInt64(SHA256.HashData(Encoding.UTF8.GetBytes(address)));

    private static string FindMachine()
    {
        var identity = new StringBuilder();
        foreach (string file in new[] { "/etc/machine-id", "/proc/sys/kernel/random/boot_id" })
        {
            if (File.Exists(file)) identity.Append(File.ReadAllText(file));
        }

        if (identity.Length == 0) identity.Append(Environment.MachineName);
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(identity.ToString())).AsSpan(0, 8));
    }
}
