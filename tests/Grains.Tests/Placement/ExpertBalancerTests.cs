using System.Text.Json;

namespace Conclave.Grains.Tests.Placement;

public sealed class ExpertBalancerTests
{
    [Fact]
    public void The_published_example_comes_out_no_worse()
    {
        BalancePlan plan = ExpertBalancer.Balance(new BalanceCase
        {
            ExpertCount = 12,
            ReplicaCount = 16,
            GroupCount = 4,
            NodeCount = 2,
            GpuCount = 8,
            Weight = [[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86], [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27]],
        });
        Assert.Equal(BalancePolicy.Hierarchical, plan.Policy);
        Assert.Equal([1, 2, 1, 1, 2, 2, 1, 1, 1, 1, 2, 1], plan.Layers[0].ReplicaCounts);
        Assert.Equal([1, 2, 1, 1, 1, 2, 2, 1, 2, 1, 1, 1], plan.Layers[1].ReplicaCounts);
        Assert.True(plan.Layers[0].MaxGpuLoad <= 156, $"{plan.Layers[0].MaxGpuLoad}");
        Assert.True(plan.Layers[1].MaxGpuLoad <= 179.5, $"{plan.Layers[1].MaxGpuLoad}");
        Assert.Equal(129.125, plan.Layers[0].MeanGpuLoad);
        Assert.Equal(645, plan.Layers[1].MaxNodeLoad);
    }

    [Fact]
    public void The_packing_is_the_published_one_before_it_is_improved()
    {
        // The first layer of the example: the groups go to nodes as {1, 2} and {3, 0}, in this order.
        Assert.Equal([[1, 2], [3, 0]], BalancedPacking.Pack([262, 330, 116, 325], 2));
        // Its first node: experts 3 4 5 6 7 8, then second replicas of 5 and 4.
        int[] counts = [1, 1, 1, 1, 1, 1];
        Assert.Equal([2, 1], ExpertReplication.Grow([61, 104, 165, 39, 4, 73], counts, 2));
        Assert.Equal([1, 2, 2, 1, 1, 1], counts);
        Assert.Equal([[2, 3], [6, 4], [5, 7], [0, 1]], BalancedPacking.Pack([61, 52, 82.5f, 39, 4, 73, 82.5f, 52], 4));
        // One item a pack is not sorted.
        Assert.Equal([[0], [1], [2]], BalancedPacking.Pack([1, 2, 3], 3));
    }

    [Fact]
    public void Goldens()
    {
        JsonElement[] cases = [.. JsonDocument.Parse(File.ReadAllBytes(Golden())).RootElement.EnumerateArray()];
        Assert.NotEmpty(cases);
        foreach (JsonElement golden in cases)
        {
            int Field(string name) => golden.GetProperty(name).GetInt32();
            var @case = new BalanceCase
            {
                ExpertCount = Field("num_logical_experts"),
                ReplicaCount = Field("num_replicas"),
                GroupCount = Field("num_groups"),
                NodeCount = Field("num_nodes"),
                GpuCount = Field("num_gpus"),
                Weight = golden.GetProperty("weight").Deserialize<double[][]>()!,
            };
            BalancePlan plan = ExpertBalancer.Balance(@case);
            Assert.Equal(golden.GetProperty("policy").GetString(), plan.Policy.ToString().ToLowerInvariant());
            AssertSound(@case, plan);
            int[][] counts = golden.GetProperty("replica_counts").Deserialize<int[][]>()!;
            for (int layer = 0; layer < @case.Weight.Count; layer++)
            {
                double Expected(string name) => golden.GetProperty(name)[layer].GetDouble();
                BalancedLayer actual = plan.Layers[layer];
                Assert.Equal(counts[layer], actual.ReplicaCounts);
                Assert.True(actual.MaxGpuLoad <= Expected("max_gpu_load") * (1 + 1e-6), $"{golden.GetProperty("name")} {layer}: {actual.MaxGpuLoad} > {Expected("max_gpu_load")}");
                Assert.Equal(Expected("mean_gpu_load"), actual.MeanGpuLoad, 1e-4);
                Assert.Equal(Expected("max_node_load"), actual.MaxNodeLoad, plan.Policy == BalancePolicy.Hierarchical ? 1e-4 : double.MaxValue);
            }
        }
    }

    /// <summary>Random inputs of every kind against the plain greedy plan, written down once more as simply as possible.</summary>
    [Fact]
    public void Never_worse_than_greedy_on_random_inputs()
    {
        var random = new Random(17);
        for (int run = 0; run < 400; run++)
        {
            BalanceCase @case = RandomCase(random);
            BalancePlan plan = ExpertBalancer.Balance(@case);
            AssertSound(@case, plan);
            for (int layer = 0; layer < @case.Weight.Count; layer++)
            {
                var (counts, max) = PlainBalancer.Balance(@case, [.. @case.Weight[layer].Select(w => (float)w)], plan.Policy);
                Assert.Equal(counts, plan.Layers[layer].ReplicaCounts);
                Assert.True(plan.Layers[layer].MaxGpuLoad <= max * (1 + 1e-6), $"run {run}, layer {layer}: {plan.Layers[layer].MaxGpuLoad} > {max}");
            }
        }
    }

    [Fact]
    public void Swaps_lower_the_maximum()
    {
        // 17 and 13; the best partner of 9 is 7.
        int[][] packs = [[0, 1], [2, 3]];
        BalancedPacking.Improve(packs, [9, 8, 7, 6]);
        Assert.Equal(15, packs.Max(pack => pack.Sum(item => new[] { 9, 8, 7, 6 }[item])));
    }

    [Theory]
    [InlineData("num_replicas", 11, 4, 2, 4, 12)]
    [InlineData("num_replicas", 18, 4, 2, 4, 12)]
    [InlineData("num_replicas", 1 << 20, 4, 2, 4, 12)]
    [InlineData("num_gpus", 16, 4, 3, 4, 12)]
    [InlineData("num_gpus", 16, 4, 2, 0, 12)]
    [InlineData("num_nodes", 16, 4, 0, 4, 12)]
    [InlineData("num_groups", 16, 0, 2, 4, 12)]
    [InlineData("num_logical_experts", 16, 5, 2, 4, 12)]
    [InlineData("num_logical_experts", 16, 1, 1, 4, 0)]
    [InlineData("weight[0]", 16, 4, 2, 4, 12, 1)]
    [InlineData("weight[0][1]", 16, 4, 2, 4, 12, 12, -1.0)]
    [InlineData("weight[0][1]", 16, 4, 2, 4, 12, 12, double.NaN)]
    [InlineData("weight[0]", 16, 4, 2, 4, 12, 12, 1e39)]
    public void Bad_input_names_the_field(string field, int replicas, int groups, int nodes, int gpus, int experts, int weights = 12, double second = 1)
    {
        double[] weight = [.. Enumerable.Repeat(1.0, weights)];
        if (weights > 1) weight[1] = second;
        var @case = new BalanceCase { ExpertCount = experts, ReplicaCount = replicas, GroupCount = groups, NodeCount = nodes, GpuCount = gpus, Weight = [weight] };
        Assert.StartsWith($"{field}: ", Assert.Throws<ArgumentException>(() => ExpertBalancer.Balance(@case)).Message);
    }

    [Fact]
    public void A_wished_policy_is_followed_or_refused()
    {
        var @case = new BalanceCase { ExpertCount = 4, ReplicaCount = 8, GroupCount = 4, NodeCount = 2, GpuCount = 4, Weight = [[1, 2, 3, 40]], Policy = BalancePolicy.Global };
        BalancePlan plan = ExpertBalancer.Balance(@case);
        Assert.Equal(BalancePolicy.Global, plan.Policy);
        Assert.Equal([1, 1, 1, 5], plan.Layers[0].ReplicaCounts);
        ArgumentException error = Assert.Throws<ArgumentException>(() => ExpertBalancer.Balance(@case with { GroupCount = 1, Policy = BalancePolicy.Hierarchical }));
        Assert.StartsWith("policy: ", error.Message);
    }

    private static BalanceCase RandomCase(Random random)
    {
        int groups = random.Next(1, 9), experts = groups * random.Next(1, 9), nodes = random.Next(1, 5), gpus = nodes * random.Next(1, 5);
        int perGpu = (experts + gpus - 1) / gpus;
        // Now and then exactly one replica of each, where the numbers allow it.
        int replicas = gpus * (perGpu + (experts % gpus == 0 && random.Next(3) == 0 ? 0 : random.Next(4)));
        int kind = random.Next(5);
        double Weight() => kind switch
        {
            0 => 0,
            1 => random.Next(4),
            2 => Math.Round(Math.Pow(random.NextDouble(), 12) * 1e6),
            3 => random.NextDouble() < 0.1 ? 1e7 : 0,
            _ => random.Next(1, 10_000),
        };
        double[][] weight = [.. Enumerable.Range(0, 2).Select(_ => Enumerable.Range(0, experts).Select(_ => Weight()).ToArray())];
        return new BalanceCase { ExpertCount = experts, ReplicaCount = replicas, GroupCount = groups, NodeCount = nodes, GpuCount = gpus, Weight = weight };
    }

    private static void AssertSound(BalanceCase @case, BalancePlan plan)
    {
        for (int layer = 0; layer < plan.Layers.Count; layer++)
        {
            BalancedLayer planned = plan.Layers[layer];
            Assert.Equal(@case.ReplicaCount, planned.PhysicalToLogical.Length);
            Assert.Equal(@case.ReplicaCount, planned.ReplicaCounts.Sum());
            for (int expert = 0; expert < @case.ExpertCount; expert++)
            {
                Assert.True(planned.ReplicaCounts[expert] >= 1);
                Assert.Equal(planned.ReplicaCounts[expert], planned.PhysicalToLogical.Count(e => e == expert));
                Assert.Equal(planned.ReplicaCounts[expert], planned.LogicalToPhysical[expert].Distinct().Count());
                Assert.All(planned.LogicalToPhysical[expert], slot => Assert.Equal(expert, planned.PhysicalToLogical[slot]));
            }

            double max = planned.PhysicalToLogical.Chunk(@case.ReplicaCount / @case.GpuCount).Max(gpu => gpu.Sum(e => @case.Weight[layer][e] / planned.ReplicaCounts[e]));
            Assert.Equal(max, planned.MaxGpuLoad, 1e-9 * Math.Max(1, max));
            if (plan.Policy != BalancePolicy.Hierarchical) continue;
            // A group's experts are on one node.
            int groupSize = @case.ExpertCount / @case.GroupCount, perNode = @case.ReplicaCount / @case.NodeCount;
            foreach (var group in planned.PhysicalToLogical.Select((expert, slot) => (Group: expert / groupSize, Node: slot / perNode)).GroupBy(pair => pair.Group))
                Assert.Single(group.Select(pair => pair.Node).Distinct());
        }
    }

    private static string Golden()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "Cluster.sln"))) folder = Path.GetDirectoryName(folder);
        return Path.Combine(folder ?? throw new InvalidOperationException("no Cluster.sln above the tests"), "tests", "goldens", "eplb.json");
    }
}
