using System.Text.Json.Nodes;
using Conclave.Cli.Local;
using Conclave.Grains;

namespace Conclave.Cluster.Tests;

/// <summary>Three silos with the demo model and two gateways, shared by the tests of a class.</summary>
public sealed class ThreeSilos : IAsyncLifetime
{
    internal const int Replicas = 2;

    internal TestCluster Cluster { get; private set; } = null!;

    internal Load Load { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        Load = await Load.OfDemo();
        Cluster = await TestCluster.Start(new LocalClusterPlan
        {
            Model = Command.DemoModel,
            Silos = 3,
            Gateways = 2,
            SiloArguments = ["--threads", "1", "--replicas", $"{Replicas}", .. TestCluster.Forgiving],
            GatewayArguments = TestCluster.Patient,
        });
    }

    public async Task DisposeAsync() => await Cluster.DisposeAsync();
}

/// <summary>What a cluster of processes promises, each test on a cluster that is whole when it begins.</summary>
public sealed class ClusterTests(ThreeSilos three) : IClassFixture<ThreeSilos>, IAsyncLifetime
{
    private TestCluster Cluster => three.Cluster;

    private LocalCluster Processes => three.Cluster.Processes;

    public async Task InitializeAsync()
    {
        while (Cluster.Silos.Count < 3) Processes.StartSilo();
        await Cluster.BecomeWhole(ThreeSilos.Replicas);
    }

    public Task DisposeAsync() => Task.CompletedTask;

    [Fact]
    public async Task Experts_on_three_processes_give_the_tokens_of_one()
    {
        await three.Load.RunOnce([.. Cluster.Gateways.Select(LocalCluster.Address)]);
        JsonNode status = null!;
        await Eventually.Holds(
            async () =>
            {
                status = JsonNode.Parse((await Command.Run("status", "--json", "--state", Cluster.StatePath)).Succeeded().Out)!;
                // The requests above were routed, counted and reported, which silos do every few seconds; a rank that is slow to answer is shown without figures.
                return status["expert_loads"]!.AsArray().Any(layer => layer!.AsArray().Any(load => (double)load! > 0)) && status["silos"]!.AsArray().All(silo => silo!["rank"] is not null);
            },
            () => $"no loads, or not those of all ranks: {status}");
        Assert.Equal("demo", (string?)status["model"]);
        JsonArray silos = status["silos"]!.AsArray();
        Assert.Equal(Cluster.Silos.Select(silo => silo.Name).Order(), silos.Select(silo => (string)silo!["name"]!).Order());
        Assert.All(silos, silo => Assert.True((int)silo!["experts"]! > 0 && (string)silo["state"]! == "serving" && (int)silo["rank"]!["pages_total"]! > 0, silo.ToJsonString()));
    }

    [Fact]
    public async Task Placement_is_shown_planned_and_changed()
    {
        string[] state = ["--state", Cluster.StatePath];
        // Nothing but these commands is to change the map.
        (await Command.Run(["placement", "apply", "--automatic", "false", .. state])).Succeeded();
        await Cluster.BecomeWhole(ThreeSilos.Replicas);
        string name = Cluster.Silos[0].Name;
        Assert.Contains(name, (await Command.Run(["placement", "show", .. state])).Succeeded().Out);
        Assert.Contains(name, (await Command.Run(["status", .. state])).Succeeded().Out);
        JsonNode shown = JsonNode.Parse((await Command.Run(["placement", "show", "--json", .. state])).Succeeded().Out)!;
        long version = (long)shown["map_version"]!;
        Assert.All(shown["map"]!["replicas"]!.AsArray().Skip(1), layer => Assert.All(layer!.AsArray(), expert => Assert.Equal(2, expert!.AsArray().Count)));
        JsonNode plan = JsonNode.Parse((await Command.Run(["placement", "plan", "--replicas", "3", "--json", .. state])).Succeeded().Out)!;
        Assert.True((int)plan["moves"]! > 0, plan.ToJsonString()[..200]);
        Assert.Equal(version, (await Cluster.Admin.Map.Current()).Map.Version);
        (await Command.Run(["placement", "apply", "--replicas", "3", .. state])).Succeeded();
        await Cluster.BecomeWhole(replicas: 3);
        (await Command.Run(["placement", "apply", "--replicas", "2", "--automatic", "true", .. state])).Succeeded();
        (await Command.Run(["placement", "rebalance", .. state])).Succeeded();
        await Cluster.BecomeWhole(replicas: 2);
        Outcome wrong = await Command.Run(["placement", "apply", "--replicas", "0", .. state]);
        Assert.Equal((2, true), (wrong.Code, wrong.Error.Contains("replicas", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task A_silo_joins_and_another_drains_while_streams_run()
    {
        Member leaving = Cluster.Silos[0];
        await three.Load.During(() => Cluster.Gateways, async () =>
        {
            Member joined = Processes.StartSilo();
            await Processes.WaitForReady(joined, CancellationToken.None);
            await Cluster.BecomeWhole(ThreeSilos.Replicas);
            Outcome drained = await Command.Run("drain", leaving.Name, "--state", Cluster.StatePath);
            Assert.Contains("has left", drained.Succeeded().Out);
            Assert.True(await leaving.Process.WaitForExit(TimeSpan.FromMinutes(3)), "a drained silo ends");
        });
        Assert.Equal(0, await Processes.ExitCode(leaving));
    }

    [Fact]
    public async Task A_silo_that_is_told_to_end_drains_first()
    {
        Member leaving = Cluster.Silos[1];
        await three.Load.During(() => Cluster.Gateways, async () =>
        {
            Assert.True(leaving.Process.Send(Signal.Terminate));
            Assert.True(await leaving.Process.WaitForExit(TimeSpan.FromMinutes(3)), "a silo that was told to ends");
        });
        Assert.Equal(0, await Processes.ExitCode(leaving));
    }

    [Fact]
    public async Task Killed_and_frozen_silos_are_not_noticed()
    {
        await three.Load.During(() => Cluster.Gateways, async () =>
        {
            Cluster.Silos[0].Process.Send(Signal.Kill);
            await Cluster.BecomeWhole(ThreeSilos.Replicas);
            Member joined = Processes.StartSilo();
            await Processes.WaitForReady(joined, CancellationToken.None);
            await Cluster.BecomeWhole(ThreeSilos.Replicas);
            Member frozen = Cluster.Silos[1];
            frozen.Process.Send(Signal.Stop);
            await Eventually.Holds(async () => (await Cluster.Admin.Map.Current()).Silos.All(offer => offer.Name != frozen.Name), () => "a frozen silo is given up");
            frozen.Process.Send(Signal.Continue);
            Assert.True(await frozen.Process.WaitForExit(TimeSpan.FromMinutes(3)), "a silo that was given up ends when it wakes up");
            Assert.NotEqual(0, await Processes.ExitCode(frozen));
        });
    }

    [Fact]
    public async Task The_death_of_a_gateway_process_disturbs_no_other()
    {
        Member dying = Cluster.Gateways[0], other = Cluster.Gateways[1];
        // Those that go through the other one never have to try again.
        await three.Load.During(() => [other], () =>
        {
            dying.Process.Send(Signal.Kill);
            return Task.CompletedTask;
        });
        await Processes.WaitForReady(Processes.StartGateway(), CancellationToken.None);
    }

    [Fact]
    public async Task Redis_may_be_gone_for_a_while()
    {
        Member redis = Assert.Single(Processes.Alive(MemberKind.Redis));
        await three.Load.During(() => Cluster.Gateways, async () =>
        {
            redis.Process.Send(Signal.Stop);
            Member joining;
            try
            {
                joining = Processes.StartSilo();
                await Eventually.Holds(() => Task.FromResult(Cluster.LogOf(joining).Contains("waiting for Redis", StringComparison.Ordinal)), () => "a silo that joins does not say what it waits for");
                Assert.True(joining.IsAlive, "a silo that joins waits for Redis");
            }
            finally
            {
                redis.Process.Send(Signal.Continue);
            }

            await Processes.WaitForReady(joining, CancellationToken.None);
            await Cluster.BecomeWhole(ThreeSilos.Replicas);
        });
    }
}
