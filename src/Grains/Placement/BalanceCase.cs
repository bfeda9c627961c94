namespace Conclave.Grains;

/// <summary>How <see cref="ExpertBalancer"/> keeps experts together.</summary>
public enum BalancePolicy
{
    /// <summary>Groups of experts stay on one node: the group-limited gate then keeps a token's traffic on few nodes (prefill).</summary>
    Hierarchical,

    /// <summary>Any replica may go to any GPU (decode).</summary>
    Global,
}

/// <summary>What <see cref="ExpertBalancer"/> plans. Names in doc comments are those of the published program's arguments.</summary>
public sealed record BalanceCase
{
    /// <summary>Most replicas a layer: far more than any cluster has, and still quick to plan.</summary>
    public const int MaxReplicaCount = 1 << 16;

    /// <summary><c>num_logical_experts</c>: E, at least 1.</summary>
    public required int ExpertCount { get; init; }

    /// <summary><c>num_replicas</c>: R, at least E, a multiple of P, at most <see cref="MaxReplicaCount"/>.</summary>
    public required int ReplicaCount { get; init; }

    /// <summary><c>num_groups</c>: G; divides E.</summary>
    public required int GroupCount { get; init; }

    /// <summary><c>num_nodes</c>: N; divides P.</summary>
    public required int NodeCount { get; init; }

    /// <summary><c>num_gpus</c>: P; divides R.</summary>
    public required int GpuCount { get; init; }

    /// <summary><c>weight</c>: load of each expert, [layers][E], finite and not negative.</summary>
    public required IReadOnlyList<IReadOnlyList<double>> Weight { get; init; }

    /// <summary><c>policy</c>; null for <see cref="DefaultPolicy"/>.</summary>
    public BalancePolicy? Policy { get; init; }

    /// <summary>Hierarchical where the nodes divide the groups, else global.</summary>
    public BalancePolicy DefaultPolicy => GroupCount % NodeCount == 0 ? BalancePolicy.Hierarchical : BalancePolicy.Global;

    /// <summary>Checks every field.</summary>
    /// <exception cref="ArgumentException">The message begins with the first wrong field's published name.</exception>
    public void Validate()
    {
        Check(ExpertCount >= 1, "num_logical_experts", ExpertCount, "must be at least 1");
        Check(ReplicaCount >= ExpertCount, "num_replicas", ReplicaCount, $"must be at least num_logical_experts ({ExpertCount}), one of each");
        Check(ReplicaCount <= MaxReplicaCount, "num_replicas", ReplicaCount, $"must be at most {MaxReplicaCount}");
        Check(GpuCount >= 1, "num_gpus", GpuCount, "must be at least 1");
        Check(ReplicaCount % GpuCount == 0, "num_replicas", ReplicaCount, $"must be a multiple of num_gpus ({GpuCount})");
        Check(NodeCount >= 1, "num_nodes", NodeCount, "must be at least 1");
        Check(GpuCount % NodeCount == 0, "num_gpus", GpuCount, $"must be a multiple of num_nodes ({NodeCount})");
        Check(GroupCount >= 1, "num_groups", GroupCount, "must be at least 1");
        Check(ExpertCount % GroupCount == 0, "num_logical_experts", ExpertCount, $"must be a multiple of num_groups ({GroupCount})");
        Check(Policy != BalancePolicy.Hierarchical || GroupCount % NodeCount == 0, "policy", "hierarchical", $"needs num_groups ({GroupCount}) to be a multiple of num_nodes ({NodeCount})");
        for (int layer = 0; layer < Weight.Count; layer++) ValidateLayer(layer);
    }

    private void ValidateLayer(int layer)
    {
        IReadOnlyList<double> weight = Weight[layer];
        Check(weight.Count == ExpertCount, $"weight[{layer}]", $"{weight.Count} values", $"must have one for each of num_logical_experts ({ExpertCount})");
        float total = 0;
        for (int expert = 0; expert < weight.Count; expert++)
        {
            Check(double.IsFinite(weight[expert]) && weight[expert] >= 0, $"weight[{layer}][{expert}]", weight[expert], "must be finite and not negative");
            total += (float)weight[expert];
        }

        Check(float.IsFinite(total), $"weight[{layer}]", weight.Sum(), "is too large a sum for 32-bit floats; scale the loads down");
    }

    private static void Check(bool holds, string field, object value, string rule)
    {
        if (!holds) throw new ArgumentException(FormattableString.Invariant($"{field}: {value} {rule}"));
    }
}

/// <summary>A plan of <see cref="ExpertBalancer"/>: physical slot = GPU * (R/P) + position in the GPU, GPUs of a node next to each other.</summary>
public sealed record BalancePlan
{
    /// <summary>The policy that was followed.</summary>
    public required BalancePolicy Policy { get; init; }

    /// <summary>One a layer of the case.</summary>
    public required IReadOnlyList<BalancedLayer> Layers { get; init; }
}

/// <summary>The plan of one layer.</summary>
/// <param name="ReplicaCounts">Replicas of each expert, [E].</param>
/// <param name="PhysicalToLogical">Expert of each physical slot, [R].</param>
/// <param name="LogicalToPhysical">Slots of each expert, ordered by replica rank, [E][replicas of the expert].</param>
/// <param name="MaxGpuLoad">Load of the heaviest GPU.</param>
/// <param name="MeanGpuLoad">Load of all GPUs over their number.</param>
/// <param name="MaxNodeLoad">Load of the heaviest node.</param>
public sealed record BalancedLayer(int[] ReplicaCounts, int[] PhysicalToLogical, int[][] LogicalToPhysical, double MaxGpuLoad, double MeanGpuLoad, double MaxNodeLoad)
{
    /// <summary>Maximum over mean; 1 where there is no load.</summary>
    public double BalanceMaxOverMean => MeanGpuLoad > 0 ? MaxGpuLoad / MeanGpuLoad : 1;
}
