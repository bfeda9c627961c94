using System.Diagnostics;
using Conclave.Tests.Support;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>The tour of Orleans features, which passes on the real packages, passes on the stand-in.</summary>
public sealed class SampleTests
{
    [Fact]
    public async Task Sample_holds_with_Redis()
    {
        await using RedisServer redis = await RedisServer.StartAsync();
        (int exitCode, string output) = await RunAsync(redis.ConnectionString);
        Assert.True(exitCode == 0 && output.TrimEnd().EndsWith("all hold", StringComparison.Ordinal), $"exit code {exitCode}:\n{output}");
    }

    [Fact]
    public async Task Sample_holds_three_times()
    {
        for (int run = 0; run < 3; run++)
        {
            (int exitCode, string output) = await RunAsync();
            Assert.True(exitCode == 0 && output.TrimEnd().EndsWith("all hold", StringComparison.Ordinal), $"run {run}, exit code {exitCode}:\n{output}");
        }
    }

    private static async Task<(int ExitCode, string Output)> RunAsync(params string[] arguments)
    {
        string program = Path.Combine(AppContext.BaseDirectory, "Conclave.OrleansSample.dll");
        using Process process = Process.Start(new ProcessStartInfo("dotnet", [program, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        using var timeout = new CancellationTokenSource(TimeSpan.FromMinutes(6));
        Task<string> output = process.StandardOutput.ReadToEndAsync(timeout.Token);
        Task<string> error = process.StandardError.ReadToEndAsync(timeout.Token);
        try
        {
            await process.WaitForExitAsync(timeout.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            throw;
        }
        return (process.ExitCode, await error + await output);
    }
}
