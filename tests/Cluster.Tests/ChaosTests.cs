using System.Text.Json.Nodes;

namespace Conclave.Cluster.Tests;

/// <summary>A short run of chaos: the same one each time.</summary>
public sealed class ChaosTests
{
    [Fact]
    public async Task Nothing_is_lost_in_a_short_run()
    {
        Outcome outcome = await Command.Run("chaos", "--minutes", "0.6", "--seed", "7", "--cases", "10", "--streams", "4", "--json");
        Assert.True(outcome.Code == 0, $"exit code {outcome.Code}: {outcome.Out}{outcome.Error}");
        JsonNode report = JsonNode.Parse(outcome.Out)!;
        Assert.Equal((0, 0), ((int)report["mismatches"]!, (int)report["errors"]!));
        Assert.True((int)report["requests"]! > 0 && (int)report["kills"]! + (int)report["stops"]! > 0, outcome.Out);
    }
}
