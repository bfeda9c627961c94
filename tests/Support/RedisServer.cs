using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Conclave.Tests.Support;

/// <summary>
/// A Redis server of a test's own, on a free port of the loopback address, that keeps nothing on disk. Link this file and <c>FreePorts.cs</c> into a test project:
/// <c>&lt;Compile Include="../Support/RedisServer.cs" Link="RedisServer.cs" /&gt;</c>.
/// </summary>
public sealed class RedisServer : IAsyncDisposable
{
    private const int MaxPorts = 5;

    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(2);

    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("conclave-redis-");
    private readonly string? _password;
    private Process? _process;

    private RedisServer(int port, string? password) => (Port, _password) = (port, password);

    /// <summary>The port it listens at; it stays the same over <see cref="StopAsync"/> and <see cref="RestartAsync"/>.</summary>
    public int Port { get; }

    /// <summary>"127.0.0.1:port", with the password if there is one: what StackExchange.Redis and UseRedisClustering take.</summary>
    public string ConnectionString => $"127.0.0.1:{Port}" + (_password is null ? "" : $",password={_password}");

    /// <summary>Starts a server and waits until it answers.</summary>
    /// <exception cref="InvalidOperationException">There is no redis-server, or it does not start.</exception>
    public static async Task<RedisServer> StartAsync(string? password = null)
    {
        for (int attempt = 1; ; attempt++)
        {
            var server = new RedisServer(FreePorts.Next(), password);
            try
            {
                await server.RestartAsync();
                return server;
            }
            catch (Exception e)
            {
                bool hasEnded = server._process is { HasExited: true };
                await server.DisposeAsync();
                // Somebody may have taken the port since it was looked at.
                if (e is not InvalidOperationException || !hasEnded || attempt == MaxPorts) throw;
            }
        }
    }

    /// <summary>Starts the server again after <see cref="StopAsync"/>, with what it held before.</summary>
    public async Task RestartAsync()
    {
        string[] arguments = ["--port", $"{Port}", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", _directory.FullName, "--loglevel", "warning"];
        if (_password is not null) arguments = [.. arguments, "--requirepass", _password];
        try
        {
            _process = Process.Start(new ProcessStartInfo("redis-server", arguments) { RedirectStandardOutput = true });
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new InvalidOperationException("redis-server is not installed; on Debian: apt-get install redis-server (tools/setup-tests.sh does it).", e);
        }
        long started = Stopwatch.GetTimestamp();
        while (!await AnswersAsync())
        {
            if (_process!.HasExited) throw new InvalidOperationException($"redis-server ended with {_process.ExitCode}: {await _process.StandardOutput.ReadToEndAsync()}");
            if (Stopwatch.GetElapsedTime(started) > StartLimit) throw new InvalidOperationException($"redis-server does not answer at port {Port}.");
            await Task.Delay(20);
        }
    }

    /// <summary>Stops the server; its data are saved for <see cref="RestartAsync"/> unless asked otherwise.</summary>
    public async Task StopAsync(bool save = true)
    {
        if (_process is null) return;
        try
        {
            await CommandAsync(save ? "SHUTDOWN SAVE" : "SHUTDOWN NOSAVE");
            await _process.WaitForExitAsync().WaitAsync(TimeSpan.FromMinutes(1));
        }
        catch (Exception e) when (e is IOException or SocketException or TimeoutException)
        {
            _process.Kill();
            // Until it is gone it has the port.
            await _process.WaitForExitAsync();
        }
        _process.Dispose();
        _process = null;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_process is { HasExited: false })
        {
            _process.Kill();
            await _process.WaitForExitAsync();
        }
        _process?.Dispose();
        _directory.Delete(recursive: true);
    }

    private async Task<bool> AnswersAsync()
    {
        try
        {
            return (await CommandAsync("PING")).StartsWith("+PONG", StringComparison.Ordinal);
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            return false;
        }
    }

    /// <summary>Sends one inline command; the answer's first line, empty if the server hangs up.</summary>
    private async Task<string> CommandAsync(string command)
    {
        using var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, Port);
        NetworkStream stream = client.GetStream();
        using var reader = new StreamReader(stream);
        if (_password is not null)
        {
            await stream.WriteAsync(System.Text.Encoding.ASCII.GetBytes($"AUTH {_password}\r\n"));
            await reader.ReadLineAsync();
        }
        await stream.WriteAsync(System.Text.Encoding.ASCII.GetBytes(command + "\r\n"));
        return await reader.ReadLineAsync() ?? "";
    }
}
