using System.Text.Json.Nodes;
using Conclave.Cli;
using Conclave.Cli.Admin;
using Conclave.Cli.Chaos;
using Conclave.Cli.Local;
using Conclave.Grains;
using Orleans.Runtime;

namespace Conclave.Cluster.Tests;

/// <summary>Five hosts with an address each: Redis, a gateway and three silos, over TCP only.</summary>
public sealed class ManyHostsTests : IAsyncLifetime
{
    private const int SiloPort = 11111, ClientPort = 30000, TransportPort = 11112, HttpPort = 8080, HealthPort = 8081, RedisPort = 6379;
    private const int RedisHost = 1, GatewayHost = 2, FirstSiloHost = 3, SiloCount = 3;

    private HostNetwork? _hosts;

    public async Task InitializeAsync()
    {
        if (Environment.GetEnvironmentVariable("CONCLAVE_SKIP_NETNS") == "1") return;
        string? obstacle = await HostNetwork.Obstacle();
        Assert.True(obstacle is null, $"network namespaces cannot be made here ({obstacle}); run as root with iproute2, or set CONCLAVE_SKIP_NETNS=1 to leave these tests out");
        _hosts = await HostNetwork.Create();
        try
        {
            for (int i = 0; i < 2 + SiloCount; i++) await _hosts.AddHost();
        }
        catch
        {
            await _hosts.DisposeAsync();
            throw;
        }

        LocalClusterDirectory.WriteSecret(_hosts.File("secret"), "a secret that all hosts know");
        _hosts.Start(RedisHost, "redis", ["redis-server", "--bind", _hosts.Address(RedisHost), "--port", $"{RedisPort}", "--protected-mode", "no", "--save", "", "--dir", _hosts.File("")]);
    }

    public async Task DisposeAsync()
    {
        if (_hosts is not null) await _hosts.DisposeAsync();
    }

    [Fact]
    public async Task Streams_go_on_when_a_host_is_cut_off()
    {
        if (_hosts is null) return;
        Load load = await Load.OfDemo();
        await StartSilos(_hosts, Command.DemoModel, "demo-cluster");
        var address = new Uri($"http://{_hosts.Address(GatewayHost)}:{HttpPort}");
        _hosts.Start(GatewayHost, "gateway", [.. Launcher.OwnProgram, "gateway", "--model", Command.DemoModel, "--listen", $"{_hosts.Address(GatewayHost)}:{HttpPort}", .. TestCluster.Patient, .. Membership(_hosts, "demo-cluster")]);
        using var probe = new ReadinessProbe();
        await Eventually.Holds(() => probe.AnswersChat(address, CancellationToken.None), () => $"the gateway does not answer: {probe.LastAnswer} {_hosts.LogEnd("gateway")}");
        await load.RunOnce([address]);
        await using AdminClient admin = await AdminClient.Open(Redis(_hosts, "demo-cluster"), "demo", CancellationToken.None);
        await load.During(() => [new Member { Name = "gateway", Kind = MemberKind.Gateway, Process = default, Host = address.Host, Port = HttpPort }], async () =>
        {
            await _hosts.Cut(FirstSiloHost);
            await Eventually.Holds(async () => (await admin.Map.Current()).Silos.All(silo => silo.Name != "silo-1"), () => "a host that was cut off is given up");
        });
    }

    [Theory]
    [InlineData("fp8-aligned")]
    [InlineData("tiny-f32")]
    public async Task Goldens_through_three_hosts(string golden)
    {
        if (_hosts is null) return;
        await StartSilos(_hosts, Command.Golden(golden), golden);
        JsonNode @case = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(Command.Golden(golden), "case.json")))!;
        await using AdminClient admin = await AdminClient.Open(Redis(_hosts, golden), golden, CancellationToken.None);
        string[] ranks = (await admin.Map.Current()).Ranks;
        Assert.Equal(SiloCount, ranks.Length);
        int[] expected = [.. @case["greedy_tokens"]!.AsArray().Select(id => (int)id!)];
        foreach (string rank in ranks)
        {
            var ids = new List<int>();
            var command = new GenerateCommand { SequenceId = Guid.NewGuid(), PromptIds = [.. @case["input_ids"]!.AsArray().Select(id => (int)id!)], MaxTokens = expected.Length, StopTokenIds = [], Temperature = 0 };
            await foreach (TokenChunk chunk in admin.Rank(rank).Generate(command, CancellationToken.None).WithBatchSize(1)) ids.AddRange(chunk.Ids);
            Assert.Equal(expected, ids);
        }
    }

    private static async Task StartSilos(HostNetwork hosts, string model, string cluster)
    {
        int[] numbers = [.. Enumerable.Range(0, SiloCount)];
        foreach (int i in numbers)
        {
            string address = hosts.Address(FirstSiloHost + i);
            // Namespaces share the machine's name and its files: the label tells hosts apart, and no Unix socket may go around the network.
            hosts.Start(FirstSiloHost + i, $"silo-{i + 1}",
            [
                .. Launcher.OwnProgram, "silo", "--model", model, "--name", $"silo-{i + 1}", "--threads", "1", "--replicas", "2", "--advertise", address, "--silo-port", $"{SiloPort}",
                "--gateway-port", $"{ClientPort}", "--transport-port", $"{TransportPort}", "--health-listen", $"{address}:{HealthPort}", "--labels", $"host=h{i + 1}",
                "--secret-file", hosts.File("secret"), "--no-unix-socket", .. TestCluster.Forgiving, .. Membership(hosts, cluster),
            ]);
        }

        using var probe = new ReadinessProbe();
        foreach (int i in numbers)
            await Eventually.Holds(() => probe.IsHealthy(hosts.Address(FirstSiloHost + i), HealthPort, CancellationToken.None), () => $"silo-{i + 1} does not serve: {probe.LastAnswer} {hosts.LogEnd($"silo-{i + 1}")}");
    }

    private static string[] Membership(HostNetwork hosts, string cluster) => ["--redis", $"{hosts.Address(RedisHost)}:{RedisPort}", "--cluster-id", cluster];

    private static Membership Redis(HostNetwork hosts, string cluster) =>
        new() { ClusterId = cluster, ServiceId = ClusterOptions.DefaultPrefix, RedisConnection = $"{hosts.Address(RedisHost)}:{RedisPort}" };
}
