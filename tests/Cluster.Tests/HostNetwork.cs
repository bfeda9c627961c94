using System.Diagnostics;
using Conclave.Cli.Local;

namespace Conclave.Cluster.Tests;

/// <summary>
/// Hosts on this machine, each a network namespace with an address of its own, joined by a bridge at which the test itself has an address. All of it,
/// and every process started in it, goes when the test ends; what a broken run left behind goes when the next one begins.
/// </summary>
internal sealed class HostNetwork : IAsyncDisposable
{
    private const string Prefix = "cv";

    private static int Count;

    // Names of interfaces have at most 15 characters: the process, a letter for each network of it, and a few more for what it is.
    private readonly string _id = $"{Prefix}{Environment.ProcessId}{(char)('a' + (Interlocked.Increment(ref Count) % 26))}";
    private readonly List<ProcessIdentity> _processes = [];
    private readonly string _subnet = $"10.{200 + (Environment.ProcessId % 50)}.{Environment.ProcessId / 50 % 250}";
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("conclave-hosts-");
    private int _hosts;

    /// <summary>Why no namespace can be made here; null if they can.</summary>
    public static async Task<string?> Obstacle()
    {
        try
        {
            string name = $"{Prefix}{Environment.ProcessId}-try";
            (int code, string error) = await Ip("netns", "add", name);
            if (code == 0) await Ip("netns", "del", name);
            return code == 0 ? null : error;
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            return e.Message;
        }
    }

    public static async Task<HostNetwork> Create()
    {
        await RemoveStale();
        var network = new HostNetwork();
        await Must("link", "add", network.Bridge, "type", "bridge");
        await Must("addr", "add", $"{network._subnet}.254/24", "dev", network.Bridge);
        await Must("link", "set", network.Bridge, "up");
        return network;
    }

    /// <summary>Adds a host; returns its number, from 1.</summary>
    public async Task<int> AddHost()
    {
        int host = ++_hosts;
        string space = Space(host), outer = Outer(host), inner = $"{_id}-{host}i";
        await Must("netns", "add", space);
        await Must("link", "add", outer, "type", "veth", "peer", "name", inner);
        await Must("link", "set", inner, "netns", space);
        await Must("link", "set", outer, "master", Bridge, "up");
        await Must("-n", space, "addr", "add", $"{Address(host)}/24", "dev", inner);
        await Must("-n", space, "link", "set", inner, "up");
        await Must("-n", space, "link", "set", "lo", "up");
        return host;
    }

    public string Address(int host) => $"{_subnet}.{host}";

    /// <summary>Starts a process on a host.</summary>
    public ProcessIdentity Start(int host, string name, IEnumerable<string> command)
    {
        var (process, identity) = Launcher.Start(["ip", "netns", "exec", Space(host), .. command], LogPath(name), new Dictionary<string, string> { ["TMPDIR"] = _folder.FullName });
        process.Dispose();
        _processes.Add(identity);
        return identity;
    }

    public string File(string name) => Path.Combine(_folder.FullName, name);

    /// <summary>The end of what a process said, for people.</summary>
    public string LogEnd(string name) => System.IO.File.Exists(LogPath(name)) ? string.Join('\n', System.IO.File.ReadLines(LogPath(name)).TakeLast(8)) : "";

    /// <summary>Pulls a host's cable.</summary>
    public Task Cut(int host) => Must("link", "set", Outer(host), "down");

    /// <summary>Puts it back.</summary>
    public Task Mend(int host) => Must("link", "set", Outer(host), "up");

    public async ValueTask DisposeAsync()
    {
        foreach (ProcessIdentity process in _processes) process.Send(Signal.Kill);
        foreach (ProcessIdentity process in _processes) await process.WaitForExit(TimeSpan.FromMinutes(2));
        await Remove(_id);
        _folder.Delete(recursive: true);
    }

    private string Bridge => $"{_id}-br";

    private string Space(int host) => $"{_id}-{host}";

    private string Outer(int host) => $"{_id}-{host}o";

    private string LogPath(string name) => File($"{name}.log");

    private static async Task RemoveStale()
    {
        foreach (string id in Spaces("").Concat(Links("")).Select(name => name.Split('-')[0]).Distinct())
            if (int.TryParse(id[Prefix.Length..].TrimEnd("abcdefghijklmnopqrstuvwxyz".ToCharArray()), out int owner) && ProcessIdentity.Of(owner) is null) await Remove(id);
    }

    /// <summary>The links first: those of a namespace go only some time after it.</summary>
    private static async Task Remove(string id)
    {
        foreach (string link in Links(id)) await Ip("link", "del", link);
        foreach (string space in Spaces(id)) await Ip("netns", "del", space);
    }

    private static string[] Spaces(string id) => Directory.Exists("/run/netns") ? Names(Directory.GetFiles("/run/netns"), id) : [];

    private static string[] Links(string id) => Names(Directory.GetFileSystemEntries("/sys/class/net"), id);

    private static string[] Names(IEnumerable<string> paths, string id) =>
        [.. paths.Select(path => Path.GetFileName(path)!).Where(name => id.Length > 0 ? name.StartsWith($"{id}-", StringComparison.Ordinal) : name.StartsWith(Prefix, StringComparison.Ordinal) && name.Contains('-'))];

    private static async Task Must(params string[] arguments)
    {
        (int code, string error) = await Ip(arguments);
        Assert.True(code == 0, $"ip {string.Join(' ', arguments)}: {error}");
    }

    private static async Task<(int Code, string Error)> Ip(params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo("ip", arguments) { RedirectStandardError = true, RedirectStandardOutput = true })!;
        string error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, error.Trim());
    }
}
