using System.CommandLine;
using System.Globalization;
using System.Text.Json;

namespace Conclave.Cli.Commands.Bench;

/// <summary>What the options of measurements have in common.</summary>
internal static class BenchOptions
{
    private const int MostThreads = 1024;
    private static readonly JsonSerializerOptions SnakeCase = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower, WriteIndented = true };
    private static readonly JsonSerializerOptions CamelCase = new() { PropertyNamingPolicy = JsonNamingPolicy.CamelCase, WriteIndented = true };

    /// <summary>Checks that each of these options is at least 1.</summary>
    /// <exception cref="ArgumentException">One is not.</exception>
    public static void RequirePositive(ParseResult parsed, params ReadOnlySpan<Option<int>> options)
    {
        foreach (Option<int> option in options)
            if (parsed.GetValue(option) < 1) throw new ArgumentException($"{option.Name}: {parsed.GetValue(option)} is out of range; it must be at least 1");
    }

    /// <summary>Checks a number of threads, and warns of more than there are processors: they wait for each other, and the figures say so without saying why.</summary>
    /// <exception cref="ArgumentException">It is not from 1 to <see cref="MostThreads"/>.</exception>
    public static void RequireThreads(ParseResult parsed, Option<int> option)
    {
        int threads = parsed.GetValue(option);
        if (threads is < 1 or > MostThreads) throw new ArgumentException($"{option.Name}: {threads} is out of range; it must be 1 to {MostThreads}");
        if (threads > Environment.ProcessorCount) Progress($"{option.Name}: {threads} threads share {Environment.ProcessorCount} processors and wait for each other; take at most {Environment.ProcessorCount} for figures that mean something");
    }

    /// <summary>Says on stderr what a long measurement is at; figures go to stdout.</summary>
    public static void Progress(FormattableString text) => Console.Error.WriteLine("conclave: " + FormattableString.Invariant(text));

    /// <summary>The numbers of an option such as <c>1,8,32</c>.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="option">The option.</param>
    /// <param name="most">Largest number.</param>
    /// <param name="least">Smallest number.</param>
    /// <exception cref="ArgumentException">It is no list, or a number is out of range.</exception>
    public static int[] Numbers(ParseResult parsed, Option<string> option, int most, int least = 1)
    {
        string text = parsed.GetValue(option)!;
        return [.. text.Split(',', StringSplitOptions.TrimEntries).Select(part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= least && number <= most
            ? number
            : throw new ArgumentException($"{option.Name}: '{text}' is no list of numbers from {least} to {most} such as 1,8,32"))];
    }

    /// <summary>Prints figures for programs, names with underscores.</summary>
    public static void PrintJson<T>(T figures) => Console.WriteLine(JsonSerializer.Serialize(figures, SnakeCase));

    /// <summary>Prints figures for programs, names with capitals inside: those of a cluster's parts.</summary>
    public static void PrintCamelCaseJson<T>(T figures) => Console.WriteLine(JsonSerializer.Serialize(figures, CamelCase));
}
