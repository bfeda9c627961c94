using System.Diagnostics;

namespace Conclave.Cli.Commands.Bench;

/// <summary>Another process of this command, that ends with this one: it serves until its standard input is closed.</summary>
internal sealed class ChildProcess : IDisposable
{
    private readonly Process _process;

    public ChildProcess(params string[] arguments)
    {
        string program = Environment.ProcessPath!;
        // Started as "dotnet conclave.dll" the process is dotnet, and the first argument the program.
        bool isHosted = Path.GetFileNameWithoutExtension(program).Equals("dotnet", StringComparison.OrdinalIgnoreCase);
        string[] all = isHosted ? [Environment.GetCommandLineArgs()[0], .. arguments] : arguments;
        var start = new ProcessStartInfo(program, all) { RedirectStandardInput = true, RedirectStandardOutput = true };
        _process = Process.Start(start) ?? throw new InvalidOperationException($"cannot start {program}");
    }

    /// <summary>The next line that the child prints.</summary>
    /// <exception cref="IOException">It ended instead.</exception>
    public async Task<string> ReadLine(CancellationToken cancellationToken) =>
        await _process.StandardOutput.ReadLineAsync(cancellationToken) ?? throw new IOException("the measurement's second process ended early");

    /// <summary>Processor time the child has used so far, on all cores together.</summary>
    public TimeSpan ProcessorTime
    {
        get
        {
            _process.Refresh();
            return _process.TotalProcessorTime;
        }
    }

    /// <summary>Says something to the child.</summary>
    public async Task WriteLine(string line)
    {
        await _process.StandardInput.WriteLineAsync(line);
        await _process.StandardInput.FlushAsync();
    }

    public void Dispose()
    {
        _process.StandardInput.Close();
        if (!_process.WaitForExit(TimeSpan.FromSeconds(5))) _process.Kill();
        _process.Dispose();
    }
}
