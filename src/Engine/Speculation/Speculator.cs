using Conclave.Model;

namespace Conclave.Engine.Speculation;

/// <summary>Drafts behind every step, as many as the policy says, and tells the policy what became of the drafts before.</summary>
internal sealed class Speculator(IDrafter drafter, DraftPolicy policy, TimeProvider clock) : IDisposable
{
    // When the tokens of the last step were chosen; null if drafting behind it and the step that follows say nothing about decoding.
    private long? _lastChosen;

    /// <summary>Follows a step whose tokens are chosen, and drafts for the next one.</summary>
    /// <param name="step">The batch after its pass.</param>
    /// <param name="rows">What was right in it.</param>
    public void Draft(StepBatch step, ReadOnlySpan<StepRows> rows)
    {
        long chosen = clock.GetTimestamp();
        int decoding = 0;
        bool hasPrompts = false;
        foreach (StepRows row in rows)
        {
            bool isOver = row.Sequence.IsOver;
            decoding += !isOver && row.Sequence.IsDecoding ? 1 : 0;
            hasPrompts |= row.IsPrefill;
            if (!row.IsPrefill)
                policy.RecordDrafts(row.Count - 1, nextWasWrong: !isOver && row.Count < row.LogitCount);
        }

        double? lastMs = !hasPrompts && _lastChosen is { } last ? clock.GetElapsedTime(last, chosen).TotalMilliseconds : null;
        drafter.Draft(step, rows, policy.Next(decoding, lastMs));

        // Where nobody decodes the loop may sleep before it goes on.
        _lastChosen = !hasPrompts && decoding > 0 ? chosen : null;
    }

    /// <inheritdoc/>
    public void Dispose() => drafter.Dispose();
}
