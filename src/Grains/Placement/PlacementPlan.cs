namespace Conclave.Grains;

/// <summary>A new map and what it means.</summary>
public sealed record PlacementPlan
{
    /// <summary>The map, one version after the previous one. Slots are those of the input in the same order.</summary>
    public required ExpertMap Map { get; init; }

    /// <summary>(layer, expert) pairs of the model.</summary>
    public required int PairCount { get; init; }

    /// <summary>Pairs with at least one replica.</summary>
    public required int CoveredCount { get; init; }

    /// <summary>Pairs on fewer different silos than the input's minimum.</summary>
    public required int UnderReplicatedCount { get; init; }

    /// <summary>Replicas on slots that did not hold them in the previous map: what has to be loaded. The measure of movement.</summary>
    public required int MovedCount { get; init; }

    /// <summary>Bytes of <see cref="MovedCount"/>.</summary>
    public required long MovedSizeBytes { get; init; }

    /// <summary>
    /// A bound below <see cref="MovedCount"/>: no map with as many replicas of each expert at least, and on each slot its share of them rounded up
    /// or down, is reached with fewer moves.
    /// </summary>
    public required int LeastMovedCount { get; init; }

    /// <summary>Loads of the slots under <see cref="Map"/>.</summary>
    public required MapBalance Balance { get; init; }

    /// <summary>Whether every expert has a place; without it the model cannot be served.</summary>
    public bool IsComplete => CoveredCount == PairCount;

    /// <summary>Pairs with a place as a fraction of all, 0 to 1.</summary>
    public double CoveredFraction => PairCount == 0 ? 1 : (double)CoveredCount / PairCount;
}
