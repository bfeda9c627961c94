using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Spectre.Console;

namespace Conclave.Cli.Chaos;

/// <summary>What a run came to.</summary>
internal sealed record ChaosReport
{
    private static readonly JsonSerializerOptions Json = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    public required int Seed { get; init; }

    public required double Minutes { get; init; }

    public required int Silos { get; init; }

    public required int Replicas { get; init; }

    public required IReadOnlyDictionary<ChaosKind, int> Counts { get; init; }

    /// <summary>Events that were due when the time was up.</summary>
    public required int Skipped { get; init; }

    public required int Requests { get; init; }

    public required long Tokens { get; init; }

    /// <summary>Requests sent again because the gateway process that they went through was killed.</summary>
    public required int Retries { get; init; }

    public required IReadOnlyCollection<string> Mismatches { get; init; }

    public required IReadOnlyCollection<string> Errors { get; init; }

    /// <summary>Median time between two pieces of a stream; not part of any pause.</summary>
    public required double NormalGapMs { get; init; }

    /// <summary>Pauses of running streams, the longest of each event.</summary>
    public required IReadOnlyDictionary<ChaosKind, PauseSummary> Pauses { get; init; }

    /// <summary>Pauses at deaths: kills and stops of silos.</summary>
    public required PauseSummary Deaths { get; init; }

    /// <summary>Pauses at all events.</summary>
    public required PauseSummary All { get; init; }

    /// <summary>Whether the promises held.</summary>
    public bool Holds => Mismatches.Count == 0 && Errors.Count == 0 && Requests > 0;

    public static ChaosReport Of(ChaosSettings settings, ChaosRun run, LoadRunner load)
    {
        Exchange[] exchanges = [.. load.Exchanges];
        double normal = Chaos.Pauses.NormalGapMs(exchanges);
        (ChaosKind Kind, double PauseMs)[] pauses = [.. run.Disturbances
            .Select(disturbance => (disturbance.Kind, Pause: Chaos.Pauses.LongestMs(disturbance, exchanges, normal)))
            .Where(pause => pause.Pause is not null).Select(pause => (pause.Kind, Math.Max(0, pause.Pause!.Value)))];
        return new ChaosReport
        {
            Seed = settings.Seed,
            Minutes = settings.Minutes,
            Silos = settings.Silos,
            Replicas = settings.Replicas,
            Counts = Enum.GetValues<ChaosKind>().ToDictionary(kind => kind, kind => run.Disturbances.Count(disturbance => disturbance.Kind == kind)),
            Skipped = run.Skipped,
            Requests = exchanges.Length + load.Errors.Count,
            Tokens = exchanges.Sum(exchange => (long)exchange.Answer.CompletionTokens),
            Retries = load.Retries,
            Mismatches = load.Mismatches,
            Errors = [.. load.Errors, .. run.Faults],
            NormalGapMs = normal,
            Pauses = Enum.GetValues<ChaosKind>().ToDictionary(kind => kind, kind => PauseSummary.Of(pauses.Where(pause => pause.Kind == kind).Select(pause => pause.PauseMs))),
            Deaths = PauseSummary.Of(pauses.Where(pause => pause.Kind is ChaosKind.Kill or ChaosKind.Stop).Select(pause => pause.PauseMs)),
            All = PauseSummary.Of(pauses.Select(pause => pause.PauseMs)),
        };
    }

    public void Write(IAnsiConsole console, bool json)
    {
        if (json)
        {
            console.Profile.Out.Writer.WriteLine(ToJson());
            return;
        }

        console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{Requests} requests, {Tokens} tokens: {Mismatches.Count} mismatches, {Errors.Count} errors; {Retries} sent again after the death of their gateway process (a broken connection there is no server error)"));
        Table table = new Table().Border(TableBorder.Simple).AddColumns("event", "times", "pauses", "p50 ms", "p99 ms", "max ms");
        foreach (int column in new[] { 1, 2, 3, 4, 5 }) table.Columns[column].RightAligned();
        foreach (ChaosKind kind in Counts.Keys) Add(table, Name(kind), Counts[kind], Pauses[kind]);
        Add(table, "deaths", Counts[ChaosKind.Kill] + Counts[ChaosKind.Stop], Deaths);
        Add(table, "all", Counts.Values.Sum(), All);
        console.Write(table);
        console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"a pause is the longest gap of any stream that ran when the event began, until the cluster was whole again, less the normal gap of {NormalGapMs:F1} ms{(Skipped > 0 ? $"; {Skipped} events were left out for want of time" : "")}"));
        foreach (string mismatch in Mismatches.Take(20)) console.WriteLine($"mismatch: {mismatch}");
        foreach (string error in Errors.Take(20)) console.WriteLine($"error: {error}");
    }

    private string ToJson() => JsonSerializer.Serialize(new
    {
        Seed,
        Minutes,
        Silos,
        Replicas,
        Kills = Counts[ChaosKind.Kill],
        Stops = Counts[ChaosKind.Stop],
        Joins = Counts[ChaosKind.Join],
        Drains = Counts[ChaosKind.Drain],
        GatewayKills = Counts[ChaosKind.Gateway],
        Skipped,
        Requests,
        Tokens,
        Retries,
        Mismatches = Mismatches.Count,
        Errors = Errors.Count,
        NormalGapMs = Math.Round(NormalGapMs, 2),
        PauseMs = new { All = Rounded(All), Deaths = Rounded(Deaths), Kill = Rounded(Pauses[ChaosKind.Kill]), Stop = Rounded(Pauses[ChaosKind.Stop]), Join = Rounded(Pauses[ChaosKind.Join]), Drain = Rounded(Pauses[ChaosKind.Drain]), Gateway = Rounded(Pauses[ChaosKind.Gateway]) },
        MismatchDetails = Mismatches,
        ErrorDetails = Errors,
    }, Json);

    private static object Rounded(PauseSummary pauses) => new { pauses.Count, P50 = Math.Round(pauses.P50Ms, 1), P99 = Math.Round(pauses.P99Ms, 1), Max = Math.Round(pauses.MaxMs, 1) };

    private static void Add(Table table, string name, int times, PauseSummary pauses) => table.AddRow(
        name, Number(times), Number(pauses.Count), pauses.Count == 0 ? "-" : Number(pauses.P50Ms), pauses.Count == 0 ? "-" : Number(pauses.P99Ms), pauses.Count == 0 ? "-" : Number(pauses.MaxMs));

    private static string Name(ChaosKind kind) => kind == ChaosKind.Gateway ? "gateway kill" : kind.ToString().ToLowerInvariant();

    private static string Number(double number) => number.ToString("F0", CultureInfo.InvariantCulture);
}
