using Conclave.Engine.Pages;
using Conclave.Engine.Scheduling;

namespace Conclave.Engine;

/// <summary>The rows one sequence contributes to a step.</summary>
/// <param name="Sequence">Whose.</param>
/// <param name="RowCount">Tokens, from the first that is not in its pages yet; while decoding the last token and as many of its drafts as there is room for.</param>
/// <param name="NeedsLogits">Whether a token is sampled after its last row, and after those of drafts: not so for a prefill chunk that is not the prompt's last.</param>
internal readonly record struct StepSegment(Sequence Sequence, int RowCount, bool NeedsLogits);

/// <summary>
/// Decides which sequences are in the batch, who has KV pages, and which rows a step computes. A sequence joins when there is a place, and pages for the tokens that it has;
/// more pages come as its tokens do. When there are none left, the sequence that ranks last (<see cref="QueueOrder"/>) gives its own back and waits until it can be computed anew
/// from its tokens, of which the prefix cache may still know most. Whoever ranks first is never interrupted, and each request fits the memory alone: so everyone ends.
/// Touches neither model nor clock. Not thread-safe.
/// </summary>
/// <param name="options">Limits; validated.</param>
/// <param name="memory">KV pages.</param>
/// <param name="onJoin">Told how long a sequence waited for its first place, in ms.</param>
internal sealed partial class Scheduler(EngineOptions options, KvMemory memory, Action<double>? onJoin = null)
{
    private readonly List<Sequence> _waiting = [];

    // By priority, then in the order in which they joined.
    private readonly List<Sequence> _running = new(options.MaxBatch);
    private readonly StepSegment[] _segments = new StepSegment[options.MaxBatch];
    private readonly FairShare _shares = new();
    private readonly StepBudget _budget = new(options.StepTokens, Math.Min(options.MaxBatch + 16, options.MaxStepRows), options.MaxStepRows, options.StepTargetMs);
    private readonly StepBudget _promptBudget = new(0, Math.Min(StepBudget.TileRows, options.MaxStepRows), options.MaxStepRows, options.PromptStepTargetMs);
    private long _arrivals;
    private int _plannedRows;
    private bool _isBudgetBinding;
    private bool _isDecodeOnly;
    private bool _isPromptOnly;

    /// <summary>Sequences that wait for room.</summary>
    public int WaitingCount => _waiting.Count;

    /// <summary>Sequences in the batch.</summary>
    public int RunningCount => _running.Count;

    /// <summary>Most rows of the next step if streams decode in it.</summary>
    public int StepTokens => _budget.Rows;

    /// <summary>
    /// Puts <paramref name="sequence"/>, which arrives now, in the queue. One that has pages already goes before all others: whoever waits for pages before it would wait
    /// for those that it holds.
    /// </summary>
    public void Enqueue(Sequence sequence, long nowMs)
    {
        GenerationRequest request = sequence.Request;
        sequence.Standing = new Standing(request.Priority, nowMs, _arrivals++, _shares.Open(request.FairnessKey));
        Wait(sequence);
    }

    /// <summary>Takes <paramref name="sequence"/> out of the queue and gives its pages back, if it has any; false if it is not in the queue.</summary>
    public bool RemoveWaiting(Sequence sequence)
    {
        if (!EndWait(sequence))
            return false;
        Leave(sequence);
        return true;
    }

    /// <summary>Takes <paramref name="sequence"/>, whose pages stay taken, out of queue or batch; false if it is in neither.</summary>
    public bool Detach(Sequence sequence)
    {
        if (!_running.Remove(sequence) && !EndWait(sequence))
            return false;
        _shares.Close(sequence.Standing.Account);
        return true;
    }

    /// <summary>Lets sequences join, then picks the rows of the next step. Empty if there is nothing to compute. Valid until the next call.</summary>
    public ReadOnlySpan<StepSegment> Plan(long nowMs)
    {
        Grow();
        Admit(nowMs);
        int decoding = 0;
        foreach (Sequence sequence in _running)
            decoding += sequence.IsDecoding ? 1 : 0;

        // Nobody's stream waits for a step without decode rows: it may take longer.
        int rowsLeft = (decoding > 0 ? _budget : _promptBudget).Rows - decoding;
        int draftsLeft = decoding < _running.Count ? rowsLeft * 3 / 4 : rowsLeft;
        int segmentCount = 0;
        _isDecodeOnly = decoding > 0 && decoding == _running.Count;
        _isPromptOnly = decoding == 0;

        // Decode rows first: a token per running stream and step, however long the prompts that come in; drafts as far as that leaves room. Any thread may cancel a sequence at any moment: one that
        // was over by the time it was to grow has no room for its rows.
        foreach (Sequence sequence in _running)
        {
            if (!sequence.IsDecoding || sequence.IsOver)
                continue;
            int drafts = Math.Min(Math.Min(sequence.DraftCount, draftsLeft), RoomForDrafts(sequence));
            _segments[segmentCount++] = new StepSegment(sequence, 1 + drafts, NeedsLogits: true);
            draftsLeft -= drafts;
            rowsLeft -= drafts;
        }

        _isBudgetBinding = false;
        foreach (Sequence sequence in _running)
        {
            int remaining = sequence.PrefillRemaining;
            if (remaining == 0 || sequence.IsOver)
                continue;
            int chunk = Math.Min(remaining, rowsLeft);
            _isBudgetBinding |= chunk < remaining;
            if (chunk == 0)
                break;
            _segments[segmentCount++] = new StepSegment(sequence, chunk, NeedsLogits: chunk == remaining);
            rowsLeft -= chunk;
        }

        ReadOnlySpan<StepSegment> segments = _segments.AsSpan(0, segmentCount);
        _plannedRows = 0;
        foreach (StepSegment segment in segments)
            _plannedRows += segment.RowCount;
        return segments;
    }

    /// <summary>Tells how long the step that was planned last took.</summary>
    public void RecordStep(double tookMs)
    {
        if (_isBudgetBinding)
            (_isPromptOnly ? _promptBudget : _budget).Record(_plannedRows, tookMs);
        else if (_isDecodeOnly)
            _budget.RecordDecode(tookMs);
    }

    /// <summary>
    /// After a step, or before one: charges what was computed, makes full pages findable, ends sequences whose deadline has passed, takes those that are over out, gives their
    /// pages back and adds them to <paramref name="retired"/>.
    /// </summary>
    public void Retire(long nowMs, List<Sequence> retired)
    {
        Array.Clear(_segments);
        for (int i = _waiting.Count - 1; i >= 0; i--)
        {
            Sequence sequence = _waiting[i];
            ExpireAfter(sequence, nowMs);
            if (!sequence.IsOver)
                continue;
            RemoveWaiting(sequence);
            retired.Add(sequence);
        }

        int kept = 0;
        for (int i = 0; i < _running.Count; i++)
        {
            Sequence sequence = _running[i];
            Settle(sequence);
            ExpireAfter(sequence, nowMs);
            if (!sequence.IsOver)
            {
                _running[kept++] = sequence;
                continue;
            }

            Leave(sequence);
            retired.Add(sequence);
        }

        _running.RemoveRange(kept, _running.Count - kept);
    }

    /// <summary>Time until the first deadline of a waiting sequence, in ms; null if none has one.</summary>
    public long? UntilDeadlineMs(long nowMs)
    {
        long? least = null;
        foreach (Sequence sequence in _waiting)
        {
            if (sequence.DeadlineMs is { } deadline && !(least <= deadline))
                least = deadline;
        }

        return least is { } first ? Math.Max(0, first - nowMs) : null;
    }

    /// <summary>Empties queue and batch, gives all pages back and adds the sequences to <paramref name="removed"/>.</summary>
    public void Clear(List<Sequence> removed)
    {
        removed.AddRange(_running);
        removed.AddRange(_waiting);
        _running.Clear();
        while (_waiting.Count > 0)
            EndWait(_waiting[^1]);
        foreach (Sequence sequence in removed)
            Leave(sequence);
        Array.Clear(_segments);
    }

    private static void ExpireAfter(Sequence sequence, long nowMs)
    {
        if (sequence.DeadlineMs <= nowMs && !sequence.IsOver)
            sequence.Fail(new OperatingException(OperatingError.DeadlineExceeded, $"The deadline of {sequence.Request.Deadline!.Value.TotalSeconds:0.###} s passed after {sequence.OutputCount} tokens."));
    }

    private void Wait(Sequence sequence)
    {
        _waiting.Add(sequence);
        _shares.BeginWait(sequence.Standing.Account);
    }

    private bool EndWait(Sequence sequence)
    {
        if (!_waiting.Remove(sequence))
            return false;
        _shares.EndWait(sequence.Standing.Account);
        return true;
    }

    /// <summary>Lets <paramref name="sequence"/>, which neither waits nor runs any more, go for good.</summary>
    private void Leave(Sequence sequence)
    {
        memory.Release(sequence.Pages);
        _shares.Close(sequence.Standing.Account);
    }
}
