using System.Globalization;
using Conclave.Grains;
using Spectre.Console;

namespace Conclave.Cli.Admin;

/// <summary>The cluster as tables in a terminal.</summary>
internal static class ClusterTables
{
    private const int HeatWidth = 64;
    private static readonly string[] Heat = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

    /// <summary>The terminal; where output goes to a file or a pipe, wide and plain.</summary>
    public static IAnsiConsole Console()
    {
        if (!System.Console.IsOutputRedirected) return AnsiConsole.Console;
        IAnsiConsole plain = AnsiConsole.Create(new AnsiConsoleSettings { Ansi = AnsiSupport.No, ColorSystem = ColorSystemSupport.NoColors, Interactive = InteractionSupport.No });
        plain.Profile.Width = 200;
        return plain;
    }

    /// <summary>Silos and ranks, a row a silo, and the loads of the experts.</summary>
    public static void WriteStatus(IAnsiConsole console, ClusterReport report)
    {
        ClusterView view = report.Placement.View;
        console.MarkupLineInterpolated(CultureInfo.InvariantCulture,
            $"[bold]{report.Model}[/]: {report.Silos.Count} silos, {view.Ranks.Length} ranks, map version {view.Map.Version}{(report.Placement.Target is { } target ? $" (version {target.Version} in preparation)" : "")}, {report.Silos.Sum(s => s.Rank?.Running ?? 0)} sequences running, {report.Silos.Sum(s => s.Rank?.Waiting ?? 0)} waiting, {report.Silos.Sum(s => s.TokensPerSecond):F0} tokens/s");
        Table table = NewTable(("silo", false), ("address", false), ("role", false), ("state", false), ("experts", true), ("load", true), ("running", true), ("waiting", true), ("KV pages", true), ("tokens/s", true));
        foreach (SiloReport silo in report.Silos)
        {
            RankStatus? rank = silo.Rank;
            table.AddRow(
                Markup.Escape(silo.Name), SiloNames.EndPoint(silo.Silo), silo.Roles.Length == 2 ? "both" : string.Concat(silo.Roles), State(silo.State), Number(silo.Experts), Ratio(silo.Load),
                rank is null ? "-" : Number(rank.Running), rank is null ? "-" : Number(rank.Waiting), rank is null ? "-" : $"{rank.PagesInUse}/{rank.PagesTotal}",
                rank is null ? "-" : silo.TokensPerSecond.ToString("F1", CultureInfo.InvariantCulture));
        }

        console.Write(table);
        WriteHeat(console, report.Placement);
        WriteFaults(console, report);
    }

    /// <summary>The map by slot, a row a slot.</summary>
    public static void WritePlacement(IAnsiConsole console, PlacementStatus placement)
    {
        ExpertMap map = placement.View.Map;
        int[] replicas = [.. map.Replicas.Where(slots => slots.Length > 0).Select(slots => slots.Length)];
        PlacementWishes wishes = placement.Wishes;
        console.MarkupLineInterpolated(CultureInfo.InvariantCulture,
            $"[bold]{placement.Model}[/]: map version {map.Version}, {map.SlotKeys.Length} slots, {replicas.Length} experts in {(replicas.Length == 0 ? 0 : replicas.Min())} to {(replicas.Length == 0 ? 0 : replicas.Max())} replicas, {placement.View.MissingExperts} without a place, busiest slot {placement.Imbalance:F2} x the mean");
        console.MarkupLineInterpolated(CultureInfo.InvariantCulture,
            $"[dim]wished: {wishes.Replicas} replicas, {wishes.RedundantExperts} redundant a layer; rebalancing {(wishes.Automatic == true ? $"when it gains {wishes.MinGain:P0}, every {wishes.MinIntervalSeconds:F0} s at most" : "by command only")}[/]");
        Dictionary<string, string> names = placement.View.Silos.ToDictionary(o => o.Silo, o => o.Name);
        Table table = NewTable(("silo", false), ("slot", false), ("experts", true), ("load", true), ("to come", true), ("ready", true), ("fault", false));
        foreach (SlotPlacement slot in placement.Slots.OrderBy(s => names.GetValueOrDefault(s.Silo, s.Silo), NaturalOrder.Instance).ThenBy(s => s.Key, StringComparer.Ordinal))
            table.AddRow(
                Markup.Escape(names.GetValueOrDefault(slot.Silo, SiloNames.EndPoint(slot.Silo))), Markup.Escape(slot.Key.Split('/')[0]), Number(slot.ExpertCount), Ratio(slot.Load), placement.Target is null ? "-" : Number(slot.TargetCount),
                placement.Target is null ? "-" : Number(slot.ReadyCount), Markup.Escape(slot.Fault ?? ""));
        console.Write(table);
        WriteHeat(console, placement);
        if (placement.PlanFault is { } plan) console.MarkupLineInterpolated($"[yellow]no better map: {plan}[/]");
        if (placement.StorageFault is { } storage) console.MarkupLineInterpolated($"[yellow]the map is not stored: {storage}[/]");
    }

    /// <summary>What a plan would do.</summary>
    public static void WritePlan(IAnsiConsole console, PlacementProposal plan) => console.MarkupLineInterpolated(CultureInfo.InvariantCulture,
        $"map version {plan.FromVersion} -> {plan.Map.Version}: {plan.Moves} experts to load ({plan.MovedBytes / 1e6:F1} MB), busiest slot {plan.ImbalanceBefore:F2} -> {plan.ImbalanceAfter:F2} x the mean, {plan.MissingExperts} without a place");

    /// <summary>Loads of the experts, a line a layer: a column stands for as many neighbours as must share it, its height for their load over the layer's mean.</summary>
    private static void WriteHeat(IAnsiConsole console, PlacementStatus placement)
    {
        int experts = placement.View.Map.ExpertCount;
        if (experts == 0 || placement.ExpertLoads.Length == 0 || placement.ExpertLoads.All(load => load == 0)) return;
        int width = Math.Min(HeatWidth, experts);
        console.MarkupLineInterpolated($"[dim]expert loads by layer ({(experts + width - 1) / width} experts a column, full height is 4 x the mean)[/]");
        for (int layer = 0; layer < placement.ExpertLoads.Length / experts; layer++)
        {
            double[] loads = placement.ExpertLoads[(layer * experts)..((layer + 1) * experts)];
            double mean = loads.Average();
            if (mean == 0) continue;
            string line = string.Concat(Enumerable.Range(0, width).Select(column => Cell(loads[(column * experts / width)..((column + 1) * experts / width)].Average() / mean)));
            console.MarkupLine(string.Create(CultureInfo.InvariantCulture, $"{layer,5} {line} busiest {loads.Max() / mean:F1} x"));
        }
    }

    private static string Cell(double ratio)
    {
        string color = ratio switch { < 0.5 => "blue", < 1.5 => "green", < 3 => "yellow", _ => "red" };
        return $"[{color}]{Heat[Math.Clamp((int)Math.Round(ratio * 2), ratio > 0 ? 1 : 0, Heat.Length - 1)]}[/]";
    }

    private static void WriteFaults(IAnsiConsole console, ClusterReport report)
    {
        if (report.Placement.View.MissingExperts > 0)
            console.MarkupLineInterpolated($"[red]{report.Placement.View.MissingExperts} experts have no place: requests wait; add a silo with expert memory[/]");
        foreach (SiloReport silo in report.Silos.Where(s => s.Rank?.Fault is not null)) console.MarkupLineInterpolated($"[red]{silo.Name}: {silo.Rank!.Fault}[/]");
        foreach (SiloReport silo in report.Silos.Where(s => s.Rank is null && s.Roles.Contains("attention") && s.State == "serving"))
            console.MarkupLineInterpolated($"[red]{silo.Name}: its rank does not answer[/]");
    }

    private static Table NewTable(params (string Title, bool IsNumber)[] columns)
    {
        var table = new Table().Border(TableBorder.Simple);
        foreach (var (title, isNumber) in columns) table.AddColumn(title, column => column.Alignment(isNumber ? Justify.Right : Justify.Left).NoWrap().Padding(0, 1));
        return table;
    }

    private static string State(string state) => state switch { "serving" => "[green]serving[/]", "draining" => "[yellow]draining[/]", _ => $"[blue]{state}[/]" };

    private static string Number(int number) => number.ToString(CultureInfo.InvariantCulture);

    private static string Ratio(double ratio) => ratio == 0 ? "-" : ratio.ToString("F2", CultureInfo.InvariantCulture);
}
