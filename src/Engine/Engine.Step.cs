using Conclave.Model;

namespace Conclave.Engine;

/// <summary>The step loop's step.</summary>
public sealed partial class Engine
{
    /// <summary>One step of the whole batch: plan, forward, choose and emit, draft, retire. False if there was nothing to do.</summary>
    private bool Step()
    {
        _options.BeforeStep?.Invoke();
        long start = _clock.GetTimestamp();
        ReadOnlySpan<StepSegment> segments = Plan();
        if (segments.IsEmpty)
            return false;
        Volatile.Write(ref _stepStarted, start);

        var tally = default(StepTally);
        Span<StepRows> rows = _rows.AsSpan(0, segments.Length);
        try
        {
            Fill(segments, rows, ref tally);
            _model.Forward(_batch);
            foreach (ref StepRows row in rows)
                ChooseTokens(ref row, ref tally);
            _speculator?.Draft(_batch, rows);
        }
        catch (Exception fault)
        {
            // The pages of every sequence of the batch may be half written; those that had no rows in it go on.
            tally.Failed = true;
            OperatingException failure = StepFailure(fault);
            foreach (StepSegment segment in segments)
                segment.Sequence.Fail(failure);
        }

        rows.Clear();
        double tookMs = _clock.GetElapsedTime(start).TotalMilliseconds;
        Retire(tally, tookMs);
        _metrics.RecordStep(tally, tookMs);
        return true;
    }

    private ReadOnlySpan<StepSegment> Plan()
    {
        ReadOnlySpan<StepSegment> segments;
        lock (_gate)
        {
            _scheduler.Retire(NowMs, _retired);
            segments = _scheduler.Plan(NowMs);
            _isStepping = !segments.IsEmpty;
        }

        CompleteRetired();
        return segments;
    }

    /// <summary>Puts the planned rows into the batch: of a decode step every row needs logits, of a prefill chunk at most the last.</summary>
    private void Fill(ReadOnlySpan<StepSegment> segments, Span<StepRows> rows, ref StepTally tally)
    {
        _batch.Clear();
        for (int i = 0; i < segments.Length; i++)
        {
            (Sequence sequence, int count, bool needsLogits) = segments[i];
            bool isPrefill = !sequence.IsDecoding;
            LogitRows wanted = !needsLogits ? LogitRows.None : isPrefill ? LogitRows.Last : LogitRows.All;
            int firstRow = _batch.RowCount, firstLogitRow = _batch.LogitRowCount, start = sequence.Pages.Length;
            _batch.Add(sequence.Pages, sequence.NextRows(count), wanted);
            rows[i] = new StepRows(sequence, firstRow, start, count, firstLogitRow, _batch.LogitRowCount - firstLogitRow) { IsPrefill = isPrefill };
            if (isPrefill)
                tally.PromptTokens += count;
            else
                tally.DraftedTokens += count - 1;
        }
    }

    /// <summary>
    /// Chooses the tokens behind the rows of a sequence one by one, each exactly as if it were the only one of its step: as long as a draft turns out to be what is
    /// chosen, the row behind it was computed from the right tokens and gives the next one. Latents of wrong drafts are forgotten.
    /// </summary>
    private void ChooseTokens(ref StepRows rows, ref StepTally tally)
    {
        if (rows.LogitCount == 0)
            return;
        Sequence sequence = rows.Sequence;
        int wrong = rows.LogitCount - 1;
        for (int row = 0; row < rows.LogitCount; row++, wrong--)
        {
            int draft = wrong > 0 ? sequence.DraftSpace[0] : -1;
            if (ChooseToken(sequence, _batch.Logits(rows.LogitRow + row)) is not { } token)
                break;
            tally.GeneratedTokens++;
            if (token.Id != draft)
                break;
            tally.AcceptedTokens++;
            if (sequence.IsOver)
                break;
        }

        sequence.DraftCount = 0;
        rows = rows with { Count = rows.Count - wrong };
        sequence.Pages.Length -= wrong;
    }

    /// <summary>Chooses the next token of <paramref name="sequence"/> and hands it over; null if it ends without it.</summary>
    private GeneratedToken? ChooseToken(Sequence sequence, ReadOnlySpan<float> logits)
    {
        try
        {
            GeneratedToken token = _chooser.Choose(sequence, logits);
            return sequence.Emit(token) ? token : null;
        }
        catch (OperatingException unusable)
        {
            // Its own logits are bad; the other sequences of the step go on.
            sequence.Fail(unusable);
            return null;
        }
    }

    /// <summary>What a failed step is to its sequences: experts that cannot be reached are nobody's mistake, and another try may find them.</summary>
    private static OperatingException StepFailure(Exception fault)
    {
        for (Exception? cause = fault; cause is not null; cause = cause.InnerException)
        {
            if (cause is OperatingException { Error: OperatingError.Unavailable } unavailable)
                return new OperatingException(OperatingError.Unavailable, unavailable.Message, fault);
        }

        return new OperatingException(OperatingError.Internal, "The step that computed this sequence failed.", fault);
    }

    private void Retire(in StepTally tally, double tookMs)
    {
        lock (_gate)
        {
            _stepCount++;
            _failedSteps += tally.Failed ? 1 : 0;
            _promptTokens += tally.PromptTokens;
            _generatedTokens += tally.GeneratedTokens;
            _draftedTokens += tally.DraftedTokens;
            _acceptedTokens += tally.AcceptedTokens;
            _scheduler.RecordStep(tookMs);
            if (tally is { PromptTokens: > 0, Failed: false })
                _memory.RecordPrefill(tally.PromptTokens, tookMs);
            _scheduler.Retire(NowMs, _retired);
            _departures.Record(_retired.Count, tookMs / 1000);
            LetLeave();
        }

        Volatile.Write(ref _stepStarted, 0);
        CompleteRetired();
    }

    /// <summary>Not before the gate is left, so that who sees the end of a sequence also sees its pages free.</summary>
    private void CompleteRetired()
    {
        foreach (Sequence sequence in _retired)
            sequence.Complete();
        _retired.Clear();
    }
}
