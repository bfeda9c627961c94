namespace Conclave.Engine.Speculation;

/// <summary>The last few of a series of times.</summary>
/// <param name="capacity">How many are kept.</param>
internal sealed class RecentTimes(int capacity)
{
    private readonly double[] _times = new double[capacity];
    private readonly double[] _sorted = new double[capacity];
    private int _added;

    /// <summary>How many there are, at most the capacity.</summary>
    public int Count => Math.Min(_added, capacity);

    /// <summary>The one in the middle, of an even number the shorter one; there must be one.</summary>
    public double Median
    {
        get
        {
            Span<double> sorted = _sorted.AsSpan(0, Count);
            _times.AsSpan(0, Count).CopyTo(sorted);
            sorted.Sort();
            return sorted[(Count - 1) / 2];
        }
    }

    /// <summary>Adds one, for which the oldest goes when there is no room.</summary>
    public void Add(double time) => _times[_added++ % capacity] = time;

    /// <summary>Forgets all.</summary>
    public void Clear() => _added = 0;
}
