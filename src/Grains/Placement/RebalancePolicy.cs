namespace Conclave.Grains;

/// <summary>When moving experts is worth it.</summary>
public sealed record RebalancePolicy
{
    /// <summary>How much lower the heaviest slot's load has to get, as a fraction of what it is; 0 to 1.</summary>
    public double MinGain { get; init; } = 0.1;

    /// <summary>Time between two rebalances at least.</summary>
    public TimeSpan MinInterval { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Rows that must have been counted in all layers together: fewer say nothing about the next ones.</summary>
    public double MinRows { get; init; } = 100_000;

    /// <summary>Whether to go from a map of balance <paramref name="current"/> to a planned one of balance <paramref name="planned"/>, both under the same loads.</summary>
    /// <param name="current">Balance of the map in use.</param>
    /// <param name="planned">Balance of the map that <see cref="ExpertPlanner.Rebalance"/> proposes.</param>
    /// <param name="sinceLast">Time since the last rebalance; null if there was none.</param>
    public bool IsWorthwhile(MapBalance current, MapBalance planned, TimeSpan? sinceLast) =>
        !(sinceLast < MinInterval)
        && current.SlotLoads.Sum() >= MinRows
        && current.MaxLoad - planned.MaxLoad >= MinGain * current.MaxLoad
        && planned.MaxLoad < current.MaxLoad;
}
