using System.Text.Json.Nodes;
using Conclave.Cli.Chaos;

namespace Conclave.Cluster.Tests;

/// <summary>A short run of chaos: the same one each time.</summary>
public sealed class ChaosTests
{
    [Fact]
    public async Task Nothing_is_lost_in_a_short_run()
    {
        // On a slow machine the first event may be the only one that there is time for.
        var settings = new ChaosSettings(Seed: 7, Minutes: 0.6, Silos: 3, Gateways: 2, Streams: 4, Replicas: 2);
        while (ChaosPlan.Create(settings.Seed, settings.DurationMs, settings.Silos, settings.Gateways)[0].Kind != ChaosKind.Kill) settings = settings with { Seed = settings.Seed + 1 };
        Outcome outcome = await Command.Run(["chaos", "--minutes", "0.6", "--seed", $"{settings.Seed}", "--cases", "10", "--streams", "4", "--json", .. TestCluster.Patient]);
        Assert.True(outcome.Code == 0, $"exit code {outcome.Code}: {outcome.Out}{outcome.Error}");
        JsonNode report = JsonNode.Parse(outcome.Out)!;
        Assert.Equal((0, 0), ((int)report["mismatches"]!, (int)report["errors"]!));
        Assert.True((int)report["requests"]! > 0 && (int)report["kills"]! + (int)report["stops"]! > 0, outcome.Out);
    }
}
