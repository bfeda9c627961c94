using Conclave.Grains;

namespace Conclave.Cli.Admin;

/// <summary>One silo as people look at it.</summary>
internal sealed record SiloReport
{
    public required string Name { get; init; }

    /// <summary>Parsable address.</summary>
    public required string Silo { get; init; }

    public required string Host { get; init; }

    public required string Zone { get; init; }

    /// <summary><c>attention</c>, <c>expert</c> or both.</summary>
    public required string[] Roles { get; init; }

    /// <summary><c>joining</c>, <c>serving</c> or <c>draining</c>.</summary>
    public required string State { get; init; }

    public required int Slots { get; init; }

    /// <summary>(layer, expert) pairs that the map in use gives it.</summary>
    public required int Experts { get; init; }

    /// <summary>Load of its experts over the mean of all silos with experts; 0 without any load.</summary>
    public required double Load { get; init; }

    /// <summary>Version of the map that its rank uses; 0 without a rank.</summary>
    public required long MapVersion { get; init; }

    /// <summary>What its rank is doing; null where it has none or does not answer.</summary>
    public RankStatus? Rank { get; init; }

    /// <summary>Tokens generated a second, of late.</summary>
    public double TokensPerSecond { get; init; }
}

/// <summary>The whole cluster as people look at it.</summary>
internal sealed record ClusterReport
{
    public required string Model { get; init; }

    public required PlacementStatus Placement { get; init; }

    public required IReadOnlyList<SiloReport> Silos { get; init; }

    /// <summary>Puts together what map grain and ranks say; <paramref name="later"/> are the ranks <paramref name="seconds"/> after <paramref name="ranks"/>.</summary>
    public static ClusterReport Of(PlacementStatus placement, IReadOnlyDictionary<string, RankStatus?> ranks, IReadOnlyDictionary<string, RankStatus?> later, double seconds)
    {
        Dictionary<string, double> loads = placement.View.Silos.ToDictionary(o => o.Silo, o => placement.Slots.Where(slot => slot.Silo == o.Silo).Sum(slot => slot.Load));
        double mean = loads.Values.Where(load => load > 0).DefaultIfEmpty(0).Average();
        return new ClusterReport
        {
            Model = placement.Model,
            Placement = placement,
            Silos = [.. placement.View.Silos.OrderBy(o => o.Name, NaturalOrder.Instance).ThenBy(o => o.Silo, StringComparer.Ordinal).Select(o => Silo(placement, o, ranks, later, seconds) with { Load = mean > 0 ? loads[o.Silo] / mean : 0 })],
        };
    }

    private static SiloReport Silo(PlacementStatus placement, SiloOffer offer, IReadOnlyDictionary<string, RankStatus?> ranks, IReadOnlyDictionary<string, RankStatus?> later, double seconds)
    {
        ClusterView view = placement.View;
        RankStatus? before = ranks.GetValueOrDefault(offer.Silo), now = later.GetValueOrDefault(offer.Silo) ?? before;
        bool serves = (!offer.Attention || view.Ranks.Contains(offer.Silo)) && (offer.Slots == 0 || placement.Slots.Any(slot => slot.Silo == offer.Silo && slot.ExpertCount > 0));
        return new SiloReport
        {
            Name = offer.Name,
            Silo = offer.Silo,
            Host = offer.Host,
            Zone = offer.Zone,
            Roles = [.. offer.Attention ? new[] { "attention" } : [], .. offer.Slots > 0 ? new[] { "expert" } : []],
            State = view.Draining.Contains(offer.Silo) ? "draining" : serves ? "serving" : "joining",
            Slots = offer.Slots,
            Experts = placement.Slots.Where(slot => slot.Silo == offer.Silo).Sum(slot => slot.ExpertCount),
            Load = 0,
            MapVersion = placement.UsedVersions.GetValueOrDefault(offer.Silo),
            Rank = now,
            TokensPerSecond = before is not null && now is not null && seconds > 0 ? Math.Max(0, now.GeneratedTokens - before.GeneratedTokens) / seconds : 0,
        };
    }
}

/// <summary>Numbers inside names count as numbers: silo-10 comes after silo-9.</summary>
internal sealed class NaturalOrder : IComparer<string>
{
    public static NaturalOrder Instance { get; } = new();

    public int Compare(string? x, string? y)
    {
        (string head, int number) a = Split(x ?? ""), b = Split(y ?? "");
        int byHead = string.CompareOrdinal(a.head, b.head);
        return byHead != 0 ? byHead : a.number.CompareTo(b.number);
    }

    private static (string Head, int Number) Split(string name)
    {
        string head = name.TrimEnd('0', '1', '2', '3', '4', '5', '6', '7', '8', '9');
        return int.TryParse(name.AsSpan(head.Length), System.Globalization.CultureInfo.InvariantCulture, out int number) ? (head, number) : (name, -1);
    }
}
