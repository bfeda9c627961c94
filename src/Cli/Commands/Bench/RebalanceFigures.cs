using System.Diagnostics;

namespace Conclave.Cli.Commands.Bench;

/// <summary>One change of the map; times are ticks of <see cref="Stopwatch"/>.</summary>
/// <param name="AskedTicks">When it was asked for: planning and loading begin.</param>
/// <param name="PublishedTicks">When its version was seen in use.</param>
/// <param name="SettledTicks">When the windows around it ended: what follows is quiet.</param>
/// <param name="Moves">(layer, expert) pairs that some slot had to load.</param>
/// <param name="MovedBytes">Bytes of their weights.</param>
internal sealed record MapChange(long AskedTicks, long PublishedTicks, long SettledTicks, int Moves, long MovedBytes);

/// <summary>Steps of one kind of window, of all ranks together.</summary>
/// <param name="Steps">How many.</param>
/// <param name="MedianMs">Median step time.</param>
/// <param name="P99Ms">Its 99th percentile.</param>
/// <param name="MedianRatio">Median of step time over the median of the quiet steps beside it: same rank, same map.</param>
/// <param name="P99Ratio">The 99th percentile of the same.</param>
/// <param name="WithinTarget">Share of the steps, 0 to 1, whose own ratio is at most <see cref="RebalanceFigures.Target"/>.</param>
internal sealed record StepFigures(int Steps, double MedianMs, double P99Ms, double MedianRatio, double P99Ratio, double WithinTarget);

/// <summary>What the measurement of a rebalance came to.</summary>
/// <param name="Quiet">Nothing moves.</param>
/// <param name="Loading">From the request to 100 ms before the version is in use.</param>
/// <param name="Publication">100 ms before to 100 ms after.</param>
/// <param name="Settling">Until old weights are gone: the second after.</param>
/// <param name="Disturbed">The latter three together.</param>
/// <param name="WorstChange">The largest median ratio of a single change's disturbed steps.</param>
/// <param name="LoadingMs">Median time from the request until the version is in use, of changes that load something.</param>
/// <param name="Changes">Changes of the map.</param>
/// <param name="Moves">(layer, expert) pairs loaded in all.</param>
/// <param name="MovedBytes">Their bytes.</param>
internal sealed record RebalanceFigures(
    StepFigures Quiet, StepFigures Loading, StepFigures Publication, StepFigures Settling, StepFigures Disturbed, double WorstChange, double LoadingMs, int Changes, int Moves, long MovedBytes)
{
    /// <summary>What the disturbed median may be of the quiet one.</summary>
    public const double Target = 1.2;

    private static readonly long Around = Stopwatch.Frequency / 10;

    /// <summary>Whether the promise holds.</summary>
    public bool Holds => Math.Max(Disturbed.MedianRatio, Math.Max(Ratio(Loading), Ratio(Publication))) <= Target;

    /// <summary>
    /// Sorts the steps of each rank into windows. Quiet window i lies before change i (and the last one behind the last change); steps before a publication are compared with the
    /// quiet window before it, later ones with the one that follows, since another map may well be faster or slower.
    /// </summary>
    /// <param name="ranks">Steps of each rank in order.</param>
    /// <param name="changes">All changes in order.</param>
    /// <param name="beginTicks">Begin of the first quiet window.</param>
    /// <param name="endTicks">End of the last.</param>
    public static RebalanceFigures Of(IReadOnlyList<LoggedStep[]> ranks, IReadOnlyList<MapChange> changes, long beginTicks, long endTicks)
    {
        List<Measured> quiet = [], loading = [], publication = [], settling = [];
        var ofChange = changes.Select(_ => new List<Measured>()).ToArray();
        foreach (LoggedStep[] all in ranks)
        {
            // A step with prompt rows takes longer whatever the map does. Steps belong to the window they end in: those that touch a short window would be the long ones.
            LoggedStep[] steps = [.. all.Where(step => step.PromptTokens == 0)];
            for (int i = 0; i <= changes.Count; i++)
            {
                long from = i == 0 ? beginTicks : changes[i - 1].SettledTicks, until = i == changes.Count ? endTicks : changes[i].AskedTicks;
                LoggedStep[] still = [.. EndIn(steps, from, until)];
                if (still.Length == 0) continue;
                double median = Quantile(still.Select(step => step.DurationMs), 0.5);
                quiet.AddRange(still.Select(step => new Measured(step.DurationMs, step.DurationMs / median)));
                if (i > 0)
                {
                    MapChange last = changes[i - 1];
                    Add(publication, ofChange[i - 1], EndIn(steps, last.PublishedTicks, last.PublishedTicks + Around), median);
                    Add(settling, ofChange[i - 1], EndIn(steps, last.PublishedTicks + Around, last.SettledTicks), median);
                }

                if (i < changes.Count)
                {
                    MapChange next = changes[i];
                    long close = Math.Max(next.AskedTicks, next.PublishedTicks - Around);
                    Add(loading, ofChange[i], EndIn(steps, next.AskedTicks, close), median);
                    Add(publication, ofChange[i], EndIn(steps, close, next.PublishedTicks), median);
                }
            }
        }

        double[] worst = [.. ofChange.Where(steps => steps.Count > 0).Select(steps => Quantile(steps.Select(step => step.Ratio), 0.5))];
        MapChange[] moving = [.. changes.Where(change => change.Moves > 0)];
        return new RebalanceFigures(
            Figures(quiet), Figures(loading), Figures(publication), Figures(settling), Figures([.. loading, .. publication, .. settling]), worst.Length == 0 ? 0 : worst.Max(),
            Quantile(moving.Select(change => Stopwatch.GetElapsedTime(change.AskedTicks, change.PublishedTicks).TotalMilliseconds), 0.5),
            changes.Count, moving.Sum(change => change.Moves), moving.Sum(change => change.MovedBytes));
    }

    private static IEnumerable<LoggedStep> EndIn(LoggedStep[] steps, long from, long until) => steps.Where(step => step.EndTicks > from && step.EndTicks <= until);

    private static void Add(List<Measured> window, List<Measured> change, IEnumerable<LoggedStep> steps, double quietMedianMs)
    {
        Measured[] measured = [.. steps.Select(step => new Measured(step.DurationMs, step.DurationMs / quietMedianMs))];
        window.AddRange(measured);
        change.AddRange(measured);
    }

    private static double Ratio(StepFigures figures) => figures.Steps == 0 ? 0 : figures.MedianRatio;

    private static StepFigures Figures(List<Measured> steps) => new(
        steps.Count,
        Quantile(steps.Select(step => step.Ms), 0.5), Quantile(steps.Select(step => step.Ms), 0.99), Quantile(steps.Select(step => step.Ratio), 0.5), Quantile(steps.Select(step => step.Ratio), 0.99),
        steps.Count == 0 ? 0 : (double)steps.Count(step => step.Ratio <= Target) / steps.Count);

    /// <summary>0 without values.</summary>
    private static double Quantile(IEnumerable<double> values, double share)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length == 0 ? 0 : sorted[(int)Math.Min(sorted.Length - 1, share * sorted.Length)];
    }

    private readonly record struct Measured(double Ms, double Ratio);
}
