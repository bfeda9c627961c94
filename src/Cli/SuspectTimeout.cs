using System.CommandLine;

namespace Conclave.Cli;

/// <summary>The option by which silos and gateways are told how much silence they forgive.</summary>
internal static class SuspectTimeout
{
    /// <summary>Heartbeats are a tenth of a second apart, and a few of them may be late.</summary>
    private const double LeastSeconds = 0.3, MostSeconds = 600;

    /// <summary>The option; <paramref name="who"/> is whose silence is meant.</summary>
    public static Option<double?> Option(string who, double defaultSeconds) => new("--suspect-timeout")
    {
        Description = FormattableString.Invariant($"Seconds of silence after which {who} is taken for dead, though its connections stand; more where machines are so busy that processes stand still (default: {defaultSeconds})"),
        HelpName = "S",
    };

    /// <summary>Milliseconds; null if nothing was said.</summary>
    /// <exception cref="ArgumentException">Out of range.</exception>
    public static int? Ms(ParseResult parsed, Option<double?> option) => parsed.GetValue(option) switch
    {
        null => null,
        >= LeastSeconds and <= MostSeconds and var seconds => (int)(seconds * 1000),
        var seconds => throw new ArgumentException(FormattableString.Invariant($"--suspect-timeout: {seconds} is out of range; it must be {LeastSeconds} to {MostSeconds} seconds")),
    };
}
