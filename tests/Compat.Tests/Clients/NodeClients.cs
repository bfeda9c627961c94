using System.Diagnostics;

namespace Conclave.Compat.Tests.Clients;

/// <summary>Runs clients from npm. Their packages are those of tests/clients, installed on first use.</summary>
internal static class NodeClients
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    /// <summary>The folder with Cluster.sln.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>Runs a script that stands in <paramref name="folder"/> beside its files, in a copy where it finds the packages.</summary>
    public static async Task<(int ExitCode, string Output)> RunAsync(string folder, string script, params string[] arguments)
    {
        string packages = await InstallAsync();
        DirectoryInfo copy = Directory.CreateTempSubdirectory("conclave-client-");
        try
        {
            foreach (string file in Directory.GetFiles(folder).Where(file => Path.GetExtension(file) is ".mjs" or ".proto"))
                File.Copy(file, Path.Combine(copy.FullName, Path.GetFileName(file)));
            string link = Path.Combine(copy.FullName, "node_modules");
            Directory.CreateSymbolicLink(link, packages);
            (int, string) result = await StartAsync("node", [Path.Combine(copy.FullName, script), .. arguments], copy.FullName);
            Directory.Delete(link);
            return result;
        }
        finally
        {
            copy.Delete(recursive: true);
        }
    }

    private static async Task<string> InstallAsync()
    {
        string clients = Path.Combine(Root, "tests", "clients");
        string packages = Path.Combine(clients, "node_modules");
        if (!Directory.Exists(Path.Combine(packages, "@grpc", "grpc-js")))
        {
            (int exitCode, string output) = await StartAsync("npm", ["ci", "--no-fund", "--no-audit"], clients);
            Assert.True(exitCode == 0, $"'npm ci' in {clients} failed:\n{output}");
        }
        return packages;
    }

    private static async Task<(int ExitCode, string Output)> StartAsync(string program, string[] arguments, string folder)
    {
        var start = new ProcessStartInfo(program, arguments) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };
        Process? process;
        try
        {
            process = Process.Start(start);
        }
        catch (System.ComponentModel.Win32Exception exception)
        {
            throw new InvalidOperationException($"This test needs Node.js 20 or later with npm, and '{program}' cannot be started. Install it and add it to PATH.", exception);
        }
        using Process running = process!;
        using var limit = new CancellationTokenSource(Patience);
        Task<string> output = running.StandardOutput.ReadToEndAsync(limit.Token);
        Task<string> errors = running.StandardError.ReadToEndAsync(limit.Token);
        try
        {
            await running.WaitForExitAsync(limit.Token);
            return (running.ExitCode, await output + await errors);
        }
        finally
        {
            if (!running.HasExited)
                running.Kill(entireProcessTree: true);
        }
    }

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Cluster.sln")))
                return folder.FullName;
        }
        throw new InvalidOperationException($"No folder above {AppContext.BaseDirectory} holds Cluster.sln.");
    }
}
