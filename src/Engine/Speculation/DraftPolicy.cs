namespace Conclave.Engine.Speculation;

/// <summary>
/// Decides how many tokens to draft, from what it has seen: how often the first, second, ... draft was right, what a step of so many rows takes, and what drafting takes.
/// A step of b sequences with n drafts each gives <c>b (1 + a1 + a1 a2 + ...)</c> tokens in <c>step(b (1 + n)) + n pass(b)</c>; the best rate wins. Every so often a neighbour of
/// the best gets one step, so that what is believed of it stays true. With any drafts the module also reads the prompts: every token bears its share of that. It decides about time
/// alone: no token depends on it.
/// </summary>
internal sealed class DraftPolicy
{
    private const int FirstTrial = 4;
    private const int LongestInterval = 64;

    // Another number of drafts must promise so much more: figures are never quite the same twice.
    private const double Margin = 1.02;

    // Until there are measurements: good enough to be tried.
    private const double FirstAcceptance = 0.7;
    private const int FirstWeight = 8;
    private const int LongestMemory = 256;
    private const double PromptWeight = 1.0 / 8;

    private readonly SpeculationOptions _options;
    private readonly StepTimes _steps;
    private readonly StepTimes _passes;
    private readonly double[] _acceptance;
    private readonly int[] _acceptanceWeights;
    private double _promptRows;
    private double _tokens;
    private double _promptRowMs;
    private int _trialInterval = FirstTrial;
    private int _stepsSinceTrial;
    private bool _triesMore;

    public DraftPolicy(SpeculationOptions options, int maxStepRows, int maxBatch)
    {
        _options = options;
        Best = options.IsAuto ? Math.Min(1, options.Drafts) : options.Drafts;
        _steps = new StepTimes(maxStepRows);
        _passes = new StepTimes(maxBatch);
        _acceptance = new double[options.Drafts];
        _acceptanceWeights = new int[options.Drafts];
        Array.Fill(_acceptance, FirstAcceptance);
        Array.Fill(_acceptanceWeights, FirstWeight);
    }

    /// <summary>Drafts a step that are believed to pay most, for the batch of last time.</summary>
    public int Best { get; private set; }

    /// <summary>Drafts for each of the <paramref name="sequences"/> that decode in the next step: the best number, or now and then one beside it.</summary>
    public int Next(int sequences)
    {
        if (!_options.IsAuto || sequences == 0)
            return Best;
        Best = FindBest(sequences);
        if (++_stepsSinceTrial < _trialInterval)
            return Best;
        _stepsSinceTrial = 0;
        _trialInterval = Math.Min(2 * _trialInterval, LongestInterval);
        _triesMore = !_triesMore;
        int trial = _triesMore ? Best + 1 : Best - 1;
        return trial < 0 ? 1 : trial > _options.Drafts ? Best - 1 : trial;
    }

    /// <summary>Takes note of the drafts of one sequence: so many were right, and where it says so the one behind them was wrong.</summary>
    public void RecordDrafts(int right, bool nextWasWrong)
    {
        for (int i = 0; i < right; i++)
            Record(i, 1);
        if (nextWasWrong)
            Record(right, 0);
    }

    /// <summary>Takes note of the time of a step of decode rows, milliseconds.</summary>
    public void RecordStep(int rows, double milliseconds) => _steps.Add(rows, milliseconds);

    /// <summary>Takes note of the time of drafting, milliseconds.</summary>
    public void RecordDrafting(int sequences, int drafts, double milliseconds) => _passes.Add(sequences, milliseconds / drafts);

    /// <summary>Takes note of what a step did: rows of prompts, and tokens that it gave.</summary>
    public void RecordWork(int promptRows, int tokens)
    {
        _promptRows += (promptRows - _promptRows) / LongestMemory;
        _tokens += (tokens - _tokens) / LongestMemory;
    }

    /// <summary>Takes note of the time of drafting in a step that had rows of prompts too, milliseconds.</summary>
    public void RecordPromptDrafting(int promptRows, int sequences, int drafts, double milliseconds)
    {
        double rowMs = Math.Max(0, milliseconds - (drafts * _passes.Estimate(sequences))) / promptRows;
        _promptRowMs = _promptRowMs == 0 ? rowMs : _promptRowMs + (PromptWeight * (rowMs - _promptRowMs));
    }

    /// <summary>Tokens a millisecond that so many drafts promise; 0 as long as nothing is known.</summary>
    internal double Rate(int sequences, int drafts)
    {
        double tokens = 1, allRight = 1;
        for (int i = 0; i < drafts; i++)
            tokens += allRight *= _acceptance[i];
        double milliseconds = _steps.Estimate(sequences * (1 + drafts)) + (drafts * _passes.Estimate(sequences));
        if (drafts > 0 && _tokens > 0)
            milliseconds += sequences * tokens * _promptRowMs * _promptRows / _tokens;
        return milliseconds > 0 ? sequences * tokens / milliseconds : 0;
    }

    private int FindBest(int sequences)
    {
        int best = Best;
        double rate = Rate(sequences, best) * Margin;
        for (int drafts = 0; drafts <= _options.Drafts; drafts++)
        {
            double other = Rate(sequences, drafts);
            if (drafts != Best && other > rate)
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
