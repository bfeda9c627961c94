namespace Conclave.Engine.Grammars;

/// <summary>A finite automaton over characters, for what must hold of one string at once: several expressions, and a length. Begins at 0, ends at 1. Immutable.</summary>
internal sealed class CharacterAutomaton
{
    private const int MaxEdges = 200_000;
    private const int MaxSets = 4000;

    private readonly List<(int From, CodePoints? Set, int To)> _edges = [];
    private readonly string _path;
    private int _stateCount = 2;
    private ILookup<int, (int From, CodePoints? Set, int To)>? _from;
    private GraphLengths? _lengths;

    private CharacterAutomaton(string path) => _path = path;

    // Asked for once all edges are there.
    private ILookup<int, (int From, CodePoints? Set, int To)> From => _from ??= _edges.ToLookup(edge => edge.From);

    /// <summary>The automaton of a tree of characters, sequences, choices and repetitions.</summary>
    /// <exception cref="OperatingException">Too large.</exception>
    public static CharacterAutomaton Of(Node node, string path)
    {
        var made = new CharacterAutomaton(path);
        made.Emit(node, 0, 1);
        return made;
    }

    /// <summary>
    /// Strings of so many characters, whether a character beyond U+FFFF counts as one, as the standard says, or as two, as some validators do: the first
    /// <paramref name="min"/> are not such, and behind them one takes the place of two.
    /// </summary>
    public static CharacterAutomaton OfLength(int min, int? max, string path)
    {
        var made = new CharacterAutomaton(path);
        int first = made._stateCount;
        int At(int length) => length == 0 ? 0 : first + length - 1;
        made._stateCount += Math.Max(min, max ?? min) + 2;
        for (int length = 0; length < min; length++)
            made.AddEdge(At(length), CodePoints.Basic, At(length + 1));
        if (max is null)
            made.AddEdge(At(min), CodePoints.All, At(min));
        for (int length = min; length < max; length++)
        {
            made.AddEdge(At(length), CodePoints.Basic, At(length + 1));
            if (length + 2 <= max)
                made.AddEdge(At(length), CodePoints.Wide, At(length + 2));
        }

        for (int length = min; length <= (max ?? min); length++)
            made.AddEdge(At(length), null, 1);
        made._lengths = new GraphLengths(min, max, Enumerable.Range(0, (max ?? min) + 1).ToDictionary(At, length => (0, length)));
        return made;
    }

    /// <summary>Strings of both: the states of the product, as far as they are reached. Those of the first may be counted in length.</summary>
    /// <exception cref="OperatingException">Too large.</exception>
    public static CharacterAutomaton Both(CharacterAutomaton first, CharacterAutomaton second, string path)
    {
        var made = new CharacterAutomaton(path);
        var states = new Dictionary<(int, int), int> { [(0, 0)] = 0, [(1, 1)] = 1 };
        var open = new Queue<(int, int)>([(0, 0)]);
        var shared = new Dictionary<(CodePoints, CodePoints), CodePoints>();
        ILookup<int, (int From, CodePoints? Set, int To)> firstFrom = first.From, secondFrom = second.From;
        while (open.TryDequeue(out (int First, int Second) at))
        {
            foreach ((_, CodePoints? set, int to) in firstFrom[at.First])
            {
                if (set is null)
                    Add(at, null, (to, at.Second));
                foreach ((_, CodePoints? other, int otherTo) in secondFrom[at.Second])
                {
                    if (set is not null && other is not null && Shared(set, other) is { IsEmpty: false } both)
                        Add(at, both, (to, otherTo));
                }
            }

            foreach ((_, CodePoints? set, int to) in secondFrom[at.Second])
            {
                if (set is null)
                    Add(at, null, (at.First, to));
            }
        }

        if (first._lengths is { } lengths)
        {
            var shapes = new Dictionary<(int, int), int>();
            made._lengths = lengths with
            {
                States = states.Where(pair => lengths.States.ContainsKey(pair.Key.Item1)).ToDictionary(pair => pair.Value, pair => (Shape(pair.Key), lengths.States[pair.Key.Item1].Length)),
            };

            int Shape((int First, int Second) at)
            {
                (int, int) key = (lengths.States[at.First].Shape, at.Second);
                shapes.TryAdd(key, shapes.Count);
                return shapes[key];
            }
        }

        return made;

        CodePoints Shared(CodePoints set, CodePoints other)
        {
            if (!shared.TryGetValue((set, other), out CodePoints? both))
                shared.Add((set, other), both = set.Intersect(other));
            return both;
        }

        void Add((int, int) from, CodePoints? set, (int, int) to)
        {
            if (!states.TryGetValue(to, out int state))
            {
                states.Add(to, state = made._stateCount++);
                open.Enqueue(to);
            }

            made.AddEdge(states[from], set, state);
        }
    }

    /// <summary>Strings whose characters up to U+007F have a sum with this remainder. No string is of two remainders.</summary>
    public static CharacterAutomaton OfRemainder(int remainder, int modulus, string path)
    {
        var made = new CharacterAutomaton(path);
        CodePoints[] classes = [.. Enumerable.Range(0, modulus).Select(step => CodePoints.Of([.. Enumerable.Range(0, 0x80).Where(value => value % modulus == step).Select(value => (value, value))]))];
        classes[0] = classes[0].Union(CodePoints.Of((0x80, 0x10FFFF)));
        made._stateCount = 2 + modulus;
        made.AddEdge(0, null, 2);
        for (int sum = 0; sum < modulus; sum++)
        {
            for (int step = 0; step < modulus; step++)
                made.AddEdge(2 + sum, classes[step], 2 + ((sum + step) % modulus));
        }

        made.AddEdge(2 + remainder, null, 1);
        return made;
    }

    /// <summary>These strings, each a literal.</summary>
    public static CharacterAutomaton OfTexts(IEnumerable<string> texts, string path) => Of(
        Node.Any([.. texts.Select(text => Node.Of([.. text.EnumerateRunes().Select(rune => new Node.Character(CodePoints.Single(rune.Value)))]))]), path);

    /// <summary>Strings that are none of these.</summary>
    /// <exception cref="OperatingException">Too large.</exception>
    public CharacterAutomaton Complement()
    {
        var made = new CharacterAutomaton(_path);
        ILookup<int, (int From, CodePoints? Set, int To)> from = From;
        var states = new Dictionary<string, int>();
        var open = new Queue<(int State, int[] Set)>();
        StateOf([0]);
        while (open.TryDequeue(out (int State, int[] Set) at))
        {
            if (!at.Set.Contains(1))
                made.AddEdge(at.State, null, 1);
            foreach ((int[] targets, CodePoints set) in Steps(at.Set.SelectMany(state => from[state]).Where(edge => edge.Set is not null)))
                made.AddEdge(at.State, set, StateOf(targets));
        }

        return made;

        int StateOf(IEnumerable<int> targets)
        {
            int[] closed = [.. Close(targets, from).Order()];
            string key = string.Join(',', closed);
            if (states.TryGetValue(key, out int state))
                return state;
            if (states.Count >= MaxSets)
                throw Error("what does not match this is too large to tell; use smaller lengths and counts");
            states.Add(key, state = states.Count == 0 ? 0 : made._stateCount++);
            open.Enqueue((state, closed));
            return state;
        }
    }

    /// <summary>Whether <paramref name="text"/> is one of these.</summary>
    public bool Contains(string text)
    {
        ILookup<int, (int From, CodePoints? Set, int To)> from = From;
        HashSet<int> at = Close([0], from);
        foreach (System.Text.Rune rune in text.EnumerateRunes())
            at = Close(at.SelectMany(state => from[state]).Where(edge => edge.Set is { } set && set.Contains(rune.Value)).Select(edge => edge.To), from);
        return at.Contains(1);
    }

    private static HashSet<int> Close(IEnumerable<int> states, ILookup<int, (int From, CodePoints? Set, int To)> from)
    {
        var reached = states.ToHashSet();
        var open = new Stack<int>(reached);
        while (open.TryPop(out int state))
        {
            foreach ((_, CodePoints? set, int to) in from[state])
            {
                if (set is null && reached.Add(to))
                    open.Push(to);
            }
        }

        return reached;
    }

    /// <summary>All characters, by the states that they lead to; those that lead nowhere too.</summary>
    private static IEnumerable<(int[] Targets, CodePoints Set)> Steps(IEnumerable<(int From, CodePoints? Set, int To)> edges)
    {
        // Where a range begins or ends, the targets change.
        var changes = new SortedDictionary<int, List<(int To, int Change)>> { [0] = [], [0x110000] = [] };
        foreach ((_, CodePoints? set, int to) in edges)
        {
            foreach ((int first, int last) in set!.Ranges)
            {
                Change(first, to, 1);
                Change(last + 1, to, -1);
            }
        }

        var counts = new SortedDictionary<int, int>();
        var ranges = new Dictionary<string, (int[] Targets, List<(int, int)> Ranges)>();
        int begin = 0;
        foreach ((int at, List<(int To, int Change)> changed) in changes)
        {
            if (at > begin)
            {
                int[] targets = [.. counts.Where(count => count.Value > 0).Select(count => count.Key)];
                string key = string.Join(',', targets);
                if (!ranges.TryGetValue(key, out var known))
                    ranges.Add(key, known = (targets, []));
                known.Ranges.Add((begin, at - 1));
            }

            foreach ((int to, int change) in changed)
                counts[to] = counts.GetValueOrDefault(to) + change;
            begin = at;
        }

        return ranges.Values.Select(range => (range.Targets, CodePoints.Of([.. range.Ranges])));

        void Change(int at, int to, int change)
        {
            if (!changes.TryGetValue(at, out List<(int To, int Change)>? list))
                changes.Add(at, list = []);
            list.Add((to, change));
        }
    }

    /// <summary>The same as a node.</summary>
    /// <param name="character">How one character of a set is written.</param>
    public Node ToNode(Func<CodePoints, Node> character)
    {
        var labels = new Dictionary<CodePoints, Node>();
        return new Node.Graph([.. _edges.Select(edge => new GraphEdge(edge.From, edge.Set is { } set ? Label(set) : Node.Empty, edge.To))], [1]) { Lengths = _lengths };

        Node Label(CodePoints set)
        {
            if (!labels.TryGetValue(set, out Node? label))
                labels.Add(set, label = character(set));
            return label;
        }
    }

    private void AddEdge(int from, CodePoints? set, int to)
    {
        if (_edges.Count >= MaxEdges)
            throw Error("the expression is too large together with what else the string must be; use smaller lengths and counts");
        _edges.Add((from, set, to));
    }

    private OperatingException Error(string problem) => GrammarError.At(_path is ['#', ..] ? $"schema {_path}" : _path, problem);

    private void Emit(Node node, int from, int to)
    {
        switch (node)
        {
            case Node.Character character:
                AddEdge(from, character.Set, to);
                break;
            case Node.Choice choice:
                foreach (Node alternative in choice.Alternatives)
                    Emit(alternative, from, to);
                break;
            case Node.Sequence sequence:
                foreach (Node part in sequence.Parts)
                    Emit(part, from, from = _stateCount++);
                AddEdge(from, null, to);
                break;
            case Node.Repeat repeat:
                EmitRepeat(repeat, from, to);
                break;
            case Node.Graph graph:
                int first = _stateCount;
                _stateCount += 1 + graph.Edges.Select(edge => Math.Max(edge.From, edge.To)).Concat(graph.Accepting).DefaultIfEmpty(0).Max();
                AddEdge(from, null, first);
                foreach (GraphEdge edge in graph.Edges)
                    Emit(edge.Label, first + edge.From, first + edge.To);
                foreach (int accepting in graph.Accepting)
                    AddEdge(first + accepting, null, to);
                break;
            default:
                throw new InvalidOperationException($"{node.GetType().Name} is no part of an expression.");
        }
    }

    private void EmitRepeat(Node.Repeat repeat, int from, int to)
    {
        for (int i = 0; i < repeat.Min; i++)
            Emit(repeat.Part, from, from = _stateCount++);
        if (repeat.Max == Node.Repeat.Unbounded)
        {
            int loop = _stateCount++;
            AddEdge(from, null, loop);
            Emit(repeat.Part, loop, loop);
            from = loop;
        }

        for (int i = repeat.Min; i < repeat.Max; i++)
        {
            AddEdge(from, null, to);
            Emit(repeat.Part, from, from = _stateCount++);
        }

        AddEdge(from, null, to);
    }
}
