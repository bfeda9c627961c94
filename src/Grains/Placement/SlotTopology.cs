namespace Conclave.Grains;

/// <summary>The slots of a plan with the domains of failure they are in: zone, host, silo, one inside the other.</summary>
internal sealed class SlotTopology
{
    private readonly int[] _nearness;

    public SlotTopology(IReadOnlyList<PlacementSlot> slots)
    {
        Slots = slots;
        var zones = new Dictionary<string, int>();
        var hosts = new Dictionary<(int, string), int>();
        var silos = new Dictionary<(int, string), int>();
        Zone = [.. slots.Select(slot => Number(zones, slot.Zone))];
        Host = [.. slots.Select((slot, i) => Number(hosts, (Zone[i], slot.Host)))];
        Silo = [.. slots.Select((slot, i) => Number(silos, (Host[i], slot.Silo)))];
        (ZoneCount, HostCount, SiloCount) = (zones.Count, hosts.Count, silos.Count);
        _nearness = new int[slots.Count * slots.Count];
        for (int a = 0; a < slots.Count; a++)
            for (int b = 0; b < slots.Count; b++)
                // Being in the only zone, on the only host or silo tells nothing.
                _nearness[(a * slots.Count) + b] =
                    (Silo[a] == Silo[b] && silos.Count > 1 ? 10_000 : 0) + (Host[a] == Host[b] && hosts.Count > 1 ? 100 : 0) + (Zone[a] == Zone[b] && zones.Count > 1 ? 1 : 0);
    }

    public IReadOnlyList<PlacementSlot> Slots { get; }

    public int Count => Slots.Count;

    /// <summary>Number of the zone of each slot.</summary>
    public int[] Zone { get; }

    /// <summary>Number of the host of each slot.</summary>
    public int[] Host { get; }

    /// <summary>Number of the silo of each slot.</summary>
    public int[] Silo { get; }

    /// <summary>Different zones.</summary>
    public int ZoneCount { get; }

    /// <summary>Different hosts.</summary>
    public int HostCount { get; }

    /// <summary>Different silos.</summary>
    public int SiloCount { get; }

    /// <summary>How bad two replicas of one expert are on these slots: in one silo is worse than on one host, than in one zone, than apart (0).</summary>
    public int Nearness(int slot, int other) => _nearness[(slot * Slots.Count) + other];

    private static int Number<T>(Dictionary<T, int> numbers, T name) where T : notnull
    {
        if (!numbers.TryGetValue(name, out int number)) numbers[name] = number = numbers.Count;
        return number;
    }
}
