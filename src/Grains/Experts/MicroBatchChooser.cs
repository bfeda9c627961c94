using System.Numerics;

namespace Conclave.Grains;

/// <summary>
/// Decides by measured times whether steps are cut into two micro-batches: two hide communication, but read every weight twice. Steps are compared with steps of about the same
/// number of rows and layers; estimates fade, and the mode that seems slower is tried again now and then. Not thread-safe.
/// </summary>
internal sealed class MicroBatchChooser
{
    private const int TrialsAtFirst = 4, StepsBetweenTrials = 64, Sizes = 18;
    private const double NewWeight = 0.2;

    private readonly Estimate[] _wholePasses = new Estimate[Sizes], _shortPasses = new Estimate[Sizes];

    /// <summary>1 or 2 for a step of <paramref name="rows"/> rows through <paramref name="layers"/> layers.</summary>
    public int Choose(int rows, int layers)
    {
        if (rows < 2) return 1;
        ref Estimate estimate = ref Of(rows, layers);
        estimate.Steps++;
        if (estimate.Trials1 < TrialsAtFirst) return 1;
        if (estimate.Trials2 < TrialsAtFirst) return 2;
        int better = Better(estimate);
        return estimate.Steps % StepsBetweenTrials == 0 ? 3 - better : better;
    }

    /// <summary>A step of that size took <paramref name="time"/> with <paramref name="microBatches"/>.</summary>
    public void Record(int rows, int layers, int microBatches, TimeSpan time)
    {
        if (rows < 2) return;
        ref Estimate estimate = ref Of(rows, layers);
        if (microBatches == 1) Fade(ref estimate.Time1, estimate.Trials1++, time.TotalMilliseconds);
        else Fade(ref estimate.Time2, estimate.Trials2++, time.TotalMilliseconds);
    }

    /// <summary>The mode that seems faster for steps of that size.</summary>
    public int Preferred(int rows, int layers) => rows < 2 ? 1 : Better(Of(rows, layers));

    // One is as good and simpler where two gains less than one part in a hundred.
    private static int Better(in Estimate estimate) => estimate.Trials2 > 0 && estimate.Time2 < estimate.Time1 * 0.99 ? 2 : 1;

    /// <summary>The first time of a mode may include warming up: it does not count. One outlier moves the estimate by little.</summary>
    private static void Fade(ref double estimate, int trials, double time) =>
        estimate = trials <= 1 ? time : estimate + (NewWeight * (Math.Min(time, 2 * estimate) - estimate));

    private ref Estimate Of(int rows, int layers) => ref (layers > 1 ? _wholePasses : _shortPasses)[Math.Min(BitOperations.Log2((uint)rows), Sizes - 1)];

    /// <summary>Fading means in milliseconds, and how many steps they come from.</summary>
    private struct Estimate
    {
        public double Time1;
        public double Time2;
        public int Trials1;
        public int Trials2;
        public long Steps;
    }
}
