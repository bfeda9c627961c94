using System.Numerics;

namespace Conclave.Engine.Speculation;

/// <summary>
/// Decides how many tokens to draft, from what it has seen: how often the first, second, ... draft was right, and what a step with so many drafts takes over one without. A step with n
/// drafts gives each sequence <c>1 + a1 + a1 a2 + ...</c> tokens in <c>cost(n)</c>; the best rate wins. Every so often a neighbour of the best is tried for a few steps, and compared with
/// the steps just before: contexts that grow and a machine that others use as well change both alike. It decides about time alone: no token depends on it.
/// </summary>
internal sealed class DraftPolicy
{
    private const int TrialSteps = 3;
    private const int UsualSteps = 5;
    private const int LongestInterval = 128;

    // Another number of drafts must promise so much more: figures are never quite the same twice.
    private const double Margin = 1.02;

    // Until there are measurements: good enough to be tried.
    private const double FirstAcceptance = 0.7;
    private const int FirstWeight = 8;
    private const int LongestMemory = 256;

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
    public int Next(int sequences, double? lastMs)
    {
        if (!_options.IsAuto)
            return _options.Drafts;
        if (lastMs is { } milliseconds)
            Record(milliseconds / _sequences);
        if (sequences == 0)
            return 0;

        // Answers may be short: what one of them began is gone on with in the next.
        DraftCosts costs = CostsOf(sequences);
        if (costs != _current)
            Restart();
        (_current, _sequences) = (costs, sequences);
        if (_trial is { } trial)
            return trial;
        int best = FindBest(costs);
        if (best != costs.Best)
            _usual.Clear();
        costs.Best = best;
        if (++costs.StepsSinceTrial >= costs.TrialInterval && _usual.Count >= TrialSteps)
            _trial = BeginTrial(costs);
        return _trial ?? best;
    }

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

    private int BeginTrial(DraftCosts costs)
    {
        costs.StepsSinceTrial = 0;
        costs.TrialInterval = Math.Min(2 * costs.TrialInterval, LongestInterval);
        costs.TriedMore = !costs.TriedMore;
        _tried.Clear();
        return OneBeside(costs, _options.Drafts);
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
        double rate = Rate(costs, best) * Margin;
        for (int drafts = 0; drafts <= costs.MostKnown; drafts++)
        {
            double other = Rate(costs, drafts);
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
