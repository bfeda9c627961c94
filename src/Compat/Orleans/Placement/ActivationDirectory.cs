using System.Collections.Concurrent;

namespace Orleans.Runtime;

/// <summary>Where each grain's only activation lives. Asynchronous, since a cluster of several processes asks a store.</summary>
internal sealed class ActivationDirectory(MembershipTable membership)
{
    private readonly ConcurrentDictionary<GrainId, GrainAddress> _addresses = new();

    public ValueTask<GrainAddress?> LookupAsync(GrainId grainId) =>
        ValueTask.FromResult(_addresses.TryGetValue(grainId, out GrainAddress? address) && IsAlive(address) ? address : null);

    /// <summary>Registers an activation unless another one lives; the one that it takes over from does not count. Returns the one that is registered now.</summary>
    public ValueTask<GrainAddress> RegisterAsync(GrainAddress address, GrainAddress? previous)
    {
        while (true)
        {
            if (!_addresses.TryGetValue(address.GrainId, out GrainAddress? existing))
            {
                if (_addresses.TryAdd(address.GrainId, address)) return ValueTask.FromResult(address);
            }
            else if (IsAlive(existing) && !existing.Equals(previous))
            {
                return ValueTask.FromResult(existing);
            }
            else if (_addresses.TryUpdate(address.GrainId, address, existing))
            {
                return ValueTask.FromResult(address);
            }
        }
    }

    public ValueTask UnregisterAsync(GrainAddress address)
    {
        _addresses.TryRemove(KeyValuePair.Create(address.GrainId, address));
        return default;
    }

    public void RemoveSilo(SiloAddress silo)
    {
        foreach (KeyValuePair<GrainId, GrainAddress> entry in _addresses)
            if (silo.Equals(entry.Value.SiloAddress)) _addresses.TryRemove(entry);
    }

    private bool IsAlive(GrainAddress address) => membership.Current.GetSiloStatus(address.SiloAddress!) is SiloStatus.Active or SiloStatus.ShuttingDown;
}
