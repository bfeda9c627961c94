using System.Text.Json;
using System.Text.Json.Serialization;
using Conclave.Grains;

namespace Conclave.Cli.Admin;

/// <summary>The same for programs: one JSON object, names in snake case.</summary>
internal static class AdminJson
{
    private static readonly JsonSerializerOptions Options = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    };

    public static string Status(ClusterReport report) => JsonSerializer.Serialize(new
    {
        report.Model,
        MapVersion = report.Placement.View.Map.Version,
        PreparedVersion = report.Placement.Target?.Version,
        report.Placement.View.Epoch,
        report.Placement.View.MissingExperts,
        report.Placement.Imbalance,
        TokensPerSecond = Math.Round(report.Silos.Sum(s => s.TokensPerSecond), 1),
        Silos = report.Silos.Select(s => new
        {
            s.Name,
            s.Silo,
            s.Host,
            s.Zone,
            s.Roles,
            s.State,
            s.Slots,
            s.Experts,
            s.Load,
            s.MapVersion,
            TokensPerSecond = Math.Round(s.TokensPerSecond, 1),
            s.Rank,
        }),
        ExpertLoads = Loads(report.Placement),
    }, Options);

    public static string Placement(PlacementStatus placement) => JsonSerializer.Serialize(new
    {
        placement.Model,
        MapVersion = placement.View.Map.Version,
        PreparedVersion = placement.Target?.Version,
        placement.View.MissingExperts,
        placement.Imbalance,
        placement.Wishes,
        placement.Slots,
        placement.UsedVersions,
        Map = Map(placement.View.Map),
        ExpertLoads = Loads(placement),
        placement.PlanFault,
        placement.StorageFault,
    }, Options);

    public static string Plan(PlacementProposal plan) => JsonSerializer.Serialize(new
    {
        plan.FromVersion,
        plan.Map.Version,
        plan.Moves,
        plan.MovedBytes,
        plan.ImbalanceBefore,
        plan.ImbalanceAfter,
        plan.MissingExperts,
        Map = Map(plan.Map),
    }, Options);

    /// <summary>Layer by layer, expert by expert: the slots, as indexes into the list of them.</summary>
    private static object Map(ExpertMap map) => new { map.SlotKeys, Replicas = map.ExpertCount == 0 ? [] : map.Replicas.Chunk(map.ExpertCount).ToArray() };

    private static double[][] Loads(PlacementStatus placement) =>
        placement.View.Map.ExpertCount == 0 ? [] : [.. placement.ExpertLoads.Select(load => Math.Round(load, 3)).Chunk(placement.View.Map.ExpertCount)];
}
