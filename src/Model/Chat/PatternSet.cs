namespace Conclave.Model.Chat;

/// <summary>
/// A set of strings searched for in a stream, one character at a time (Aho and Corasick, 1975). The caller keeps the state, an integer that begins
/// at 0; the depth of a state is the length of the longest tail of the stream that could begin one of the strings.
/// </summary>
internal sealed class PatternSet
{
    private readonly Dictionary<(int State, char Next), int> _edges = [];
    private readonly List<int> _depth = [0];
    private readonly List<int> _fallback = [0];
    private readonly List<int> _matchLength = [0];

    public PatternSet(IEnumerable<string> patterns)
    {
        foreach (var pattern in patterns) AddPattern(pattern);
        LinkFallbacks();
    }

    /// <summary>The state after one more character. Linear over a whole stream.</summary>
    public int Step(int state, char next)
    {
        while (true)
        {
            if (_edges.TryGetValue((state, next), out var target)) return target;
            if (state == 0) return 0;
            state = _fallback[state];
        }
    }

    /// <summary>Length of the longest tail of the stream that could begin (or is) a pattern.</summary>
    public int DepthOf(int state) => _depth[state];

    /// <summary>Length of the longest pattern that ends here; 0 if none does.</summary>
    public int MatchLengthAt(int state) => _matchLength[state];

    private void AddPattern(string pattern)
    {
        var state = 0;
        foreach (var character in pattern)
        {
            if (!_edges.TryGetValue((state, character), out var next))
            {
                next = _depth.Count;
                _edges.Add((state, character), next);
                _depth.Add(_depth[state] + 1);
                _fallback.Add(0);
                _matchLength.Add(0);
            }

            state = next;
        }

        _matchLength[state] = pattern.Length;
    }

    private void LinkFallbacks()
    {
        // Shallow states first: the fallback of a state is shallower than the state itself.
        foreach (var ((parent, character), state) in _edges.OrderBy(edge => _depth[edge.Value]))
        {
            if (parent != 0) _fallback[state] = Step(_fallback[parent], character);
            if (_matchLength[state] == 0) _matchLength[state] = _matchLength[_fallback[state]];
        }
    }
}
