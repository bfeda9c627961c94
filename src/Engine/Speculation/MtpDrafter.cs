using Conclave.Model;

namespace Conclave.Engine.Speculation;

/// <summary>
/// Drafts with the checkpoint's MTP module: one small pass a draft over all sequences together. The first pass takes every accepted row of the step, prompts
/// included, so that the module's latents are complete; the module applied again to its own state, one position on, gives the second draft, and so on. What
/// the later passes write is written anew from the main model's states once the tokens are known.
/// </summary>
internal sealed class MtpDrafter(Transformer model, int maxRows, int maxBatch) : IDrafter
{
    private readonly MtpModule _module = new(model);
    private readonly StepBatch _batch = new(model.Config, maxRows, maxBatch);
    private readonly TokenChooser _chooser = new(model.Config.VocabularySize);

    // Sequences that get drafts, each with the row of the last pass that its next draft comes from.
    private readonly (Sequence Sequence, int LogitRow)[] _drafting = new (Sequence, int)[maxBatch];
    private int _draftingCount;

    /// <inheritdoc/>
    public void Draft(StepBatch step, ReadOnlySpan<StepRows> rows, int count)
    {
        Follow(step, rows, count);
        for (int drafts = 1; _draftingCount > 0; drafts++)
        {
            TakeDrafts();
            if (drafts == count)
                break;
            GoOn(drafts);
        }
    }

    /// <inheritdoc/>
    public void Rest(ReadOnlySpan<StepRows> rows)
    {
        foreach (StepRows row in rows)
            _module.Skip(row.Sequence.Pages, row.Start, row.Count);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _batch.Dispose();
        _module.Dispose();
    }

    /// <summary>Runs the module over the step's rows, each with the token behind it. Those of sequences that have ended are passed over.</summary>
    private void Follow(StepBatch step, ReadOnlySpan<StepRows> rows, int count)
    {
        _batch.Clear();
        _draftingCount = 0;
        foreach (StepRows row in rows)
        {
            Sequence sequence = row.Sequence;
            if (sequence.IsOver)
            {
                _module.Skip(sequence.Pages, row.Start, row.Count);
                continue;
            }

            bool drafts = sequence.IsDecoding && Math.Min(count, sequence.DraftRoom) > 0;
            int logitRow = _batch.Add(sequence.Pages, row.Start, sequence.Tokens.Slice(row.Start + 1, row.Count), drafts ? LogitRows.Last : LogitRows.None, row.FirstRow);
            if (drafts)
                _drafting[_draftingCount++] = (sequence, logitRow);
        }

        _module.Forward(_batch, step);
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
