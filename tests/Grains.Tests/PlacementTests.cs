using System.Net;
using Conclave.Model;
using Orleans.Runtime;

namespace Conclave.Grains.Tests;

public sealed class PlacementTests
{
    [Fact]
    public void A_key_names_its_silo()
    {
        SiloAddress address = SiloAddress.New(new IPEndPoint(IPAddress.Parse("10.1.2.3"), 11111), 42);
        string parsable = address.ToParsableString();
        Assert.Equal(address, SiloKey.Silo(SiloKey.Rank(parsable)));
        Assert.Equal(address, SiloKey.Silo(SiloKey.Slot(7, parsable)));
        Assert.Equal(address, SiloKey.Silo(SiloKey.Sequence(Guid.NewGuid(), parsable)));
        Assert.NotEqual(SiloKey.Slot(1, parsable), SiloKey.Slot(2, parsable));
    }

    [Theory]
    [InlineData("")]
    [InlineData("rank")]
    public void A_key_without_a_silo_is_an_error(string key) => Assert.Throws<FormatException>(() => SiloKey.Silo(key));

    [Fact]
    public void Experts_are_dealt_out_in_turn()
    {
        // 8 experts on 3 slots: 0 3 6, 1 4 7, 2 5; layer 0 is dense and has none.
        ModelConfig config = TestSilo.Config();
        ExpertMap map = ExpertPlanner.Plan(config, ["a", "b", "c"], version: 5);
        Assert.Equal(5, map.Version);
        Assert.Equal(8, map.ExpertCount);
        Assert.Equal(2 * 8, map.Replicas.Length);
        Assert.All(map.Replicas[..8], replicas => Assert.Empty(replicas));
        Assert.Equal([0, 1, 2, 0, 1, 2, 0, 1], map.Replicas[8..].Select(replicas => Assert.Single(replicas)));

        IReadOnlyList<ShardLoad> loads = ExpertPlanner.Loads(map);
        Assert.Equal(3, loads.Count);
        Assert.Equal([0, 3, 6], loads[0].Experts);
        Assert.Equal([1, 4, 7], loads[1].Experts);
        Assert.Equal([2, 5], loads[2].Experts);
        Assert.All(loads, load => Assert.All(load.Layers, layer => Assert.Equal(1, layer)));
        Assert.All(loads, load => Assert.Equal(5, load.MapVersion));
    }

    [Fact]
    public void Experts_without_a_slot_are_an_error() => Assert.Throws<ArgumentException>(() => ExpertPlanner.Plan(TestSilo.Config(), [], 1));
}
