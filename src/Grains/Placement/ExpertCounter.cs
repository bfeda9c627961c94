namespace Conclave.Grains;

/// <summary>
/// How many token rows one rank has sent to each expert since it started. The step loop adds without locks or allocation; any thread may read.
/// </summary>
public sealed class ExpertCounter
{
    private readonly long[] _totals;
    private readonly int _expertCount;

    /// <summary>Zeros for <paramref name="layerCount"/> layers, MTP layers included, of <paramref name="expertCount"/> experts.</summary>
    public ExpertCounter(int layerCount, int expertCount)
    {
        _totals = new long[layerCount * expertCount];
        _expertCount = expertCount;
    }

    /// <summary>Counts the chosen experts of a step's rows in <paramref name="layer"/>, k a row. One thread only: the step loop's.</summary>
    public void Add(int layer, ReadOnlySpan<int> expertIds)
    {
        Span<long> totals = _totals.AsSpan(layer * _expertCount, _expertCount);
        foreach (int expert in expertIds) totals[expert]++;
    }

    /// <summary>The totals so far, <c>[layer * expertCount + expert]</c>. Taken while a step runs, some of its rows may be missing; the next call has them.</summary>
    public long[] Totals()
    {
        var copy = new long[_totals.Length];
        for (int i = 0; i < copy.Length; i++) copy[i] = Volatile.Read(ref _totals[i]);
        return copy;
    }
}
