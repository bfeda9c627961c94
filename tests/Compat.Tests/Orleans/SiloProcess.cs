using System.Diagnostics;
using System.Globalization;
using System.Text;
using Conclave.Tests.Support;
using Orleans.Runtime;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>A silo of the sample's grains in a process of its own.</summary>
internal sealed class SiloProcess : IAsyncDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(3);

    private readonly Process _process;
    private readonly StringBuilder _log = new();
    private readonly Task _logging;

    private SiloProcess(IEnumerable<string> arguments)
    {
        string program = Path.Combine(AppContext.BaseDirectory, "Conclave.OrleansHost.dll");
        _process = Process.Start(new ProcessStartInfo("dotnet", [program, .. arguments]) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true })!;
        _logging = LogAsync();
    }

    public SiloAddress Address { get; private set; } = SiloAddress.Zero;

    public int Port { get; private init; }

    public int Gateway { get; private init; }

    /// <summary>What the silo wrote to its log.</summary>
    public string Log
    {
        get
        {
            lock (_log) return _log.ToString();
        }
    }

    /// <summary>Starts a silo and waits until it serves.</summary>
    /// <param name="cluster">Cluster id and where its members meet: arguments of the host.</param>
    /// <param name="port">Port between silos; 0 takes a free one.</param>
    public static async Task<SiloProcess> StartAsync(string[] cluster, int port = 0)
    {
        SiloProcess silo = Launch(cluster, port);
        try
        {
            await silo.ReadyAsync();
            return silo;
        }
        catch
        {
            await silo.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts a silo without waiting for it.</summary>
    public static SiloProcess Launch(string[] cluster, int port = 0)
    {
        if (port == 0) port = FreePorts.Next();
        int gateway = FreePorts.Next();
        return new SiloProcess(["--port", Text(port), "--gateway", Text(gateway), .. cluster]) { Port = port, Gateway = gateway };
    }

    public async Task ReadyAsync() => Address = SiloAddress.FromParsableString((await ReadAsync("ready "))[6..]);

    public async Task<bool> KillAsync(SiloAddress silo)
    {
        await _process.StandardInput.WriteLineAsync($"kill {silo.ToParsableString()}");
        return await ReadAsync("kill ") == "kill True";
    }

    /// <summary>The silos that this one counts as active.</summary>
    public async Task<string[]> ActiveAsync()
    {
        await _process.StandardInput.WriteLineAsync("members");
        return [.. (await ReadAsync("members ")).Split(' ').Where(member => member.EndsWith($"={SiloStatus.Active}", StringComparison.Ordinal)).Select(member => member[..member.IndexOf('=', StringComparison.Ordinal)]).Order(StringComparer.Ordinal)];
    }

    /// <summary>Sends a signal: KILL, STOP, CONT, TERM.</summary>
    public void Signal(string name)
    {
        using Process kill = Process.Start("kill", [$"-{name}", Text(_process.Id)]);
        kill.WaitForExit();
    }

    public async Task<int> ExitAsync()
    {
        await _process.WaitForExitAsync().WaitAsync(Limit);
        await _logging;
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync();
        }
        _process.Dispose();
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    private async Task<string> ReadAsync(string prefix)
    {
        while (await _process.StandardOutput.ReadLineAsync().WaitAsync(Limit) is { } line)
            if (line.StartsWith(prefix, StringComparison.Ordinal)) return line;
        throw new InvalidOperationException($"The silo process ended:\n{Log}");
    }

    private async Task LogAsync()
    {
        while (await _process.StandardError.ReadLineAsync() is { } line)
            lock (_log) _log.AppendLine(line);
    }
}
