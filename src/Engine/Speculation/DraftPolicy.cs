using System.Numerics;

namespace Conclave.Engine.Speculation;

/// <summary>
/// Decides how many tokens to draft, from what it has seen: how often the first, second, ... draft was right, and what a step with so many drafts takes over one without. A step with n
/// drafts gives each sequence <c>1 + a1 + a1 a2 + ...</c> tokens in <c>cost(n)</c>; the best rate wins. Every so often a neighbour of the best is tried for a few steps, and compared with
/// the steps just before: contexts that grow and a machine that others use as well change both alike. Where drafts pay at no load and even following takes a part of the step that matters
/// (a tiny model), there are pauses without it, each twice as long as the one before. It decides about time alone: no token depends on it.
/// </summary>
internal sealed class DraftPolicy
{
    private const int TrialSteps = 3;
    private const int FollowingMemory = 16;
    private const int UsualSteps = 5;
    private const int LongestInterval = 512;
    private const int IntervalAfterChange = 16;

    // More drafts must promise so much more: figures are never quite the same twice.
    private const double Margin = 1.03;

    // Following that takes less of a step goes on for ever: then drafts can begin at any time.
    private const double LeastShareToPause = 0.015;
    private const int TrialsBeforePause = 3;
    private const int FirstPauseSteps = 1024;
    private const int LongestPauseSteps = 1 << 15;

    // Until there are measurements: good enough to be tried.
    private const double FirstAcceptance = 0.7;
    private const int FirstWeight = 8;
    private const int LongestMemory = 256;

    // What was seen before a trial counts for no more, for it is long ago.
    private const int MemoryBeforeTrial = 32;

    private readonly SpeculationOptions _options;
    private readonly double[] _acceptance;
    private readonly int[] _acceptanceWeights;

    // By the logarithm of the number of sequences.
    private readonly DraftCosts[] _costs;

    // Of the steps under way, all with about as many sequences, the time for each: those as usual, and those of a trial.
    private readonly RecentTimes _usual = new(UsualSteps);
    private readonly RecentTimes _tried = new(TrialSteps);
    private DraftCosts? _current;
    private int _sequences;
    private int? _trial;

    // Of a step, on average, what following alone takes.
    private double _followingShare;
    private int _trialsSincePause;
    private int _nextPauseSteps = FirstPauseSteps;
    private int _pauseStepsLeft;

    public DraftPolicy(SpeculationOptions options, int maxBatch)
    {
        _options = options;
        _acceptance = new double[options.Drafts];
        _acceptanceWeights = new int[options.Drafts];
        Array.Fill(_acceptance, FirstAcceptance);
        Array.Fill(_acceptanceWeights, FirstWeight);
        _costs = [.. Enumerable.Range(0, BitOperations.Log2((uint)maxBatch) + 1).Select(_ => new DraftCosts(options.Drafts))];
    }

    /// <summary>Drafts for each of the sequences that decode in the next step: the best number, or now and then one beside it.</summary>
    /// <param name="sequences">How many decode.</param>
    /// <param name="lastMs">What drafting after the last call and the step behind it took, milliseconds; null if there was anything but decoding in it, or nothing.</param>
    /// <param name="isComparable">Every sequence that decodes gets the drafts: if some cannot, times say nothing about them.</param>
    public int Next(int sequences, double? lastMs, bool isComparable = true)
    {
        if (!_options.IsAuto)
            return _options.Drafts;
        if (lastMs is { } milliseconds && isComparable)
            Record(milliseconds / _sequences);
        if (sequences == 0)
            return 0;

        // Answers may be short: what one of them began is gone on with in the next.
        DraftCosts costs = CostsOf(sequences);
        if (costs != _current || !isComparable)
            Restart();
        (_current, _sequences) = (costs, sequences);
        if (!isComparable)
            return costs.Best;
        if (_trial is { } trial)
            return trial;
        int best = FindBest(costs);
        if (best != costs.Best)
            Change(costs, best);
        if (BeginsPause())
            return best;
        if (++costs.StepsSinceTrial >= costs.TrialInterval && _usual.Count >= TrialSteps)
            _trial = BeginTrial(costs);
        return _trial ?? best;
    }

    /// <summary>Whether the sequences of the next step, of which <paramref name="sequences"/> decode, are not even to be followed: a pause, of which this counts a step.</summary>
    public bool Pauses(int sequences)
    {
        if (_pauseStepsLeft == 0)
            return false;
        if (sequences == 0 || --_pauseStepsLeft > 0)
            return true;

        // Whoever begins from now on is followed, and what was measured is measured again as in the beginning.
        Restart();
        _trialsSincePause = 0;
        foreach (DraftCosts costs in _costs)
            costs.TrialInterval = 1;
        return true;
    }

    /// <summary>Takes note that following the sequences of a step without drafts took so much of its time.</summary>
    public void RecordFollowing(double share) => _followingShare += (share - _followingShare) / FollowingMemory;

    /// <summary>Takes note of the drafts of one sequence: so many were right, and where it says so the one behind them was wrong.</summary>
    public void RecordDrafts(int right, bool nextWasWrong)
    {
        for (int i = 0; i < right; i++)
            Record(i, 1);
        if (nextWasWrong)
            Record(right, 0);
    }

    /// <summary>Tokens that so many drafts promise in the time of a step without any.</summary>
    internal double Rate(DraftCosts costs, int drafts)
    {
        double tokens = 1, allRight = 1;
        for (int i = 0; i < drafts; i++)
            tokens += allRight *= _acceptance[i];
        return tokens / costs.Of(drafts);
    }

    private static int OneBeside(DraftCosts costs, int maxDrafts)
    {
        int drafts = costs.TriedMore ? costs.Best + 1 : costs.Best - 1;
        return drafts < 0 ? 1 : drafts > maxDrafts ? costs.Best - 1 : drafts;
    }

    /// <summary>What is known of such a load; of one that is new, what is known of the load that is most like it.</summary>
    private DraftCosts CostsOf(int sequences)
    {
        int load = BitOperations.Log2((uint)sequences);
        DraftCosts costs = _costs[load];
        for (int distance = 1; !costs.IsMeasured && distance < _costs.Length; distance++)
        {
            foreach (int other in (ReadOnlySpan<int>)[load - distance, load + distance])
            {
                if ((uint)other >= (uint)_costs.Length || !_costs[other].IsMeasured)
                    continue;
                costs.Assume(_costs[other]);
                return costs;
            }
        }

        return costs;
    }

    private void Change(DraftCosts costs, int best)
    {
        costs.Best = best;
        costs.TrialInterval = Math.Min(costs.TrialInterval, IntervalAfterChange);
        _usual.Clear();
        if (best > 0)
            _nextPauseSteps = FirstPauseSteps;
    }

    private bool BeginsPause()
    {
        if (_followingShare < LeastShareToPause || _trialsSincePause < TrialsBeforePause || !Array.TrueForAll(_costs, static costs => costs.Best == 0))
            return false;
        _pauseStepsLeft = _nextPauseSteps;
        _nextPauseSteps = Math.Min(2 * _nextPauseSteps, LongestPauseSteps);
        return true;
    }

    private int BeginTrial(DraftCosts costs)
    {
        costs.StepsSinceTrial = 0;
        _trialsSincePause++;
        costs.TrialInterval = Math.Min(2 * costs.TrialInterval, LongestInterval);
        costs.TriedMore = !costs.TriedMore;
        _tried.Clear();
        int trial = OneBeside(costs, _options.Drafts);
        if (trial > costs.Best)
            _acceptanceWeights[trial - 1] = Math.Min(_acceptanceWeights[trial - 1], MemoryBeforeTrial);
        return trial;
    }

    private void Restart()
    {
        _trial = null;
        _usual.Clear();
    }

    private void Record(double milliseconds)
    {
        DraftCosts costs = _current!;
        if (_trial is not { } trial)
        {
            _usual.Add(milliseconds);
            return;
        }

        _tried.Add(milliseconds);
        if (_tried.Count < TrialSteps)
            return;
        double ratio = _tried.Median / _usual.Median;
        costs.Record(Math.Max(trial, costs.Best), trial > costs.Best ? ratio : 1 / ratio);
        _trial = null;
    }

    private int FindBest(DraftCosts costs)
    {
        int best = costs.Best;
        if (!costs.IsMeasured)
            return best;
        double rate = Rate(costs, best);
        for (int drafts = 0; drafts <= costs.MostKnown; drafts++)
        {
            double other = Rate(costs, drafts) / (drafts > costs.Best ? Margin : 1);
            if (drafts != costs.Best && other > rate)
                (best, rate) = (drafts, other);
        }

        return best;
    }

    private void Record(int draft, double right)
    {
        int weight = _acceptanceWeights[draft] = Math.Min(_acceptanceWeights[draft] + 1, LongestMemory);
        _acceptance[draft] += (right - _acceptance[draft]) / weight;
    }
}
