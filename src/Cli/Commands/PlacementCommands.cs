using System.CommandLine;
using Conclave.Cli.Admin;
using Conclave.Grains;

namespace Conclave.Cli.Commands;

/// <summary><c>conclave placement</c>: where experts are and where they should be.</summary>
internal static class PlacementCommands
{
    private static readonly AdminOptions Admin = new();
    private static readonly Option<int?> Replicas = new("--replicas") { Description = "Replicas of every expert, on different silos", HelpName = "N" };
    private static readonly Option<int?> Redundant = new("--redundant") { Description = "Further replicas for the busiest experts, per layer", HelpName = "N" };
    private static readonly Option<double?> MinGain = new("--min-gain") { Description = "Rebalance automatically when the heaviest slot gets lighter by this fraction of it, above 0 and below 1", HelpName = "X" };
    private static readonly Option<double?> MinInterval = new("--min-interval") { Description = "Seconds between two automatic rebalancings", HelpName = "S" };
    private static readonly Option<bool?> Automatic = new("--automatic") { Description = "Whether to rebalance automatically", HelpName = "true|false" };

    public static Command Create() => new("placement", "Place experts on slots and GPUs")
    {
        Command("show", "Show which slots hold which experts, and their loads", wishes: false, async (cluster, parsed) =>
        {
            PlacementStatus placement = await cluster.Map.Placement();
            if (Admin.Json(parsed)) Console.WriteLine(AdminJson.Placement(placement));
            else ClusterTables.WritePlacement(ClusterTables.Console(), placement);
        }),
        Command("plan", "Show what 'apply' with the same wishes would move; changes nothing", wishes: true, async (cluster, parsed) => Show(parsed, await cluster.Map.Plan(Wishes(parsed)))),
        Command("apply", "Take over the wishes and move experts in the background", wishes: true, async (cluster, parsed) => Show(parsed, await cluster.Map.Apply(Wishes(parsed)))),
        Command("rebalance", "Balance experts by their loads now", wishes: false, async (cluster, parsed) => Show(parsed, await cluster.Map.Rebalance())),
        PlacementBalanceCommand.Create(),
    };

    private static Command Command(string name, string description, bool wishes, Func<AdminClient, ParseResult, Task> action)
    {
        var command = new Command(name, description);
        if (wishes) foreach (Option option in new Option[] { Replicas, Redundant, MinGain, MinInterval, Automatic }) command.Add(option);
        Admin.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            await using AdminClient cluster = await Admin.Connect(parsed, cancellationToken);
            await action(cluster, parsed);
            return CommandLine.Done;
        });
        return command;
    }

    private static PlacementWishes Wishes(ParseResult parsed) => new()
    {
        Replicas = parsed.GetValue(Replicas),
        RedundantExperts = parsed.GetValue(Redundant),
        MinGain = parsed.GetValue(MinGain),
        MinIntervalSeconds = parsed.GetValue(MinInterval),
        Automatic = parsed.GetValue(Automatic),
    };

    private static void Show(ParseResult parsed, PlacementProposal plan)
    {
        if (Admin.Json(parsed)) Console.WriteLine(AdminJson.Plan(plan));
        else ClusterTables.WritePlan(ClusterTables.Console(), plan);
    }
}
