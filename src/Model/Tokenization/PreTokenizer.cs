namespace Conclave.Model.Tokenization;

/// <summary>
/// Cuts text into the pieces that are merged on their own. The stages of the file are applied in sequence, each to every
/// piece of the one before.
/// </summary>
internal sealed class PreTokenizer(IReadOnlyList<PreTokenizer.Stage> stages, BytePairEncoder encoder)
{
    /// <summary>Encodes a run of text (UTF-8) and appends the tokens.</summary>
    public void Encode(ReadOnlySpan<byte> text, List<int> ids) => Encode(text, 0, ids);

    private void Encode(ReadOnlySpan<byte> piece, int depth, List<int> ids)
    {
        if (piece.IsEmpty)
        {
            return;
        }

        if (depth == stages.Count)
        {
            encoder.Encode(piece, ids);
            return;
        }

        var stage = stages[depth];
        if (stage.Pattern is null)
        {
            Encode(piece[0] == ' ' ? piece : [(byte)' ', .. piece], depth + 1, ids);
            return;
        }

        var done = 0;
        for (var from = 0; stage.Pattern.Find(piece, from, out var start, out var end);)
        {
            if (stage.KeepsRest)
            {
                Encode(piece[done..start], depth + 1, ids);
            }

            if (stage.KeepsMatches)
            {
                Encode(piece[start..end], depth + 1, ids);
            }

            done = end;
            // An empty match cuts the text where it stands.
            from = end > start ? end : end + 1;
        }

        if (stage.KeepsRest)
        {
            Encode(piece[done..], depth + 1, ids);
        }
    }

    /// <summary>One stage.</summary>
    /// <param name="Pattern">Cuts out its matches; null: a space is put before a piece that does not begin with one.</param>
    /// <param name="KeepsMatches">Matches are pieces, else they are dropped.</param>
    /// <param name="KeepsRest">What lies between matches is pieces, else it is dropped.</param>
    public sealed record Stage(Pattern? Pattern, bool KeepsMatches = true, bool KeepsRest = true);
}
