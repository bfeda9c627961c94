using System.CommandLine;
using System.Globalization;
using Conclave.Model;
using Conclave.Model.Tokenization;

namespace Conclave.Cli.Commands.Bench;

/// <summary><c>conclave bench serve</c>: how many requests a second a server takes, and how long they wait, at rising rates until it is saturated.</summary>
internal static class ServeBench
{
    private const double FirstRate = 0.5;
    private const int MaxRates = 12;

    private static readonly ModelOptions Model = new();
    private static readonly Option<string?> Url = new("--url") { Description = "A running server, such as http://127.0.0.1:8080 (default: one in this process); --model then gives the tokenizer only", HelpName = "URL" };
    private static readonly Option<string> Rates = new("--rates") { Description = "Requests a second, one run each; auto: doubled from 0.5 until the server is saturated", DefaultValueFactory = _ => "auto", HelpName = "R,R,..." };
    private static readonly Option<double> Duration = new("--duration") { Description = "Seconds of arrivals at each rate", DefaultValueFactory = _ => 20, HelpName = "S" };
    private static readonly Option<int> PromptTokens = new("--prompt-tokens") { Description = "Tokens of a prompt, of random text", DefaultValueFactory = _ => 128, HelpName = "N" };
    private static readonly Option<int> OutputTokens = new("--output-tokens") { Description = "Tokens of an answer", DefaultValueFactory = _ => 64, HelpName = "N" };
    private static readonly Option<int> Seed = new("--seed") { Description = "Of arrivals, prompts and sampling", DefaultValueFactory = _ => 1, HelpName = "N" };
    private static readonly Option<bool> Json = new("--json") { Description = "Print the figures as JSON" };

    public static Command Create()
    {
        var command = new Command("serve", "Open-loop Poisson load over HTTP at rising rates: throughput, time to first token, time between tokens");
        Model.AddTo(command);
        foreach (Option option in new Option[] { Url, Rates, Duration, PromptTokens, OutputTokens, Seed, Json }) command.Add(option);
        command.SetAction(Run);
        return command;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        foreach (Option<int> option in new[] { PromptTokens, OutputTokens })
            if (parsed.GetValue(option) is var value && value is < 1 or > 1_000_000) throw new ArgumentException($"{option.Name}: {value} is out of range; it must be 1 to 1000000");
        double seconds = parsed.GetValue(Duration);
        if (!(seconds is > 0 and <= 86_400)) throw new ArgumentException(FormattableString.Invariant($"--duration: {seconds} is out of range; it must be above 0 to 86400 seconds"));
        double[]? rates = ParseRates(parsed.GetValue(Rates)!);
        string directory = Model.Directory(parsed);
        ModelConfig config = BenchModel.Configuration(directory, "");
        if ((long)parsed.GetValue(PromptTokens) + parsed.GetValue(OutputTokens) > config.MaxPositions)
            throw new ArgumentException($"--prompt-tokens, --output-tokens: {parsed.GetValue(PromptTokens)} and {parsed.GetValue(OutputTokens)} are more than the model's context of {config.MaxPositions}");
        await using BenchServer? own = parsed.GetValue(Url) is null ? await BenchServer.Start(Model.Silo(parsed), Model.Variant(parsed), cancellationToken) : null;
        Uri gateway = own?.Address ?? Server(parsed.GetValue(Url)!);
        using var load = new ServeLoad(gateway, Tokenizer.Load(directory), parsed.GetValue(PromptTokens), parsed.GetValue(OutputTokens), parsed.GetValue(Seed));

        // Pages of the weights are touched, code is compiled; not measured.
        ServeFigures warmUp = await load.Run(10, TimeSpan.FromSeconds(0.5), cancellationToken);
        if (warmUp is { Completed: 0, Failed: > 0 }) throw new InvalidDataException("the server answers none of these requests; what it says stands above");
        List<ServeFigures> figures = [];
        for (int i = 0; i < (rates?.Length ?? MaxRates); i++)
        {
            figures.Add(await load.Run(rates?[i] ?? FirstRate * Math.Pow(2, i), TimeSpan.FromSeconds(seconds), cancellationToken));
            BenchOptions.Progress($"{figures[^1].Rate} requests/s: {figures[^1].TokensPerSecond:F0} tokens/s");
            if (rates is null && figures[^1].IsSaturated) break;
        }

        if (parsed.GetValue(Json)) BenchOptions.PrintJson(figures);
        else Show(figures);
        return CommandLine.Done;
    }

    private static Uri Server(string text) => Uri.TryCreate(text.TrimEnd('/') + "/", UriKind.Absolute, out Uri? url) && url.Scheme is "http" or "https"
        ? url
        : throw new ArgumentException($"--url: '{text}' is not an address such as http://127.0.0.1:8080");

    /// <summary>The rates to run; null for auto.</summary>
    private static double[]? ParseRates(string text) => text == "auto" ? null :
    [
        .. text.Split(',').Select(part => double.TryParse(part, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double rate) && rate is > 0 and <= 100_000
            ? rate
            : throw new ArgumentException($"--rates: '{part}' is neither auto nor a number of requests a second above 0 to 100000")),
    ];

    private static void Show(List<ServeFigures> figures)
    {
        var table = new TextTable(0, "req/s", "sent", "done", "429", "failed", "asked\ntok/s", "given\ntok/s", "TTFT ms\np50", "\np99", "gap ms\np50", "\np99");
        foreach (ServeFigures f in figures)
        {
            table.AddRow(
                Number(f.Rate), $"{f.Requests}", $"{f.Completed}", $"{f.Rejected}", $"{f.Failed}", $"{f.OfferedTokensPerSecond:F0}", $"{f.TokensPerSecond:F0}",
                Number(f.FirstTokenMs.P50), Number(f.FirstTokenMs.P99), Number(f.BetweenTokensMs.P50), Number(f.BetweenTokensMs.P99));
        }

        table.Write();
        Console.WriteLine("asked, given: tokens a second asked for, and delivered while requests arrived;\nTTFT, gap: time to the first token, and between two pieces of a stream.");

        static string Number(double? value) => value?.ToString(value < 100 ? "0.#" : "0", CultureInfo.InvariantCulture) ?? "";
    }
}
