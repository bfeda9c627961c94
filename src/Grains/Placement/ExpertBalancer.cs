namespace Conclave.Grains;

/// <summary>
/// DeepSeek's expert-parallel load balancer (github.com/deepseek-ai/EPLB): how many replicas each expert gets and on which GPU they are, every GPU with
/// the same number. Replica counts are exactly EPLB's; the packing starts with EPLB's and only gets better.
/// </summary>
public static class ExpertBalancer
{
    /// <summary>Plans every layer on its own.</summary>
    /// <exception cref="ArgumentException">A field is out of range; the message begins with its name.</exception>
    public static BalancePlan Balance(BalanceCase @case)
    {
        @case.Validate();
        BalancePolicy policy = @case.Policy ?? @case.DefaultPolicy;
        // The global policy is the hierarchical one with a single group and node.
        var (groups, nodes) = policy == BalancePolicy.Global ? (1, 1) : (@case.GroupCount, @case.NodeCount);
        return new BalancePlan { Policy = policy, Layers = [.. @case.Weight.Select(weight => BalanceLayer(@case, [.. weight], groups, nodes))] };
    }

    private static BalancedLayer BalanceLayer(BalanceCase @case, double[] weight, int groups, int nodes)
    {
        var counts = new int[@case.ExpertCount];
        var physical = new int[@case.ReplicaCount];
        var ranks = new int[@case.ReplicaCount];
        float[] single = [.. weight.Select(w => (float)w)];
        int groupSize = @case.ExpertCount / groups, perNode = @case.ReplicaCount / nodes;
        int[][] packedGroups = BalancedPacking.Pack([.. single.Chunk(groupSize).Select(Sum)], nodes);
        for (int node = 0; node < nodes; node++)
        {
            int[] experts = [.. packedGroups[node].SelectMany(group => Enumerable.Range(group * groupSize, groupSize))];
            PlaceOnNode(experts, weight, single, counts, @case.GpuCount / nodes, physical.AsSpan(node * perNode, perNode), ranks.AsSpan(node * perNode, perNode));
        }

        return Describe(@case, weight, counts, physical, ranks);
    }

    /// <summary>Replicates a node's experts and packs the replicas onto its GPUs.</summary>
    private static void PlaceOnNode(int[] experts, double[] weight, float[] single, int[] counts, int gpus, Span<int> physical, Span<int> ranks)
    {
        int[] localCounts = [.. Enumerable.Repeat(1, experts.Length)];
        List<int> extra = ExpertReplication.Grow([.. experts.Select(expert => single[expert])], localCounts, physical.Length - experts.Length);
        // Replica: index into the node's experts. First one of each, then the others as they were given.
        int[] replicas = [.. Enumerable.Range(0, experts.Length), .. extra];
        var replicaRanks = new int[replicas.Length];
        var given = new int[experts.Length];
        for (int replica = 0; replica < replicas.Length; replica++) replicaRanks[replica] = given[replicas[replica]]++;
        for (int i = 0; i < experts.Length; i++) counts[experts[i]] = localCounts[i];

        int[][] packs = BalancedPacking.Pack([.. replicas.Select(i => single[experts[i]] / localCounts[i])], gpus);
        BalancedPacking.Improve(packs, [.. replicas.Select(i => weight[experts[i]] / localCounts[i])]);
        int slot = 0;
        foreach (int replica in packs.SelectMany(pack => pack))
        {
            ranks[slot] = replicaRanks[replica];
            physical[slot++] = experts[replicas[replica]];
        }
    }

    private static BalancedLayer Describe(BalanceCase @case, double[] weight, int[] counts, int[] physical, int[] ranks)
    {
        int[][] logical = [.. counts.Select(count => new int[count])];
        for (int slot = 0; slot < physical.Length; slot++) logical[physical[slot]][ranks[slot]] = slot;
        double[] loads = [.. physical.Select(expert => weight[expert] / counts[expert])];
        double Heaviest(int domains) => loads.Chunk(loads.Length / domains).Max(domain => domain.Sum());
        return new BalancedLayer(counts, physical, logical, Heaviest(@case.GpuCount), weight.Sum() / @case.GpuCount, Heaviest(@case.NodeCount));
    }

    private static float Sum(float[] values)
    {
        float sum = 0;
        foreach (float value in values) sum += value;
        return sum;
    }
}
