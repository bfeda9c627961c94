using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Conclave.Cli.Admin;
using Conclave.Grains;

namespace Conclave.Cli.Commands;

/// <summary><c>conclave drain</c>: takes a silo out of service without anyone noticing.</summary>
internal static class DrainCommand
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(200);
    private static readonly AdminOptions Admin = new();
    private static readonly Argument<string> Silo = new("SILO") { Description = "The silo's name or address, as 'conclave status' shows them" };
    private static readonly Option<int> Limit = new("--timeout") { Description = "Seconds to wait until it has left", DefaultValueFactory = _ => 600 };

    public static Command Create()
    {
        var command = new Command("drain", "Drain a silo: its sequences and experts move to others, then it leaves and exits") { Silo, Limit };
        Admin.AddTo(command);
        command.SetAction(Run);
        return command;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        if (parsed.GetValue(Limit) < 1) throw new ArgumentException($"--timeout: {parsed.GetValue(Limit)} is out of range; it must be 1 or more");
        await using AdminClient cluster = await Admin.Connect(parsed, cancellationToken);
        SiloOffer silo = SiloNames.Find((await cluster.AskMap(map => map.Current(), cancellationToken)).Silos, parsed.GetValue(Silo)!);
        long began = Stopwatch.GetTimestamp();
        // The map grain may be on the very silo that leaves.
        await cluster.AskMap(map => map.Drain(silo.Silo), cancellationToken);
        string last = "";
        while (await cluster.AskMap(map => map.Placement(), cancellationToken) is { } placement && placement.View.Silos.Any(member => member.Silo == silo.Silo))
        {
            string progress = await Progress(cluster, placement, silo);
            if (progress != last) await Console.Error.WriteLineAsync($"{Stopwatch.GetElapsedTime(began).TotalSeconds.ToString("F1", CultureInfo.InvariantCulture)} s: {last = progress}");
            if (Stopwatch.GetElapsedTime(began).TotalSeconds > parsed.GetValue(Limit))
                throw new InvalidOperationException($"{silo.Name} has not left after {parsed.GetValue(Limit)} s ({progress}); it goes on draining, --timeout waits longer");
            await Task.Delay(Poll, cancellationToken);
        }

        double seconds = Math.Round(Stopwatch.GetElapsedTime(began).TotalSeconds, 2);
        Console.WriteLine(Admin.Json(parsed)
            ? JsonSerializer.Serialize(new { name = silo.Name, silo = silo.Silo, seconds })
            : string.Create(CultureInfo.InvariantCulture, $"{silo.Name} ({silo.Silo}) has left after {seconds:F1} s"));
        return CommandLine.Done;
    }

    private static async Task<string> Progress(AdminClient cluster, PlacementStatus placement, SiloOffer silo)
    {
        int experts = placement.Slots.Where(slot => slot.Silo == silo.Silo).Sum(slot => slot.ExpertCount);
        if (!silo.Attention) return $"{experts} experts left";
        RankStatus? rank = (await cluster.Ranks([silo.Silo]))[silo.Silo];
        return rank is null ? $"{experts} experts left" : $"{experts} experts and {rank.Running + rank.Waiting} sequences left";
    }
}
