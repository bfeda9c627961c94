namespace Conclave.Grains;

/// <summary>
/// The load of each expert in the whole cluster: counts of all ranks, merged and fading exponentially, so that what happened one half-life ago weighs
/// half as much as what happens now. Not safe for several threads: its owner is one grain.
/// </summary>
/// <param name="pairCount">Layers, MTP layers included, times experts.</param>
/// <param name="halfLife">Above zero.</param>
/// <param name="time">The clock.</param>
public sealed class ExpertLoads(int pairCount, TimeSpan halfLife, TimeProvider time)
{
    private readonly double[] _loads = new double[pairCount];
    private readonly Dictionary<string, long[]> _totals = [];
    private readonly TimeSpan _halfLife = halfLife > TimeSpan.Zero ? halfLife : throw new ArgumentOutOfRangeException(nameof(halfLife), halfLife, "the half-life of loads must be above zero");
    private long _fadedAt = time.GetTimestamp();

    /// <summary>
    /// Merges what <paramref name="rank"/> has counted: its totals since it started (see <see cref="ExpertCounter.Totals"/>). Totals rather than
    /// differences, so that a report that is lost or repeated does no harm; totals that shrink are those of a rank that has started anew.
    /// </summary>
    /// <exception cref="ArgumentException">Another number of totals than pairs.</exception>
    public void Report(string rank, ReadOnlySpan<long> totals)
    {
        if (totals.Length != _loads.Length) throw new ArgumentException($"totals: {totals.Length} values of rank {rank} for {_loads.Length} (layer, expert) pairs", nameof(totals));
        Fade();
        _totals.TryGetValue(rank, out long[]? before);
        bool startedAnew = before is null;
        for (int i = 0; i < totals.Length && !startedAnew; i++) startedAnew = totals[i] < before![i];
        for (int i = 0; i < totals.Length; i++) _loads[i] += startedAnew ? totals[i] : totals[i] - before![i];
        _totals[rank] = totals.ToArray();
    }

    /// <summary>A rank is gone: what it counted fades like the rest, its totals are needed no more.</summary>
    public void Forget(string rank) => _totals.Remove(rank);

    /// <summary>Rows for each expert, faded to now, <c>[layer * experts + expert]</c>; a copy.</summary>
    public double[] Current()
    {
        Fade();
        return [.. _loads];
    }

    private void Fade()
    {
        long now = time.GetTimestamp();
        double factor = Math.Pow(0.5, time.GetElapsedTime(_fadedAt, now) / _halfLife);
        for (int i = 0; i < _loads.Length; i++) _loads[i] *= factor;
        _fadedAt = now;
    }
}
