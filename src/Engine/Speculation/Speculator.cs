using Conclave.Model;

namespace Conclave.Engine.Speculation;

/// <summary>Drafts behind every step, as many as the policy says, and tells the policy what became of the drafts before.</summary>
internal sealed class Speculator(IDrafter drafter, DraftPolicy policy, TimeProvider clock) : IDisposable
{
    /// <summary>Follows a step whose tokens are chosen, and drafts for the next one.</summary>
    /// <param name="step">The batch after its pass.</param>
    /// <param name="rows">What was right in it.</param>
    /// <param name="started">When the step was begun, in ticks of the clock.</param>
    public void Draft(StepBatch step, ReadOnlySpan<StepRows> rows, long started)
    {
        long chosen = clock.GetTimestamp();
        int promptRows = 0, tokens = 0, decoding = 0;
        foreach (StepRows row in rows)
        {
            promptRows += row.IsPrefill ? row.Count : 0;
            tokens += row.IsPrefill ? row.LogitCount : row.Count;
            bool isOver = row.Sequence.IsOver;
            decoding += !isOver && row.Sequence.IsDecoding ? 1 : 0;
            if (!row.IsPrefill)
                policy.RecordDrafts(row.Count - 1, nextWasWrong: !isOver && row.Count < row.LogitCount);
        }

        policy.RecordWork(promptRows, tokens);
        if (promptRows == 0)
            policy.RecordStep(step.RowCount, clock.GetElapsedTime(started, chosen).TotalMilliseconds);
        int drafts = policy.Next(decoding);
        if (drafts == 0 && policy.Best == 0)
        {
            drafter.Rest(rows);
            return;
        }

        drafter.Draft(step, rows, drafts);
        double tookMs = clock.GetElapsedTime(chosen).TotalMilliseconds;
        if (promptRows > 0)
            policy.RecordPromptDrafting(promptRows, decoding, drafts, tookMs);
        else if (drafts > 0 && decoding > 0)
            policy.RecordDrafting(decoding, drafts, tookMs);
    }

    /// <inheritdoc/>
    public void Dispose() => drafter.Dispose();
}
