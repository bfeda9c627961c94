using System.CommandLine;
using System.Globalization;
using System.Text.Json;

namespace Conclave.Cli.Commands.Bench;

/// <summary>What the options of measurements have in common.</summary>
internal static class BenchOptions
{
    private static readonly JsonSerializerOptions SnakeCase = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower, WriteIndented = true };
    private static readonly JsonSerializerOptions CamelCase = new() { PropertyNamingPolicy = JsonNamingPolicy.CamelCase, WriteIndented = true };

    /// <summary>Checks that each of these options is at least 1.</summary>
    /// <exception cref="ArgumentException">One is not.</exception>
    public static void RequirePositive(ParseResult parsed, params ReadOnlySpan<Option<int>> options)
    {
        foreach (Option<int> option in options)
            if (parsed.GetValue(option) < 1) throw new ArgumentException($"{option.Name}: {parsed.GetValue(option)} is out of range; it must be at least 1");
    }

    /// <summary>The numbers of an option such as <c>1,8,32</c>.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="option">The option.</param>
    /// <param name="most">Largest number; the smallest is 1.</param>
    /// <exception cref="ArgumentException">It is no list, or a number is out of range.</exception>
    public static int[] Numbers(ParseResult parsed, Option<string> option, int most)
    {
        string text = parsed.GetValue(option)!;
        return [.. text.Split(',', StringSplitOptions.TrimEntries).Select(part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= 1 && number <= most
            ? number
            : throw new ArgumentException($"{option.Name}: '{text}' is no list of numbers from 1 to {most} such as 1,8,32"))];
    }

    /// <summary>Prints figures for programs, names with underscores.</summary>
    public static void PrintJson<T>(T figures) => Console.WriteLine(JsonSerializer.Serialize(figures, SnakeCase));

    /// <summary>Prints figures for programs, names with capitals inside: those of a cluster's parts.</summary>
    public static void PrintCamelCaseJson<T>(T figures) => Console.WriteLine(JsonSerializer.Serialize(figures, CamelCase));
}
