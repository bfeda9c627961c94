using System.Diagnostics;
using Conclave.Model;

namespace Conclave.Cli.Commands.Bench;

/// <summary>What the steps of one kind spend their time with.</summary>
/// <param name="work">Which they are.</param>
internal sealed class StepProfile(string work)
{
    private readonly double[] _ms = new double[Enum.GetValues<StepActivity>().Length];
    private int _steps;

    /// <summary>Adds a step.</summary>
    public void Add(StepTimeline timeline)
    {
        foreach (StepSpan span in timeline.Spans) _ms[(int)span.Activity] += 1e3 * (span.End - span.Start) / Stopwatch.Frequency;
        _steps++;
    }

    /// <summary>Prints several kinds beside each other; nothing where no step was added.</summary>
    public static void Write(IEnumerable<StepProfile> profiles)
    {
        StepProfile[] shown = [.. profiles.Where(profile => profile._steps > 0)];
        if (shown.Length == 0) return;
        var table = new TextTable(1, ["ms a step", .. shown.Select(profile => profile.Heading)]);
        foreach (StepActivity activity in Enum.GetValues<StepActivity>().Where(activity => Array.Exists(shown, profile => profile._ms[(int)activity] > 0)))
            table.AddRow([$"{activity}", .. shown.Select(profile => $"{profile._ms[(int)activity] / profile._steps:F3}")]);
        table.AddRow(["all", .. shown.Select(profile => $"{profile._ms.Sum() / profile._steps:F3}")]);
        table.Write();
    }

    private string Heading => work.Replace(' ', '\n');
}
