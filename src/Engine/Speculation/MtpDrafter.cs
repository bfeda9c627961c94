using Conclave.Model;

namespace Conclave.Engine.Speculation;

/// <summary>
/// Drafts with the checkpoint's MTP module: one small pass a draft over all sequences together. First every accepted row of the step, prompts included, leaves its latents, so that the
/// module has seen all that comes before a draft; only the last row of each sequence goes through the whole module and gives its first draft. The module applied again to its own
/// state, one position on, gives the second draft, and so on. What the later passes write is written anew from the main model's states once the tokens are known.
/// </summary>
internal sealed class MtpDrafter(Transformer model, int maxRows, int maxBatch) : IDrafter
{
    private readonly MtpModule _module = new(model);
    private readonly StepBatch _followed = new(model.Config, maxRows, 1);
    private readonly StepBatch _batch = new(model.Config, maxBatch, maxBatch);
    private readonly TokenChooser _chooser = new(model.Config.VocabularySize);

    // Sequences that get drafts, each with the row of the last pass that its next draft comes from.
    private readonly (Sequence Sequence, int LogitRow)[] _drafting = new (Sequence, int)[maxBatch];
    private int _draftingCount;

    /// <inheritdoc/>
    public int Draft(StepBatch step, ReadOnlySpan<StepRows> rows, int? count)
    {
        int unseen = Take(rows, count);
        _module.Store(_followed, step);
        _module.Forward(_batch, step);
        for (int drafts = 1; _draftingCount > 0; drafts++)
        {
            TakeDrafts();
            if (drafts == count)
                break;
            GoOn(drafts);
        }

        return unseen;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _batch.Dispose();
        _followed.Dispose();
        _module.Dispose();
    }

    /// <summary>
    /// Shares out the step's rows, each with the token behind it: the last of a sequence that gets drafts goes through the module, all others leave their latents. A sequence that has
    /// rows that were not followed, or pages of one that had, is not followed any more. Returns how many of those decode and go on.
    /// </summary>
    private int Take(ReadOnlySpan<StepRows> rows, int? count)
    {
        int unseen = 0;
        _followed.Clear();
        _batch.Clear();
        _draftingCount = 0;
        foreach (StepRows row in rows)
        {
            Sequence sequence = row.Sequence;
            if (sequence.HasFailed)
                continue;
            bool goesOn = !sequence.IsOver && sequence.IsDecoding;
            if (count is null || (row.Start > 0 && !_module.HasSeen(sequence.Pages, row.Start - 1)))
            {
                _module.Skip(sequence.Pages, row.Start, row.Count);
                unseen += goesOn ? 1 : 0;
                continue;
            }

            // Nothing stands behind the last token of a text that has ended.
            int followed = Math.Min(row.Count, sequence.TokenCount - 1 - row.Start);
            if (followed < row.Count)
                _module.Skip(sequence.Pages, row.Start + followed, row.Count - followed);
            else if (goesOn && Math.Min(count.Value, sequence.DraftRoom) > 0)
                Drafts(row, --followed);
            if (followed > 0)
                _followed.Add(sequence.Pages, row.Start, sequence.Tokens.Slice(row.Start + 1, followed), LogitRows.None, row.FirstRow);
        }

        return unseen;
    }

    /// <summary>Has the row behind <paramref name="followed"/> others give the first draft.</summary>
    private void Drafts(StepRows row, int followed)
    {
        Sequence sequence = row.Sequence;
        int start = row.Start + followed;
        int logitRow = _batch.Add(sequence.Pages, start, sequence.Tokens.Slice(start + 1, 1), LogitRows.Last, row.FirstRow + followed);
        _drafting[_draftingCount++] = (sequence, logitRow);
    }

    /// <summary>Adds the module's choice to each sequence's drafts; who gets none leaves.</summary>
    private void TakeDrafts()
    {
        int kept = 0;
        foreach ((Sequence sequence, int logitRow) in _drafting.AsSpan(0, _draftingCount))
        {
            int draft = _chooser.Guess(sequence, _batch.Logits(logitRow));
            if (draft < 0)
                continue;
            sequence.DraftSpace[sequence.DraftCount++] = draft;
            _drafting[kept++] = (sequence, logitRow);
        }

        _draftingCount = kept;
    }

    /// <summary>A pass with the last draft of each sequence that has room for more than <paramref name="drafts"/>, behind the module's own state.</summary>
    private void GoOn(int drafts)
    {
        int kept = 0;
        foreach ((Sequence sequence, int logitRow) in _drafting.AsSpan(0, _draftingCount))
        {
            if (sequence.DraftRoom > drafts)
                _drafting[kept++] = (sequence, _batch.RowOfLogits(logitRow));
        }

        _draftingCount = kept;
        _batch.Clear();
        for (int i = 0; i < kept; i++)
        {
            (Sequence sequence, int row) = _drafting[i];
            int logitRow = _batch.Add(sequence.Pages, sequence.TokenCount - 2 + drafts, sequence.DraftSpace.Slice(drafts - 1, 1), LogitRows.Last, row);
            _drafting[i] = (sequence, logitRow);
        }

        _module.Forward(_batch, _batch);
    }
}
