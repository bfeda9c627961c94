using System.Diagnostics;

namespace Conclave.Cli.Commands.Bench;

/// <summary>Durations of one kind of event. Room is made beforehand, so that adding one costs nothing; what does not fit is counted, not kept.</summary>
internal sealed class Samples(int capacity = 1 << 20)
{
    private readonly long[] _ticks = new long[capacity];
    private int _kept;

    /// <summary>How many were added.</summary>
    public long Count { get; private set; }

    /// <summary>Takes note of a duration in ticks of <see cref="Stopwatch"/>.</summary>
    public void Add(long ticks)
    {
        if (_kept < _ticks.Length) _ticks[_kept++] = ticks;
        Count++;
    }

    /// <summary>The duration that a share of 0 to 1 of the samples does not exceed, microseconds; NaN without samples.</summary>
    public double QuantileUs(double share)
    {
        if (_kept == 0) return double.NaN;
        Array.Sort(_ticks, 0, _kept);
        return _ticks[(int)Math.Min(_kept - 1, share * _kept)] * 1e6 / Stopwatch.Frequency;
    }
}
