using System.Collections.Concurrent;

namespace Orleans.Runtime;

/// <summary>Where grains were last seen. Two generations bound it: when the young one is full it becomes the old one, which is forgotten.</summary>
internal sealed class LocationCache
{
    private const int MaxGeneration = 50_000;

    private ConcurrentDictionary<GrainId, SiloAddress> _young = new();
    private ConcurrentDictionary<GrainId, SiloAddress> _old = new();
    private int _count;

    public SiloAddress? Find(GrainId grain)
    {
        if (_young.TryGetValue(grain, out SiloAddress? silo)) return silo;
        if (!_old.TryGetValue(grain, out silo)) return null;
        Set(grain, silo);
        return silo;
    }

    public void Set(GrainId grain, SiloAddress silo)
    {
        _young[grain] = silo;
        if (Interlocked.Increment(ref _count) < MaxGeneration) return;
        _count = 0;
        _old = _young;
        _young = new ConcurrentDictionary<GrainId, SiloAddress>();
    }

    public void Remove(GrainId grain)
    {
        _young.TryRemove(grain, out _);
        _old.TryRemove(grain, out _);
    }
}
