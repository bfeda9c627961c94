using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Conclave.Compat.Tests.Clients;
using Conclave.Tests.Support;

namespace Conclave.Compat.Tests.Grpc;

/// <summary>The sample is compiled as it stands against the real packages too; its client comes from npm.</summary>
public sealed class SampleTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    [Fact]
    public async Task The_sample_serves_a_client_that_we_did_not_write()
    {
        string source = Path.Combine(NodeClients.Root, "tests", "samples", "grpc");
        string configuration = new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name;
        int port = FreePorts.Next();
        using Process sample = Process.Start(new ProcessStartInfo(
            "dotnet", [Path.Combine(source, "bin", configuration, "net10.0", "Conclave.GrpcSample.dll"), $"{port}"])
        { RedirectStandardOutput = true })!;
        sample.BeginOutputReadLine();
        try
        {
            await WaitUntilListeningAsync(port);
            (int exitCode, string output) = await NodeClients.RunAsync(source, "client.mjs", $"127.0.0.1:{port}");
            Assert.True(exitCode == 0, output);
            Assert.Equal(14, output.Split('\n').Count(line => line.StartsWith("ok ", StringComparison.Ordinal)));
        }
        finally
        {
            sample.Kill();
        }
    }

    private static async Task WaitUntilListeningAsync(int port)
    {
        using var limit = new CancellationTokenSource(Patience);
        while (true)
        {
            try
            {
                using var client = new TcpClient();
                await client.ConnectAsync(IPAddress.Loopback, port, limit.Token);
                return;
            }
            catch (SocketException)
            {
                await Task.Delay(100, limit.Token);
            }
        }
    }
}
