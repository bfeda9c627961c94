using System.Runtime.InteropServices;

namespace Conclave.Engine.Grammars;

/// <summary>
/// A recursive transition network over classes of bytes: a finite automaton a rule, with calls between them. States that cannot be completed have been cut
/// off, so every way through it leads to a whole text. Immutable.
/// </summary>
internal sealed class Automaton
{
    private readonly int[] _stepStarts;
    private readonly Step[] _steps;
    private readonly int[] _emptyStarts;
    private readonly int[] _emptyTargets;
    private readonly int[] _callStarts;
    private readonly Call[] _calls;
    private readonly bool[] _isEnd;
    private readonly bool[] _isSearchable;
    private readonly int[] _depths;
    private readonly int[] _lengths;
    private readonly int[]? _twins;

    /// <summary>Prunes and indexes what <see cref="AutomatonBuilder"/> made.</summary>
    /// <exception cref="OperatingException">Left-recursive, or without any text.</exception>
    public Automaton(
        int stateCount, List<ByteEdge> byteEdges, List<EmptyEdge> emptyEdges, List<CallEdge> callEdges, List<RuleStates> rules, Dictionary<int, int> twins, GrammarTree tree, TokenVocabulary vocabulary)
    {
        MaxDepth = tree.MaxDepth;
        (Classes, ClassCount) = ByteClasses.Cut(byteEdges, vocabulary);
        (_stepStarts, _steps) = Index(stateCount, Steps(byteEdges, vocabulary));
        _isSearchable = [.. Enumerable.Range(0, stateCount).Select(SortSteps)];
        (_emptyStarts, _emptyTargets) = Index(stateCount, emptyEdges.Select(edge => (edge.From, edge.To)));
        _isEnd = new bool[stateCount];
        foreach (RuleStates rule in rules)
            _isEnd[rule.End] = true;
        (_callStarts, _calls) = Index(stateCount, callEdges.Select(edge => (edge.From, MakeCall(edge, rules))));
        Start = rules[0].Start;
        _lengths = AutomatonDepths.Lengths(this);
        LeftRecursion.Check(this, rules);
        _depths = AutomatonDepths.Compute(this);
        if (_depths[Start] > MaxDepth)
        {
            throw GrammarError.At(
                tree.Place, _depths[Start] == AutomatonDepths.Never ? "No text fits the grammar: what it demands contradicts itself." : $"Every text of the grammar is nested deeper than {MaxDepth} levels.");
        }

        if (twins.Count == 0)
            return;
        _twins = [.. Enumerable.Range(0, stateCount)];
        foreach ((int state, int twin) in twins)
            _twins[state] = _depths[state] == _depths[twin] ? twin : state;
    }

    /// <summary>Where a text begins.</summary>
    public int Start { get; }

    /// <summary>States in all.</summary>
    public int StateCount => _isEnd.Length;

    /// <summary>Most levels of calls.</summary>
    public int MaxDepth { get; }

    /// <summary>Class of each byte: bytes of one class are never told apart.</summary>
    public byte[] Classes { get; }

    /// <summary>Number of classes, at most 256.</summary>
    public int ClassCount { get; }

    /// <summary>Whether a rule ends at <paramref name="state"/>.</summary>
    public bool IsEnd(int state) => _isEnd[state];

    /// <summary>Levels that a text still needs below <paramref name="state"/>'s own; <see cref="AutomatonDepths.Never"/> if none leads to an end.</summary>
    public int DepthNeeded(int state) => _depths[state];

    /// <summary>Bytes of the shortest text from <paramref name="state"/> to the end of its rule; <see cref="AutomatonDepths.Never"/> if there is none.</summary>
    public int Length(int state) => _lengths[state];

    /// <summary>Whether any state has another twin than itself.</summary>
    public bool HasTwins => _twins is not null;

    /// <summary>A state, the same for many, that the same tokens lead on from as from <paramref name="state"/>: they differ in how far a count has come, and no token reaches its bounds.</summary>
    public int TwinOf(int state) => _twins is null ? state : _twins[state];

    /// <summary>Steps by a byte.</summary>
    public ReadOnlySpan<Step> StepsFrom(int state) => _steps.AsSpan(_stepStarts[state].._stepStarts[state + 1]);

    /// <summary>Those of <see cref="StepsFrom"/> among which all are that go by a class.</summary>
    public ReadOnlySpan<Step> StepsBy(int state, int byteClass)
    {
        if (!_isSearchable[state])
            return StepsFrom(state);
        int low = _stepStarts[state], high = _stepStarts[state + 1];
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (byteClass > _steps[middle].Last)
                low = middle + 1;
            else
                high = middle;
        }

        return _steps.AsSpan(low, low < _stepStarts[state + 1] ? 1 : 0);
    }

    /// <summary>Steps without text.</summary>
    public ReadOnlySpan<int> EmptyFrom(int state) => _emptyTargets.AsSpan(_emptyStarts[state].._emptyStarts[state + 1]);

    /// <summary>Steps by a rule.</summary>
    public ReadOnlySpan<Call> CallsFrom(int state) => _calls.AsSpan(_callStarts[state].._callStarts[state + 1]);

    private Call MakeCall(CallEdge edge, List<RuleStates> rules) =>
        new(rules[edge.Rule].Start, rules[edge.Rule].End, edge.Return, edge.Weight, IsTail: _isEnd[edge.Return]);

    /// <summary>Steps by classes. A byte that no token can write alone cannot be promised, so ways over it are cut.</summary>
    private IEnumerable<(int, Step)> Steps(List<ByteEdge> edges, TokenVocabulary vocabulary)
    {
        foreach (ByteEdge edge in edges)
        {
            for (int value = edge.First; value <= edge.Last; value++)
            {
                int first = value;
                while (value < edge.Last && vocabulary.CanWrite(value) == vocabulary.CanWrite(first))
                    value++;
                if (vocabulary.CanWrite(value) != vocabulary.CanWrite(first))
                    value--;
                if (vocabulary.CanWrite(first))
                    yield return (edge.From, new Step(Classes[first], Classes[value], edge.To));
            }
        }
    }

    /// <summary>Sorts the steps from a state if they are many; true if no two go by the same class, so that one can be searched for.</summary>
    private bool SortSteps(int state)
    {
        Span<Step> steps = _steps.AsSpan(_stepStarts[state].._stepStarts[state + 1]);
        if (steps.Length < 4)
            return false;
        steps.Sort(static (a, b) => a.First.CompareTo(b.First));
        for (int i = 1; i < steps.Length; i++)
        {
            if (steps[i].First <= steps[i - 1].Last)
                return false;
        }

        return true;
    }

    /// <summary>Sorts edges by state, in the order given: those of state s lie from <c>starts[s]</c> to <c>starts[s + 1]</c>.</summary>
    private static (int[] Starts, T[] Edges) Index<T>(int stateCount, IEnumerable<(int From, T Edge)> edges)
    {
        var list = edges.ToList();
        var starts = new int[stateCount + 1];
        foreach ((int from, _) in list)
            starts[from + 1]++;
        for (int i = 0; i < stateCount; i++)
            starts[i + 1] += starts[i];
        int[] next = [.. starts];
        var sorted = new T[list.Count];
        foreach ((int from, T edge) in CollectionsMarshal.AsSpan(list))
            sorted[next[from]++] = edge;
        return (starts, sorted);
    }

    /// <summary>A step by a byte whose class lies in an inclusive range.</summary>
    public readonly record struct Step(byte First, byte Last, int To);

    /// <summary>A step by a rule. Nothing is left to do behind a tail call, so it needs no way back.</summary>
    public readonly record struct Call(int Start, int End, int Return, int Weight, bool IsTail);
}

/// <summary>Cuts the bytes into classes that no edge tells apart.</summary>
internal static class ByteClasses
{
    /// <summary>The class of each byte, ascending from 0, and their number.</summary>
    public static (byte[] Classes, int Count) Cut(List<ByteEdge> edges, TokenVocabulary vocabulary)
    {
        var begins = new bool[257];
        foreach (ByteEdge edge in edges)
            begins[edge.First] = begins[edge.Last + 1] = true;
        for (int value = 1; value < 256; value++)
            begins[value] |= vocabulary.CanWrite(value) != vocabulary.CanWrite(value - 1);
        var classes = new byte[256];
        int last = 0;
        for (int value = 1; value < 256; value++)
            classes[value] = (byte)(begins[value] ? ++last : last);
        return (classes, last + 1);
    }
}
