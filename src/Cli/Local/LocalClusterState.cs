using System.Net;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Conclave.Cli.Local;

/// <summary>What kind of process a member of a local cluster is.</summary>
internal enum MemberKind
{
    Redis,
    Silo,
    Gateway,
}

/// <summary>One process of a local cluster.</summary>
internal sealed record Member
{
    /// <summary>Such as <c>silo-2</c>; never used twice in a cluster's life.</summary>
    public required string Name { get; init; }

    public required MemberKind Kind { get; init; }

    public required ProcessIdentity Process { get; init; }

    /// <summary>Where it listens.</summary>
    public string Host { get; init; } = "127.0.0.1";

    /// <summary>Redis: its port. Silo: the port for silos. Gateway: HTTP.</summary>
    public required int Port { get; init; }

    /// <summary>Silos: port of <c>/health/ready</c>. Gateways: gRPC.</summary>
    public int SecondPort { get; init; }

    [JsonIgnore] public bool IsAlive => Process.IsAlive;
}

/// <summary>What is known of a local cluster; kept in its directory as JSON.</summary>
internal sealed record LocalClusterState
{
    public required string ClusterId { get; init; }

    public required LocalClusterPlan Plan { get; init; }

    /// <summary>Port of redis-server; 0 without Redis.</summary>
    public int RedisPort { get; init; }

    /// <summary>Silo-to-silo port of the primary silo; 0 with Redis.</summary>
    public int PrimaryPort { get; init; }

    /// <summary>Port for Orleans clients of the primary silo; 0 with Redis.</summary>
    public int PrimaryGatewayPort { get; init; }

    public IReadOnlyList<Member> Members { get; init; } = [];

    /// <summary>Number of the last silo and gateway named.</summary>
    public int LastSilo { get; init; }

    public int LastGateway { get; init; }
}

/// <summary>What a local cluster is made of.</summary>
internal sealed record LocalClusterPlan
{
    /// <summary>The checkpoint's directory.</summary>
    public required string Model { get; init; }

    public int Silos { get; init; } = 3;

    public int Gateways { get; init; } = 1;

    /// <summary>HTTP port of the first gateway, gRPC is the one after; 0 for free ones.</summary>
    public int Port { get; init; }

    /// <summary>Whether membership is kept in a redis-server started for it, rather than by the first silo.</summary>
    public bool UseRedis { get; init; } = true;

    /// <summary>Further words on each silo's command line.</summary>
    public IReadOnlyList<string> SiloArguments { get; init; } = [];

    /// <summary>Further words on each gateway's command line.</summary>
    public IReadOnlyList<string> GatewayArguments { get; init; } = [];
}

/// <summary>Where a local cluster keeps its state, secrets and logs: one directory that only its user can read, removed at the end.</summary>
internal sealed class LocalClusterDirectory(string path)
{
    private static readonly JsonSerializerOptions Json = new() { WriteIndented = true, Converters = { new JsonStringEnumConverter() } };

    public string Path { get; } = System.IO.Path.GetFullPath(path);

    public string SecretPath => File("secret");

    public string RedisPasswordPath => File("redis-password");

    public string RedisConfigurationPath => File("redis.conf");

    /// <summary>Temporary files of the processes, so that nothing stays where one was killed.</summary>
    public string TemporaryPath => File("tmp");

    public string LogPath(string member) => File($"{member}.log");

    private string StatePath => File("cluster.json");

    /// <summary>The directory of a cluster by name, below the system's place for temporary files: like its processes it does not survive a reboot.</summary>
    /// <exception cref="ArgumentException">The name cannot be part of a path.</exception>
    public static LocalClusterDirectory Named(string name)
    {
        if (name.Length is 0 or > 40 || !name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_'))
            throw new ArgumentException($"--name: '{name}' is not a name; use up to 40 letters, digits, '-' and '_'");
        return new LocalClusterDirectory(System.IO.Path.Combine(System.IO.Path.GetTempPath(), $"conclave-{Environment.UserName}", name));
    }

    /// <summary>Makes it, for this user alone.</summary>
    /// <exception cref="IOException">It holds something else, or others can read it.</exception>
    public void Create()
    {
        // Signals and file modes of Unix are what it is built on.
        if (OperatingSystem.IsWindows()) throw new PlatformNotSupportedException("a cluster of local processes needs Linux or macOS");
        if (Directory.Exists(Path) && !System.IO.File.Exists(StatePath) && Directory.EnumerateFileSystemEntries(Path).Any())
            throw new IOException($"{Path}: this directory holds something else than a cluster; give --state a new one");
        const UnixFileMode Mine = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
        Directory.CreateDirectory(Path, Mine);
        if (System.IO.File.GetUnixFileMode(Path) != Mine) throw new IOException($"{Path}: others can read this directory, and it is to hold secrets; remove it or give --state another one");
        Directory.CreateDirectory(TemporaryPath, Mine);
    }

    /// <summary>The state; null if no cluster is kept here.</summary>
    /// <exception cref="InvalidDataException">The file is damaged.</exception>
    public LocalClusterState? Read()
    {
        if (!System.IO.File.Exists(StatePath)) return null;
        try
        {
            return JsonSerializer.Deserialize<LocalClusterState>(System.IO.File.ReadAllBytes(StatePath), Json);
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"{StatePath}: {e.Message}; end its processes by hand and remove {Path}", e);
        }
    }

    /// <summary>Replaces the state; a reader sees the old one or the new one.</summary>
    public void Write(LocalClusterState state)
    {
        string next = StatePath + ".new";
        System.IO.File.WriteAllBytes(next, JsonSerializer.SerializeToUtf8Bytes(state, Json));
        System.IO.File.Move(next, StatePath, overwrite: true);
    }

    /// <summary>How clients find the cluster.</summary>
    public Membership Membership(LocalClusterState state) => new()
    {
        ClusterId = state.ClusterId,
        ServiceId = ClusterOptions.DefaultPrefix,
        RedisConnection = state.Plan.UseRedis ? ClusterOptions.RedisConnection($"127.0.0.1:{state.RedisPort}", System.IO.File.ReadAllText(RedisPasswordPath), tls: false) : null,
        Primary = state.Plan.UseRedis ? null : new IPEndPoint(IPAddress.Loopback, state.PrimaryGatewayPort),
    };

    /// <summary>A lock that goes with the process that holds it.</summary>
    /// <exception cref="InvalidOperationException">Another process holds it.</exception>
    public IDisposable Hold()
    {
        try
        {
            return new FileStream(File("lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e)
        {
            throw new InvalidOperationException($"another command is at work on the cluster in {Path}; try again when it is done", e);
        }
    }

    /// <summary>Writes a file that only this user can read.</summary>
    public static void WriteSecret(string path, string text)
    {
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        using var stream = new FileStream(path, options);
        using var writer = new StreamWriter(stream);
        writer.Write(text);
    }

    /// <summary>Copies the logs to a directory that stays.</summary>
    public void CopyLogs(string path)
    {
        Directory.CreateDirectory(path);
        foreach (string log in Directory.GetFiles(Path, "*.log")) System.IO.File.Copy(log, System.IO.Path.Combine(path, System.IO.Path.GetFileName(log)), overwrite: true);
    }

    public void Delete()
    {
        if (Directory.Exists(Path)) Directory.Delete(Path, recursive: true);
    }

    private string File(string name) => System.IO.Path.Combine(Path, name);
}
