namespace Conclave.Engine.Speculation;

/// <summary>What steps with drafts take, relative to those without, for loads of about the same number of sequences; and the number of drafts that pays there.</summary>
/// <param name="maxDrafts">Most drafts.</param>
internal sealed class DraftCosts(int maxDrafts)
{
    // Of what was not measured itself.
    private const double FirstRatio = 1.3;
    private const double Weight = 1.0 / 4;
    private const double MostChange = 1.5;

    // Of a step with so many drafts over one with a draft less; 0: not known.
    private readonly double[] _ratios = new double[maxDrafts + 1];

    // Which of them were measured at this load, not assumed.
    private readonly bool[] _isMeasured = new bool[maxDrafts + 1];

    /// <summary>Drafts that are believed to pay most; none before there is a measurement, since a trial costs three steps and a wrong guess all of a short answer.</summary>
    public int Best { get; set; }

    /// <summary>Whether anything was measured at this load.</summary>
    public bool IsMeasured => Array.IndexOf(_isMeasured, true) >= 0;

    /// <summary>The most drafts of which the cost is known; one is supposed to be known.</summary>
    public int MostKnown
    {
        get
        {
            int drafts = Math.Min(1, maxDrafts);
            while (drafts < maxDrafts && _ratios[drafts] > 0 && _ratios[drafts + 1] > 0)
                drafts++;
            return drafts;
        }
    }

    /// <summary>Steps from one trial to the next.</summary>
    public int TrialInterval { get; set; } = 1;

    /// <summary>Steps since the last trial.</summary>
    public int StepsSinceTrial { get; set; }

    /// <summary>Whether one more was tried last, not one less.</summary>
    public bool TriedMore { get; set; } = true;

    /// <summary>What a step with <paramref name="drafts"/>, at most <see cref="MostKnown"/>, takes over one without.</summary>
    public double Of(int drafts)
    {
        double cost = 1;
        for (int i = 1; i <= drafts; i++)
            cost *= _ratios[i] > 0 ? _ratios[i] : FirstRatio;
        return cost;
    }

    /// <summary>Believes, as long as nothing is measured, what was measured at another load.</summary>
    public void Assume(DraftCosts other)
    {
        other._ratios.CopyTo(_ratios, 0);
        Best = other.Best;
    }

    /// <summary>Takes note that a step with <paramref name="drafts"/>, at least 1, took <paramref name="ratio"/> times one with one draft less.</summary>
    public void Record(int drafts, double ratio)
    {
        ref double known = ref _ratios[drafts];
        known = !_isMeasured[drafts] ? ratio : known + (Weight * (Math.Clamp(ratio, known / MostChange, known * MostChange) - known));
        _isMeasured[drafts] = true;
    }
}
