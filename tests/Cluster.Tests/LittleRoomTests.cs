using System.Net;
using System.Net.Http.Json;
using Conclave.Cli.Local;

namespace Conclave.Cluster.Tests;

/// <summary>Clusters at the edge of what they need.</summary>
public sealed class LittleRoomTests
{
    [Fact]
    public async Task Without_room_for_all_experts_requests_get_503_until_there_is_room()
    {
        // Two silos hold all experts together. One alone has room for three of five, and takes those that were asked for most: a short prompt may well do with them, this text does not.
        await using TestCluster cluster = await TestCluster.Start(new LocalClusterPlan
        {
            Model = Command.DemoModel,
            Silos = 2,
            SiloArguments = ["--threads", "1", "--expert-memory", "8M", "--missing-timeout", "2", .. TestCluster.Forgiving],
            GatewayArguments = ["--patience", "5", .. TestCluster.Forgiving],
        });
        cluster.Silos[0].Process.Send(Signal.Kill);
        using var http = new HttpClient { BaseAddress = LocalCluster.Address(cluster.Gateways[0]), Timeout = TimeSpan.FromMinutes(4) };
        string text = await File.ReadAllTextAsync(Path.Combine(Command.Root, "LICENSE"));
        var body = new { model = "deepseek-chat", max_tokens = 5, messages = new[] { new { role = "user", content = text[..1000] } } };
        using (HttpResponseMessage refused = await http.PostAsJsonAsync("v1/chat/completions", body))
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
            Assert.True(refused.Headers.RetryAfter is not null, "503 says when to come back");
        }

        await cluster.Processes.WaitForReady(cluster.Processes.StartSilo(), CancellationToken.None);
        await cluster.Processes.WaitForReady(cluster.Gateways[0], CancellationToken.None);
    }

    [Fact]
    public async Task The_command_runs_a_cluster_without_redis_from_up_to_down()
    {
        LocalClusterDirectory directory = TestCluster.NewDirectory();
        string[] state = ["--state", directory.Path];
        try
        {
            Outcome up = (await Command.Run(["cluster", "up", "--no-redis", "--silos", "2", "--port", "0", "--model", Command.DemoModel, .. TestCluster.Patient, .. state])).Succeeded();
            Assert.Contains("HTTP  http://127.0.0.1:", up.Out);
            Outcome again = await Command.Run(["cluster", "up", .. state]);
            Assert.Equal((1, true), (again.Code, again.Error.Contains("up already", StringComparison.Ordinal)));
            Assert.Contains("2 silos", (await Command.Run(["status", .. state])).Succeeded().Out);
            Assert.Equal("silo-3", (await Command.Run(["cluster", "add", .. state])).Succeeded().Out.Trim());
            (await Command.Run(["cluster", "kill", "2", .. state])).Succeeded();
            LocalCluster cluster = LocalCluster.Open(directory, _ => { });
            await cluster.WaitForReady(cluster.Find("gateway-1"), CancellationToken.None);
            Assert.Contains("silo-1    | ", (await Command.Run(["cluster", "logs", "1", .. state])).Succeeded().Out);
            Outcome wrong = await Command.Run(["drain", "nobody", .. state]);
            Assert.Equal((2, true), (wrong.Code, wrong.Error.Contains("silo-3", StringComparison.Ordinal)));
            Member[] members = [.. cluster.State.Members];
            (await Command.Run(["cluster", "down", .. state])).Succeeded();
            Assert.All(members, member => Assert.False(member.IsAlive, $"{member.Name} still runs"));
            Assert.False(Directory.Exists(directory.Path));
            Assert.Equal(1, (await Command.Run(["cluster", "down", .. state])).Code);
        }
        finally
        {
            if (directory.Read() is not null) await LocalCluster.Open(directory, _ => { }).Down();
        }
    }
}
