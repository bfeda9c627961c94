namespace Conclave.Grains.Transport;

/// <summary>
/// How much of the passing time this process was running. A process that was stopped, or stood still in a long collection, has heard nobody
/// in that time and may not hold it against them: of a step that is far too long only its usual length counts.
/// </summary>
internal sealed class RunningTime(long stepNs, long startNs)
{
    private const int MaxSteps = 3;

    private long _lastNs = startNs;

    /// <summary>The time since the last call that counts; <paramref name="stalledNs"/> is what does not.</summary>
    public long Advance(long nowNs, out long stalledNs)
    {
        long passedNs = nowNs - _lastNs;
        _lastNs = nowNs;
        long countedNs = passedNs > MaxSteps * stepNs ? stepNs : passedNs;
        stalledNs = passedNs - countedNs;
        return countedNs;
    }
}

/// <summary>How long one end has been silent, in running time.</summary>
internal sealed class Silence
{
    private long _heardNs = -1, _silentNs;

    /// <summary>Takes note of when it was last heard and of the running time since the last call; returns the silence so far, nanoseconds.</summary>
    public long Observe(long heardNs, bool hasUnread, long stepNs)
    {
        // The first look, and every sign of life, start the count.
        if (heardNs != _heardNs || hasUnread) _silentNs = 0;
        else _silentNs += stepNs;
        _heardNs = heardNs;
        return _silentNs;
    }
}
