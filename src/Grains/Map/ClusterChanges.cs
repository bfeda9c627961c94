using Orleans.Runtime;

namespace Conclave.Grains;

/// <summary>What happens to a view when silos come and go: pure functions; the caller counts the epoch.</summary>
internal static class ClusterChanges
{
    /// <summary>A silo offers itself. A silo that comes back at the same endpoint is a new one: its former life is over.</summary>
    /// <param name="view">The view.</param>
    /// <param name="offer">The silo.</param>
    /// <param name="expertSizes">Bytes of an expert in each layer, 0 for a layer without experts.</param>
    /// <param name="version">Version of the map, should a former life's slots have to go.</param>
    public static ClusterView With(this ClusterView view, SiloOffer offer, IReadOnlyList<long> expertSizes, long version)
    {
        SiloAddress joining = SiloAddress.FromParsableString(offer.Silo);
        bool IsFormerLife(SiloAddress silo) => silo.Endpoint.Equals(joining.Endpoint) && silo.Generation != joining.Generation;
        ClusterView rest = view.Without(silo => IsFormerLife(SiloAddress.FromParsableString(silo)), expertSizes, version);
        return rest with { Silos = [.. rest.Silos.Where(o => o.Silo != offer.Silo), offer] };
    }

    /// <summary>Silos are gone, with their ranks and slots.</summary>
    public static ClusterView Without(this ClusterView view, Func<string, bool> isGone, IReadOnlyList<long> expertSizes, long version)
    {
        ExpertMap map = view.Map.Without(isGone, version);
        return view with
        {
            Silos = [.. view.Silos.Where(o => !isGone(o.Silo))],
            Ranks = [.. view.Ranks.Where(rank => !isGone(rank))],
            Draining = [.. view.Draining.Where(silo => !isGone(silo))],
            Map = map,
            MissingExperts = ReferenceEquals(map, view.Map) ? view.MissingExperts : map.CountMissing(expertSizes),
        };
    }

    /// <summary>A member is to leave.</summary>
    public static ClusterView WithDraining(this ClusterView view, string silo) =>
        view with { Ranks = [.. view.Ranks.Where(rank => rank != silo)], Draining = [.. view.Draining, silo] };

    /// <summary>The map without the slots of silos that are gone, under a new version; the same map if it names none.</summary>
    public static ExpertMap Without(this ExpertMap map, Func<string, bool> isGone, long version)
    {
        bool[] goes = [.. map.SlotKeys.Select(key => isGone(SiloKey.Silo(key).ToParsableString()))];
        if (!goes.Contains(true)) return map;
        var renumbered = new int[goes.Length];
        for (int slot = 0, kept = 0; slot < goes.Length; slot++) renumbered[slot] = goes[slot] ? -1 : kept++;
        return map with
        {
            Version = version,
            SlotKeys = [.. map.SlotKeys.Where((_, slot) => !goes[slot])],
            Replicas = [.. map.Replicas.Select(slots => slots.Select(slot => renumbered[slot]).Where(slot => slot >= 0).ToArray())],
        };
    }

    /// <summary>Routed experts that no slot holds.</summary>
    public static int CountMissing(this ExpertMap map, IReadOnlyList<long> expertSizes)
    {
        int missing = 0;
        for (int pair = 0; pair < map.Replicas.Length; pair++)
            if (map.Replicas[pair].Length == 0 && expertSizes[pair / map.ExpertCount] > 0) missing++;
        return missing;
    }

    /// <summary>Whether both maps put the same experts into the same slots.</summary>
    public static bool PlacesAs(this ExpertMap map, ExpertMap other) =>
        map.ExpertCount == other.ExpertCount && map.SlotKeys.SequenceEqual(other.SlotKeys) && map.Replicas.Length == other.Replicas.Length
        && map.Replicas.Zip(other.Replicas).All(pair => pair.First.AsSpan().SequenceEqual(pair.Second));
}
