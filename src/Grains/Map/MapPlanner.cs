using Conclave.Engine;
using Conclave.Model;

namespace Conclave.Grains;

/// <summary>From a view to what the planner needs and back: pure functions.</summary>
internal static class MapPlanner
{
    private static readonly RebalancePolicy Defaults = new();

    /// <summary>The wishes in force: what people asked for, else what the silos were told, else the defaults.</summary>
    public static PlacementWishes Effective(ClusterView view) => new()
    {
        Replicas = view.Wishes.Replicas ?? view.Silos.Select(o => o.MinReplicas).Append(1).Max(),
        RedundantExperts = view.Wishes.RedundantExperts ?? view.Silos.Select(o => o.RedundantExperts).Append(0).Max(),
        MinGain = view.Wishes.MinGain ?? Defaults.MinGain,
        MinIntervalSeconds = view.Wishes.MinIntervalSeconds ?? Defaults.MinInterval.TotalSeconds,
        Automatic = view.Wishes.Automatic ?? true,
    };

    /// <summary>Later wishes over earlier ones.</summary>
    /// <exception cref="ClusterException">One is out of range.</exception>
    public static PlacementWishes Merge(PlacementWishes earlier, PlacementWishes later)
    {
        Check(later.Replicas is null or (>= 1 and <= 64), "replicas", "1 to 64", later.Replicas);
        Check(later.RedundantExperts is null or (>= 0 and <= 4096), "redundant experts", "0 to 4096", later.RedundantExperts);
        Check(later.MinGain is null or (> 0 and < 1), "least gain", "above 0 and below 1", later.MinGain);
        Check(later.MinIntervalSeconds is null or (>= 1 and <= 1e9), "least interval in seconds", "1 to 1000000000", later.MinIntervalSeconds);
        return new PlacementWishes
        {
            Replicas = later.Replicas ?? earlier.Replicas,
            RedundantExperts = later.RedundantExperts ?? earlier.RedundantExperts,
            MinGain = later.MinGain ?? earlier.MinGain,
            MinIntervalSeconds = later.MinIntervalSeconds ?? earlier.MinIntervalSeconds,
            Automatic = later.Automatic ?? earlier.Automatic,
        };
    }

    /// <summary>When to balance by itself.</summary>
    public static RebalancePolicy Policy(ClusterView view)
    {
        PlacementWishes wishes = Effective(view);
        return Defaults with { MinGain = wishes.MinGain!.Value, MinInterval = TimeSpan.FromSeconds(wishes.MinIntervalSeconds!.Value) };
    }

    /// <summary>
    /// What to plan from. Slots of draining silos are left out.
    /// </summary>
    public static PlacementInput Input(ClusterView view, ModelConfig config, IReadOnlyList<long> expertSizes, double[]? loads, bool withDraining = false)
    {
        PlacementWishes wishes = Effective(view);
        return new PlacementInput
        {
            ExpertSizeBytes = expertSizes,
            ExpertCount = config.RoutedExpertCount,
            Slots = [.. view.Silos.Where(o => withDraining || !view.Draining.Contains(o.Silo)).SelectMany(Slots)],
            Loads = loads,
            MinReplicas = wishes.Replicas!.Value,
            RedundantExperts = wishes.RedundantExperts!.Value,
            Previous = view.Map.Version == 0 ? null : view.Map,
        };
    }

    /// <summary>
    /// Plans for the view. Silos that drain keep their experts if the others have no room for them: then <c>Fault</c> says so.
    /// </summary>
    public static (PlacementPlan Plan, string? Fault) Plan(ClusterView view, ModelConfig config, IReadOnlyList<long> expertSizes, double[]? loads)
    {
        PlacementPlan plan = ExpertPlanner.Plan(Input(view, config, expertSizes, loads));
        if (plan.IsComplete) return (plan, null);
        string room = $"the slots take {plan.CoveredFraction:P1} of the experts; add a silo or raise its expert memory";
        if (view.Draining.Length == 0) return (plan, room);
        PlacementPlan stay = ExpertPlanner.Plan(Input(view, config, expertSizes, loads, withDraining: true));
        return stay.CoveredCount > plan.CoveredCount
            ? (stay, $"silos that drain keep their experts: without them {room}")
            : (plan, room);
    }

    /// <summary>What a plan means for people.</summary>
    public static PlacementProposal Proposal(ClusterView view, PlacementPlan plan, double[]? loads, long version) => new()
    {
        FromVersion = view.Map.Version,
        Moves = plan.MovedCount,
        MovedBytes = plan.MovedSizeBytes,
        ImbalanceBefore = view.Map.Version == 0 ? 0 : MapBalance.Of(view.Map, loads).Ratio,
        ImbalanceAfter = plan.Balance.Ratio,
        MissingExperts = plan.PairCount - plan.CoveredCount,
        Map = plan.Map with { Version = version, LoadedAs = version },
    };

    private static IEnumerable<PlacementSlot> Slots(SiloOffer offer)
    {
        var labels = new Dictionary<string, string>(offer.Labels);
        if (offer.Zone.Length > 0) labels["zone"] = offer.Zone;
        return Enumerable.Range(0, offer.Slots).Select(slot => new PlacementSlot
        {
            Key = SiloKey.Slot(slot, offer.Silo),
            Silo = offer.Silo,
            Host = offer.Host.Length > 0 ? offer.Host : SiloKey.Silo($"/{offer.Silo}").Endpoint.Address.ToString(),
            CapacityBytes = offer.ExpertMemoryBytes > 0 ? offer.ExpertMemoryBytes / offer.Slots : null,
            Labels = labels,
        });
    }

    private static void Check(bool holds, string wish, string range, object? value)
    {
        if (!holds) throw new ClusterException(OperatingError.InvalidRequest, $"{wish}: {value} is out of range; it must be {range}");
    }
}
