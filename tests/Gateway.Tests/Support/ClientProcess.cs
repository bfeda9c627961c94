using System.ComponentModel;
using System.Diagnostics;

namespace Conclave.Gateway.Tests.Support;

/// <summary>Runs clients that we did not write.</summary>
internal static class ClientProcess
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(6);

    /// <summary>Runs a script of <c>tests/clients</c>, which must end well; its packages are installed on first use.</summary>
    public static async Task RunNodeAsync(string script, params string[] arguments)
    {
        string clients = Repository.PathTo("tests", "clients");
        if (!Directory.Exists(Path.Combine(clients, "node_modules", "openai")))
        {
            (int installed, string log) = await RunAsync("npm", ["ci", "--no-fund", "--no-audit", "--prefix", clients]);
            Assert.True(installed == 0, $"npm could not install the clients of {clients}:\n{log}");
        }

        (int exitCode, string output) = await RunAsync("node", [Path.Combine(clients, script), .. arguments]);
        Assert.True(exitCode == 0, output);
    }

    /// <summary>Runs a program to its end.</summary>
    public static async Task<(int ExitCode, string Output)> RunAsync(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Start(start);
        using var limit = new CancellationTokenSource(Patience);
        try
        {
            Task<string> output = process.StandardOutput.ReadToEndAsync(limit.Token), errors = process.StandardError.ReadToEndAsync(limit.Token);
            await process.WaitForExitAsync(limit.Token);
            return (process.ExitCode, await output + await errors);
        }
        finally
        {
            if (!process.HasExited) process.Kill(entireProcessTree: true);
        }
    }

    private static Process Start(ProcessStartInfo start)
    {
        try
        {
            return Process.Start(start)!;
        }
        catch (Win32Exception e)
        {
            throw new InvalidOperationException($"This test needs '{start.FileName}'; tools/setup-tests.sh tells what to install.", e);
        }
    }
}
