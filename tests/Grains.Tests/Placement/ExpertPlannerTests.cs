namespace Conclave.Grains.Tests.Placement;

public sealed class ExpertPlannerTests
{
    [Fact]
    public void Experts_are_dealt_out_in_turn()
    {
        // 8 experts on 3 slots: 0 3 6, 1 4 7, 2 5; layer 0 is dense and has none.
        PlacementPlan plan = ExpertPlanner.Plan(new PlacementInput
        {
            ExpertSizeBytes = [0, 100],
            ExpertCount = 8,
            Slots = [.. new[] { "a", "b", "c" }.Select(key => new PlacementSlot { Key = key, Silo = key, Host = key })],
        });
        Assert.True(plan.IsComplete);
        ExpertMap map = plan.Map;
        Assert.Equal(1, map.Version);
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
        Assert.All(loads, load => Assert.Equal(1, load.MapVersion));
    }
}
