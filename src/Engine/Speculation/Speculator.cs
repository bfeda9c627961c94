using Conclave.Model;

namespace Conclave.Engine.Speculation;

/// <summary>Drafts behind every step, as many as the policy says, and tells the policy what became of the drafts before.</summary>
internal sealed class Speculator(IDrafter drafter, DraftPolicy policy, TimeProvider clock) : IDisposable
{
    // When the tokens of the last step were chosen; null if drafting behind it and the step that follows say nothing about decoding.
    private long? _lastChosen;

    // Of the last step: decoding sequences that there can be no drafts for.
    private int _unseen;

    /// <summary>Follows a step whose tokens are chosen, and drafts for the next one.</summary>
    /// <param name="step">The batch after its pass.</param>
    /// <param name="rows">What was right in it.</param>
    public void Draft(StepBatch step, ReadOnlySpan<StepRows> rows)
    {
        int decoding = 0;
        bool hasPrompts = false;
        foreach (StepRows row in rows)
        {
            decoding += !row.Sequence.IsOver && row.Sequence.IsDecoding ? 1 : 0;
            hasPrompts |= row.IsPrefill;
            if (!row.IsPrefill)
                policy.RecordDrafts(row.Count - 1, nextWasWrong: row.Count < row.LogitCount);
        }

        if (policy.Pauses(decoding))
        {
            _unseen = drafter.Draft(step, rows, null);
            _lastChosen = null;
            return;
        }

        long chosen = clock.GetTimestamp();
        double? lastMs = !hasPrompts && _lastChosen is { } last ? clock.GetElapsedTime(last, chosen).TotalMilliseconds : null;
        int count = policy.Next(decoding, lastMs, isComparable: _unseen == 0);
        _unseen = drafter.Draft(step, rows, count);
        if (lastMs is { } stepMs && count == 0)
            policy.RecordFollowing(clock.GetElapsedTime(chosen).TotalMilliseconds / stepMs);

        // Where nobody decodes the loop may sleep before it goes on.
        _lastChosen = !hasPrompts && decoding > 0 ? chosen : null;
    }

    /// <inheritdoc/>
    public void Dispose() => drafter.Dispose();
}
