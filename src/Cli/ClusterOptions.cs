using System.CommandLine;
using System.Net;

namespace Conclave.Cli;

/// <summary>How members and clients of a cluster find each other.</summary>
internal sealed record Membership
{
    /// <summary>The cluster's name: members of different clusters never meet.</summary>
    public required string ClusterId { get; init; }

    /// <summary>First part of every key in Redis.</summary>
    public required string ServiceId { get; init; }

    /// <summary>Redis as its clients take it; null for clustering on this host by a primary silo.</summary>
    public string? RedisConnection { get; init; }

    /// <summary>Without Redis. Silos: where the primary silo meets silos. Clients: where a silo meets clients. Always on the loopback address.</summary>
    public IPEndPoint? Primary { get; init; }
}

/// <summary>The options by which a process finds its cluster.</summary>
internal sealed class ClusterOptions
{
    public const string DefaultClusterId = "conclave", DefaultPrefix = "conclave";

    private const string PasswordVariable = "CONCLAVE_REDIS_PASSWORD";

    private readonly Option<string?> _redis = new("--redis") { Description = "Redis that keeps the cluster's membership", HelpName = "HOST:PORT" };
    private readonly Option<string?> _password = new("--redis-password-file") { Description = $"File with Redis's password (or the environment variable {PasswordVariable})", HelpName = "FILE" };
    private readonly Option<bool> _tls = new("--redis-tls") { Description = "Talk TLS to Redis" };
    private readonly Option<string> _prefix = new("--redis-prefix") { Description = "First part of the cluster's keys in Redis", DefaultValueFactory = _ => DefaultPrefix, HelpName = "TEXT" };
    private readonly Option<string?> _primary;
    private readonly Option<string> _clusterId = new("--cluster-id") { Description = "Name of the cluster", DefaultValueFactory = _ => DefaultClusterId, HelpName = "NAME" };

    /// <summary>Who is to find the cluster.</summary>
    public enum Side
    {
        Silo,
        Client,
    }

    public ClusterOptions(Side side) => _primary = new Option<string?>("--primary")
    {
        Description = side == Side.Silo
            ? "Without Redis: address and silo port of the first silo on this host (for that silo itself: its own)"
            : "Without Redis: address and client port (--gateway-port) of a silo on this host",
        HelpName = "HOST:PORT",
    };

    public void AddTo(Command command)
    {
        foreach (Option option in new Option[] { _redis, _password, _tls, _prefix, _primary, _clusterId }) command.Add(option);
    }

    /// <summary>Whether the command line names a cluster.</summary>
    public bool IsGiven(ParseResult parsed) => parsed.GetValue(_redis) is not null || parsed.GetValue(_primary) is not null;

    /// <summary>What the options say.</summary>
    /// <exception cref="ArgumentException">They contradict each other, or one cannot be used.</exception>
    public Membership Membership(ParseResult parsed)
    {
        string? redis = parsed.GetValue(_redis), primary = parsed.GetValue(_primary);
        if (redis is null == primary is null) throw new ArgumentException("give either --redis HOST:PORT or, for a cluster on this host alone, --primary HOST:PORT");
        string clusterId = Word("--cluster-id", parsed.GetValue(_clusterId)!), prefix = Word("--redis-prefix", parsed.GetValue(_prefix)!);
        if (redis is not null) return new Membership { ClusterId = clusterId, ServiceId = prefix, RedisConnection = RedisConnection(redis, Password(parsed), parsed.GetValue(_tls)) };
        IPEndPoint endPoint = ListenOptions.EndPoint("--primary", primary!);
        if (!IPAddress.IsLoopback(endPoint.Address)) throw new ArgumentException($"--primary: '{primary}' is on another host; without Redis all silos are on this one (127.0.0.1:PORT), use --redis for more");
        return new Membership { ClusterId = clusterId, ServiceId = prefix, Primary = endPoint };
    }

    /// <summary>The one line by which Redis's clients are configured.</summary>
    /// <exception cref="ArgumentException">The address is none, or the password cannot be part of the line.</exception>
    public static string RedisConnection(string address, string? password, bool tls)
    {
        int colon = address.LastIndexOf(':');
        bool isHost = colon > 0 && Uri.CheckHostName(address[..colon].Trim('[', ']')) != UriHostNameType.Unknown;
        if (!isHost || !ushort.TryParse(address.AsSpan(colon + 1), out ushort port) || port == 0)
            throw new ArgumentException($"--redis: '{address}' is not an address; write HOST:PORT such as 10.0.0.1:6379");
        if (password?.AsSpan().IndexOfAny(",\r\n") >= 0) throw new ArgumentException("--redis-password-file: the password must be one line without a comma");
        return address + (password is null ? "" : $",password={password}") + (tls ? ",ssl=true" : "");
    }

    private string? Password(ParseResult parsed)
    {
        if (parsed.GetValue(_password) is not { } path) return Environment.GetEnvironmentVariable(PasswordVariable) is { Length: > 0 } text ? text : null;
        try
        {
            return File.ReadAllText(path).TrimEnd('\r', '\n');
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ArgumentException($"--redis-password-file: {e.Message}", e);
        }
    }

    private static string Word(string option, string text) => text.Length is > 0 and <= 100 && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.')
        ? text
        : throw new ArgumentException($"{option}: '{text}' is not a name; use up to 100 letters, digits, '-', '_' and '.'");
}
