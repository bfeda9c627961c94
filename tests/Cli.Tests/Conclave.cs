using System.Diagnostics;
using System.Text;

namespace Conclave.Cli.Tests;

/// <summary>What a run of the command left behind.</summary>
internal sealed record Outcome(int Code, string Out, string Error)
{
    /// <summary>Lines of standard output.</summary>
    public string[] Lines => Out.Split('\n', StringSplitOptions.RemoveEmptyEntries);
}

/// <summary>Runs the command as a user does: its own process, arguments, stdin, exit code.</summary>
internal static class Command
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(7);

    /// <summary>Folder that holds Cluster.sln.</summary>
    public static string Root { get; } = FindRoot();

    public static string Golden(string name) => Path.Combine(Root, "tests", "goldens", name);

    public static async Task<Outcome> Run(string[] arguments, string stdin = "")
    {
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "conclave.dll"), .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardInputEncoding = new UTF8Encoding(false),
            StandardOutputEncoding = new UTF8Encoding(false),
            StandardErrorEncoding = new UTF8Encoding(false),
            WorkingDirectory = Root,
        };
        using Process process = Process.Start(start)!;
        using var limit = new CancellationTokenSource(Limit);
        Task<string> output = process.StandardOutput.ReadToEndAsync(limit.Token), error = process.StandardError.ReadToEndAsync(limit.Token);
        try
        {
            await process.StandardInput.WriteAsync(stdin);
            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It ended without reading its input; its exit code and message tell why.
        }

        try
        {
            await process.WaitForExitAsync(limit.Token);
            return new Outcome(process.ExitCode, await output, await error);
        }
        finally
        {
            if (!process.HasExited) process.Kill(entireProcessTree: true);
        }
    }

    private static string FindRoot()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "Cluster.sln"))) folder = Path.GetDirectoryName(folder);
        return folder ?? throw new InvalidOperationException($"no Cluster.sln above {AppContext.BaseDirectory}");
    }
}

/// <summary>A random-weight model made by the command itself, once for all tests.</summary>
public sealed class SyntheticModel : IAsyncLifetime
{
    private readonly string _folder = Directory.CreateTempSubdirectory("conclave-cli-").FullName;

    /// <summary>The checkpoint.</summary>
    public string Model => Path.Combine(_folder, "model");

    /// <summary>A new file's path.</summary>
    public string File(string name) => Path.Combine(_folder, name);

    public async Task InitializeAsync()
    {
        Outcome made = await Command.Run(["synth", "--config", Path.Combine(Command.Golden("mtp"), "config.json"), "--seed", "5", "--output", Model]);
        Assert.True(made.Code == 0, made.Error);
    }

    public Task DisposeAsync()
    {
        Directory.Delete(_folder, recursive: true);
        return Task.CompletedTask;
    }
}
