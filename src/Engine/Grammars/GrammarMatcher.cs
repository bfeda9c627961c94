namespace Conclave.Engine.Grammars;

/// <summary>Where one sequence is in its grammar. Not for several threads at once. Allocates nothing once the grammar's masks are at hand.</summary>
public sealed class GrammarMatcher
{
    private readonly CompiledGrammar _grammar;
    private readonly int[] _endTokenIds;
    private Configuration _at;

    /// <summary>A matcher before the first token.</summary>
    /// <param name="grammar">What the output must be.</param>
    /// <param name="endTokenIds">Tokens that end the sequence: allowed where the text is complete and nowhere else, whatever their bytes.</param>
    public GrammarMatcher(CompiledGrammar grammar, IEnumerable<int> endTokenIds)
    {
        ArgumentNullException.ThrowIfNull(grammar);
        ArgumentNullException.ThrowIfNull(endTokenIds);
        _grammar = grammar;
        _endTokenIds = [.. endTokenIds.Where(id => (uint)id < (uint)grammar.Vocabulary.Size)];
        _at = grammar.Cache.Start;
    }

    /// <summary>Words that <see cref="FillMask"/> needs.</summary>
    public int MaskWords => _grammar.Vocabulary.MaskWords;

    /// <summary>The text so far is a whole text of the grammar: the sequence may end.</summary>
    public bool IsComplete => _at.IsComplete;

    /// <summary>The text is whole and nothing can follow: the sequence must end, if need be without an end token.</summary>
    public bool IsFinished => _at.IsComplete && _at.Positions.Length == 0;

    /// <summary>Sets the bit of each token that may come next (token 0 is the lowest bit of the first word) and clears all others.</summary>
    /// <param name="allowed">At least <see cref="MaskWords"/> words.</param>
    public void FillMask(Span<uint> allowed)
    {
        _grammar.Cache.Mask(_at).CopyTo(allowed);
        allowed[MaskWords..].Clear();
        foreach (int id in _endTokenIds)
        {
            if (IsComplete)
                allowed[id >> 5] |= 1u << (id & 31);
            else
                allowed[id >> 5] &= ~(1u << (id & 31));
        }
    }

    /// <summary>Goes on by a token. False, and nothing changes, if the grammar does not allow it. An end token changes nothing.</summary>
    public bool Accept(int tokenId)
    {
        if (_endTokenIds.AsSpan().Contains(tokenId))
            return IsComplete;
        ReadOnlySpan<byte> bytes = _grammar.Vocabulary.Bytes(tokenId);
        Configuration at = _at;
        foreach (byte value in bytes)
        {
            at = _grammar.Cache.Step(at, value);
            if (ReferenceEquals(at, Configuration.Dead))
                return false;
        }

        if (bytes.IsEmpty)
            return false;
        _at = at;
        return true;
    }
}
