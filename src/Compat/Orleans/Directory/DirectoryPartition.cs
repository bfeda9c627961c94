using System.Collections.Concurrent;

namespace Orleans.Runtime;

/// <summary>A silo's part of the directory: where each of its grains has its only activation.</summary>
internal sealed class DirectoryPartition(Func<SiloAddress, bool> isAlive)
{
    private readonly ConcurrentDictionary<GrainId, GrainAddress> _addresses = new();

    public GrainAddress? Find(GrainId grainId) => _addresses.TryGetValue(grainId, out GrainAddress? address) && isAlive(address.SiloAddress!) ? address : null;

    /// <summary>
    /// Enters an activation unless another one lives; the one that it takes over from does not count, nor does one of the same silo, which
    /// knows best. Returns the one that is entered now.
    /// </summary>
    public GrainAddress Register(GrainAddress address, GrainAddress? previous)
    {
        while (true)
        {
            if (!_addresses.TryGetValue(address.GrainId, out GrainAddress? existing))
            {
                if (_addresses.TryAdd(address.GrainId, address)) return address;
            }
            else if (isAlive(existing.SiloAddress!) && !existing.Equals(previous) && !existing.SiloAddress!.Equals(address.SiloAddress))
            {
                return existing;
            }
            else if (_addresses.TryUpdate(address.GrainId, address, existing))
            {
                return address;
            }
        }
    }

    public void Unregister(GrainAddress address) => _addresses.TryRemove(KeyValuePair.Create(address.GrainId, address));

    /// <summary>Drops what silos that are gone had, and what another part holds now.</summary>
    public void Keep(Func<GrainId, bool> isOwn)
    {
        foreach (KeyValuePair<GrainId, GrainAddress> entry in _addresses)
            if (!isAlive(entry.Value.SiloAddress!) || !isOwn(entry.Key)) _addresses.TryRemove(entry);
    }
}
