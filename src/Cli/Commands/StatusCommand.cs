using System.CommandLine;
using System.Diagnostics;
using Conclave.Cli.Admin;
using Conclave.Grains;

namespace Conclave.Cli.Commands;

/// <summary><c>conclave status</c>: the cluster at a glance.</summary>
internal static class StatusCommand
{
    private static readonly TimeSpan Window = TimeSpan.FromSeconds(1);
    private static readonly AdminOptions Admin = new();

    public static Command Create()
    {
        var command = new Command("status", "Show a cluster's silos, ranks, sequences, tokens a second, map version and expert loads");
        Admin.AddTo(command);
        command.SetAction(Run);
        return command;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        await using AdminClient cluster = await Admin.Connect(parsed, cancellationToken);
        PlacementStatus placement = await cluster.AskMap(map => map.Placement(), cancellationToken);
        string[] silos = [.. placement.View.Silos.Where(offer => offer.Attention).Select(offer => offer.Silo)];
        IReadOnlyDictionary<string, RankStatus?> first = await cluster.Ranks(silos);
        long began = Stopwatch.GetTimestamp();
        // Tokens a second are counted over a moment of our own.
        await Task.Delay(Window, cancellationToken);
        IReadOnlyDictionary<string, RankStatus?> second = await cluster.Ranks(silos);
        ClusterReport report = ClusterReport.Of(placement, first, second, Stopwatch.GetElapsedTime(began).TotalSeconds);
        if (Admin.Json(parsed)) Console.WriteLine(AdminJson.Status(report));
        else ClusterTables.WriteStatus(ClusterTables.Console(), report);
        return CommandLine.Done;
    }
}
