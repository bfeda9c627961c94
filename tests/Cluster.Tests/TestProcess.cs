using System.Diagnostics;
using System.Text;
using Conclave.Cli.Local;

namespace Conclave.Cluster.Tests;

/// <summary>What a run of the command left behind.</summary>
internal sealed record Outcome(int Code, string Out, string Error)
{
    /// <summary>Fails the test, with all that was said, unless the command ended well.</summary>
    public Outcome Succeeded()
    {
        Assert.True(Code == 0, $"exit code {Code}: {Error}{Out}");
        return this;
    }
}

/// <summary>Runs the command as a user does.</summary>
internal static class Command
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(7);

    public static async Task<Outcome> Run(params string[] arguments)
    {
        string[] words = [.. Launcher.OwnProgram, .. arguments];
        var start = new ProcessStartInfo(words[0], words[1..])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = new UTF8Encoding(false),
            StandardErrorEncoding = new UTF8Encoding(false),
            WorkingDirectory = Root,
        };
        using Process process = Process.Start(start)!;
        using var limit = new CancellationTokenSource(Limit);
        try
        {
            Task<string> output = process.StandardOutput.ReadToEndAsync(limit.Token), error = process.StandardError.ReadToEndAsync(limit.Token);
            await process.WaitForExitAsync(limit.Token);
            return new Outcome(process.ExitCode, await output, await error);
        }
        finally
        {
            if (!process.HasExited) process.Kill(entireProcessTree: true);
        }
    }

    /// <summary>Folder that holds Cluster.sln.</summary>
    public static string Root { get; } = FindRoot();

    public static string Golden(string name) => Path.Combine(Root, "tests", "goldens", name);

    public static string DemoModel => Path.Combine(Root, "models", "demo");

    private static string FindRoot()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "Cluster.sln"))) folder = Path.GetDirectoryName(folder);
        return folder ?? throw new InvalidOperationException($"no Cluster.sln above {AppContext.BaseDirectory}");
    }
}
