using Conclave.Model;
using Conclave.Model.Checkpoints;

namespace Conclave.Grains.Tests.Placement;

public sealed class ExpertPlannerTests
{
    [Fact]
    public void Experts_are_dealt_out_in_turn()
    {
        // 8 experts on 3 slots, layer 1 beginning with slot 1: 2 5 7, 0 3 6, 1 4; layer 0 is dense and has none.
        var input = new PlacementInput { ExpertSizeBytes = [0, 100], ExpertCount = 8, Slots = PlannerCases.Slots(3) };
        PlacementPlan plan = ExpertPlanner.Plan(input);
        PlannerCases.AssertSound(input, plan);
        Assert.True(plan.IsComplete);
        Assert.Equal([1, 2, 0, 1, 2, 0, 1, 0], plan.Map.Replicas[8..].Select(replicas => Assert.Single(replicas)));
        Assert.Equal((8, 800), (plan.MovedCount, plan.MovedSizeBytes));

        IReadOnlyList<ShardLoad> loads = ExpertPlanner.Loads(plan.Map);
        Assert.Equal(3, loads.Count);
        Assert.Equal([2, 5, 7], loads[0].Experts);
        Assert.Equal([0, 3, 6], loads[1].Experts);
        Assert.Equal([1, 4], loads[2].Experts);
        Assert.All(loads, load => Assert.All(load.Layers, layer => Assert.Equal(1, layer)));
        Assert.All(loads, load => Assert.Equal(1, load.MapVersion));
    }

    [Fact]
    public void The_hottest_experts_get_the_redundant_replicas()
    {
        var input = new PlacementInput { ExpertSizeBytes = [10], ExpertCount = 4, Slots = PlannerCases.Slots(6), Loads = [1, 2, 3, 40], RedundantExperts = 2 };
        PlacementPlan plan = ExpertPlanner.Plan(input);
        Assert.Equal([1, 1, 1, 3], plan.Map.Replicas.Select(places => places.Length));
        Assert.Equal(40 / 3.0, plan.Balance.MaxLoad, 1e-9);
    }

    [Fact]
    public void Shares_follow_the_capacities()
    {
        // 60 experts a layer: 40 and 20. The slots have room for more, so that nothing forces this.
        var input = new PlacementInput { ExpertSizeBytes = [10, 10, 10], ExpertCount = 60, Slots = PlannerCases.Slots(2, capacityBytes: slot => slot == 0 ? 4000 : 2000) };
        PlacementPlan plan = ExpertPlanner.Plan(input);
        PlannerCases.AssertSound(input, plan);
        Assert.Equal([120.0, 60.0], plan.Balance.SlotLoads);
    }

    [Fact]
    public void Replicas_are_on_different_hosts_where_capacity_allows_it()
    {
        // Two silos on the first host, one on the second: the second takes one replica of each expert, if it can.
        PlacementSlot[] slots = PlannerCases.Slots(3, hosts: 2);
        var input = new PlacementInput { ExpertSizeBytes = [10, 10], ExpertCount = 12, Slots = slots, MinReplicas = 2 };
        PlannerCases.AssertSpread(input, ExpertPlanner.Plan(input));
        slots[1] = slots[1] with { CapacityBytes = 100 };
        PlacementPlan small = ExpertPlanner.Plan(input);
        PlannerCases.AssertSound(input, small);
        Assert.Equal(10, small.Map.Replicas.Count(places => places.Contains(1)));
        // What does not fit there is in different silos at least.
        Assert.Equal(0, small.UnderReplicatedCount);
    }

    [Fact]
    public void A_host_that_joins_takes_one_replica_of_each_pair()
    {
        PlacementSlot[] slots = PlannerCases.Slots(4, hosts: 2);
        var input = new PlacementInput { ExpertSizeBytes = [10, 10], ExpertCount = 12, Slots = [slots[0], slots[2]], MinReplicas = 2 };
        PlacementPlan one = ExpertPlanner.Plan(input);
        PlacementInput joined = input with { Slots = slots, Previous = one.Map };
        PlacementPlan two = ExpertPlanner.Plan(joined);
        PlannerCases.AssertSpread(joined, two);
        Assert.Equal(24, two.MovedCount);
        Assert.Equal(24, two.LeastMovedCount);
    }

    [Fact]
    public void Too_little_room_is_a_result()
    {
        var input = new PlacementInput { ExpertSizeBytes = [10, 10], ExpertCount = 10, Slots = PlannerCases.Slots(3, capacityBytes: _ => 50), Loads = [.. Enumerable.Range(0, 20)], MinReplicas = 2 };
        PlacementPlan plan = ExpertPlanner.Plan(input);
        PlannerCases.AssertSound(input, plan);
        Assert.False(plan.IsComplete);
        Assert.Equal(0.75, plan.CoveredFraction);
        Assert.Equal(20, plan.UnderReplicatedCount);
        // The hottest have a place.
        Assert.All(Enumerable.Range(0, 2), layer => Assert.NotEmpty(plan.Map.Replicas[(layer * 10) + 9]));

        PlacementPlan none = ExpertPlanner.Plan(input with { Slots = [] });
        Assert.Equal((0.0, 20), (none.CoveredFraction, none.PairCount));
        PlacementPlan dense = ExpertPlanner.Plan(new PlacementInput { ExpertSizeBytes = [0, 0], ExpertCount = 0, Slots = [] });
        Assert.True(dense.IsComplete);
    }

    [Fact]
    public void One_replica_of_each_comes_before_a_second_one()
    {
        // Room for 25 of 40 replicas.
        var input = new PlacementInput { ExpertSizeBytes = [10, 10], ExpertCount = 10, Slots = PlannerCases.Slots(5, capacityBytes: _ => 50), MinReplicas = 2, RedundantExperts = 3 };
        PlacementPlan plan = ExpertPlanner.Plan(input);
        PlannerCases.AssertSound(input, plan);
        Assert.True(plan.IsComplete);
        Assert.Equal(25, plan.Map.Replicas.Sum(places => places.Length));
        Assert.Equal(15, plan.UnderReplicatedCount);
    }

    [Fact]
    public void A_map_of_another_model_is_not_kept()
    {
        var input = new PlacementInput { ExpertSizeBytes = [10], ExpertCount = 4, Slots = PlannerCases.Slots(2) };
        ExpertMap other = ExpertPlanner.Plan(input with { ExpertCount = 6 }).Map;
        PlacementPlan plan = ExpertPlanner.Plan(input with { Previous = other });
        Assert.Equal(2, plan.Map.Version);
        Assert.Equal(4, plan.MovedCount);
    }

    [Fact]
    public void A_rebalance_moves_only_for_a_gain()
    {
        var input = new PlacementInput { ExpertSizeBytes = [10, 10], ExpertCount = 8, Slots = PlannerCases.Slots(2) };
        // Layer 0: the four hottest are on slot 0. Layer 1: nearly even.
        int[][] replicas = [.. Enumerable.Range(0, 16).Select(pair => new[] { pair % 8 / 4 })];
        var map = new ExpertMap { Version = 1, SlotKeys = ["slot0", "slot1"], ExpertCount = 8, Replicas = replicas };
        PlacementInput loaded = input with { Previous = map, Loads = [40, 40, 40, 40, 10, 10, 10, 10, 21, 20, 20, 20, 20, 20, 20, 20] };
        Assert.Equal(0, ExpertPlanner.Plan(loaded).MovedCount);
        PlacementPlan plan = ExpertPlanner.Rebalance(loaded, 0.1);
        Assert.Equal(4, plan.MovedCount);
        Assert.Equal(replicas[8..], plan.Map.Replicas[8..]);
        Assert.Equal(100 + 81, plan.Balance.MaxLoad);
        Assert.Equal(0, ExpertPlanner.Rebalance(loaded with { Previous = plan.Map }, 0.1).MovedCount);
        Assert.Throws<ArgumentOutOfRangeException>(() => ExpertPlanner.Rebalance(loaded, 0));
    }

    [Fact]
    public void Sizes_are_those_of_the_stored_tensors()
    {
        ModelConfig config = TestSilo.Config();
        // Three matrices of 32 x 16 in BF16; layer 0 is dense.
        Assert.Equal([0, 3 * 32 * 16 * 2], ExpertSizes.Of(config, DType.BF16));
        // In FP8 with one float32 scale for each 128 x 128 block: here one a matrix.
        Assert.Equal([0, 3 * ((32 * 16) + 4)], ExpertSizes.Of(config, DType.F8E4M3));
        Assert.Equal(3, ExpertSizes.Of(config with { NextTokenPredictLayers = 1 }, DType.BF16).Count);
    }

    [Theory]
    [InlineData("MinReplicas")]
    [InlineData("RedundantExperts")]
    [InlineData("ExpertCount")]
    [InlineData("ExpertSizeBytes")]
    [InlineData("Loads")]
    [InlineData("Slots")]
    public void Bad_input_names_the_field(string field)
    {
        var input = new PlacementInput { ExpertSizeBytes = [10], ExpertCount = 2, Slots = PlannerCases.Slots(2) };
        PlacementInput[] bad = field switch
        {
            "MinReplicas" => [input with { MinReplicas = 0 }],
            "RedundantExperts" => [input with { RedundantExperts = -1 }],
            "ExpertCount" => [input with { ExpertCount = -1 }],
            "ExpertSizeBytes" => [input with { ExpertSizeBytes = [-1] }],
            "Loads" => [input with { Loads = [1] }, input with { Loads = [1, -1] }, input with { Loads = [1, double.NaN] }],
            _ => [input with { Slots = [input.Slots[0], input.Slots[0]] }, input with { Slots = [input.Slots[0] with { CapacityBytes = -1 }] }],
        };
        Assert.All(bad, one => Assert.StartsWith(field, Assert.Throws<ArgumentException>(() => ExpertPlanner.Plan(one)).Message));
    }
}
