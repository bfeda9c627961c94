namespace Conclave.Engine.Grammars;

/// <summary>Turns a tree into states and edges (Thompson's construction, with calls between rules).</summary>
internal sealed class AutomatonBuilder
{
    /// <summary>Most states of a grammar.</summary>
    public const int MaxStates = 1 << 18;

    /// <summary>Most edges of a grammar.</summary>
    public const int MaxEdges = 1 << 20;

    private readonly List<ByteEdge> _byteEdges = [];
    private readonly List<EmptyEdge> _emptyEdges = [];
    private readonly List<CallEdge> _callEdges = [];
    private readonly Dictionary<Rule, int> _rules = [];
    private readonly Queue<Rule> _unbuilt = new();
    private readonly List<RuleStates> _ruleStates = [];
    private readonly Dictionary<int, int> _twins = [];
    private readonly string _place;
    private readonly int _longestToken;
    private int _stateCount;
    private int _depth;

    private AutomatonBuilder(string place, int longestToken) => (_place, _longestToken) = (place, longestToken);

    /// <summary>Builds the automaton of <paramref name="tree"/>.</summary>
    /// <exception cref="OperatingException">Too large, left-recursive, or without any text.</exception>
    public static Automaton Build(GrammarTree tree, TokenVocabulary vocabulary)
    {
        var builder = new AutomatonBuilder(tree.Place, vocabulary.MaxLength);
        builder.RuleIndex(new Rule("the grammar") { Body = tree.Root });
        while (builder._unbuilt.TryDequeue(out Rule? rule))
        {
            RuleStates states = builder._ruleStates[builder._rules[rule]];
            builder._depth = 0;
            builder.Emit(rule.Body, states.Start, states.End);
        }

        return new Automaton(builder._stateCount, builder._byteEdges, builder._emptyEdges, builder._callEdges, builder._ruleStates, builder._twins, tree, vocabulary);
    }

    private int NewState()
    {
        if (_stateCount >= MaxStates)
            GrammarError.ThrowTooLarge(_place);
        return _stateCount++;
    }

    private int RuleIndex(Rule rule)
    {
        if (_rules.TryGetValue(rule, out int index))
            return index;
        index = _ruleStates.Count;
        _rules.Add(rule, index);
        _ruleStates.Add(new RuleStates(rule.Name, NewState(), NewState()));
        _unbuilt.Enqueue(rule);
        return index;
    }

    /// <summary>Adds ways from <paramref name="from"/> to <paramref name="to"/>, none into the first and none out of the second.</summary>
    private void Emit(Node node, int from, int to)
    {
        if (_byteEdges.Count + _emptyEdges.Count + _callEdges.Count > MaxEdges)
            GrammarError.ThrowTooLarge(_place);
        switch (node)
        {
            case Node.Literal literal:
                EmitBytes(literal.Bytes, from, to);
                break;
            case Node.Character character:
                EmitCharacter(character.Set, from, to);
                break;
            case Node.Sequence sequence:
                EmitSequence(sequence.Parts, from, to);
                break;
            case Node.Choice choice:
                foreach (Node alternative in choice.Alternatives.Where(alternative => alternative is not Node.Literal))
                    Emit(alternative, from, to);
                EmitLiterals(choice.Alternatives.OfType<Node.Literal>(), from, to);
                break;
            case Node.Repeat repeat:
                EmitRepeat(repeat, from, to);
                break;
            case Node.Call call:
                _callEdges.Add(new CallEdge(from, RuleIndex(call.Rule), to, _depth));
                break;
            case Node.Nested nested:
                _depth++;
                Emit(nested.Inner, from, to);
                _depth--;
                break;
            case Node.Graph graph:
                EmitGraph(graph, from, to);
                break;
        }
    }

    private void EmitBytes(byte[] bytes, int from, int to)
    {
        if (bytes.Length == 0)
            _emptyEdges.Add(new EmptyEdge(from, to));
        for (int i = 0; i < bytes.Length; i++)
        {
            int next = i == bytes.Length - 1 ? to : NewState();
            _byteEdges.Add(new ByteEdge(from, bytes[i], bytes[i], next));
            from = next;
        }
    }

    /// <summary>Encodings that end alike share their ends, so that lead bytes which say the same lead to one state.</summary>
    private void EmitCharacter(CodePoints set, int from, int to)
    {
        var ends = new Dictionary<(int Next, byte First, byte Last), int>();
        foreach ((byte First, byte Last)[] bytes in Utf8Ranges.Split(set))
        {
            int next = to;
            for (int i = bytes.Length - 1; i > 0; i--)
            {
                (int, byte, byte) end = (next, bytes[i].First, bytes[i].Last);
                if (!ends.TryGetValue(end, out int state))
                {
                    ends.Add(end, state = NewState());
                    _byteEdges.Add(new ByteEdge(state, bytes[i].First, bytes[i].Last, next));
                }

                next = state;
            }

            _byteEdges.Add(new ByteEdge(from, bytes[0].First, bytes[0].Last, next));
        }
    }

    /// <summary>Texts that begin alike share their beginnings: a long enumeration is one tree.</summary>
    private void EmitLiterals(IEnumerable<Node.Literal> literals, int from, int to)
    {
        var nexts = new Dictionary<(int State, byte Value), int>();
        foreach (Node.Literal literal in literals)
        {
            int at = from;
            for (int i = 0; i < literal.Bytes.Length - 1; i++)
            {
                byte value = literal.Bytes[i];
                if (!nexts.TryGetValue((at, value), out int next))
                {
                    nexts.Add((at, value), next = NewState());
                    _byteEdges.Add(new ByteEdge(at, value, value, next));
                }

                at = next;
            }

            EmitBytes(literal.Bytes[Math.Max(0, literal.Bytes.Length - 1)..], at, to);
        }
    }

    private void EmitSequence(IReadOnlyList<Node> parts, int from, int to)
    {
        if (parts.Count == 0)
            _emptyEdges.Add(new EmptyEdge(from, to));
        for (int i = 0; i < parts.Count; i++)
        {
            int next = i == parts.Count - 1 ? to : NewState();
            Emit(parts[i], from, next);
            from = next;
        }
    }

    private void EmitRepeat(Node.Repeat repeat, int from, int to)
    {
        (Node part, int min, int max) = repeat;
        int copies = max == Node.Repeat.Unbounded ? min + 1 : max;
        bool isText = part.IsText;

        // Many copies of a large part are calls of one copy.
        if (copies > 1 && !(IsSmall(part) || (copies == 2 && part is Node.Character or Node.Literal)))
            part = new Node.Call(new Rule("a repeated part") { Body = part });
        var twins = new Dictionary<(int Shape, bool IsEarly), int>();
        for (int i = 0; i < min; i++)
        {
            int next = i == max - 1 ? to : NewState();
            Emit(part, from, next);
            if (isText && next != to)
                Pair(twins, 0, i + 1, min, max == Node.Repeat.Unbounded ? null : max, next);
            from = next;
        }

        if (max == Node.Repeat.Unbounded)
        {
            int loop = NewState();
            _emptyEdges.Add(new EmptyEdge(from, loop));
            Emit(part, loop, loop);
            _emptyEdges.Add(new EmptyEdge(loop, to));
            return;
        }

        if (max == 0)
            _emptyEdges.Add(new EmptyEdge(from, to));
        for (int i = min; i < max; i++)
        {
            int next = i == max - 1 ? to : NewState();
            _emptyEdges.Add(new EmptyEdge(from, to));
            Emit(part, from, next);
            if (isText && next != to)
                Pair(twins, 0, i + 1, min, max, next);
            from = next;
        }
    }

    private void EmitGraph(Node.Graph graph, int from, int to)
    {
        var states = new Dictionary<int, int>();
        int State(int number)
        {
            if (!states.TryGetValue(number, out int state))
                states.Add(number, state = NewState());
            return state;
        }

        // Many edges of one large label are calls of one copy.
        var labels = new Dictionary<Node, Node>(ReferenceEqualityComparer.Instance);
        foreach (GraphEdge edge in graph.Edges)
        {
            if (!labels.TryAdd(edge.Label, edge.Label) && ReferenceEquals(labels[edge.Label], edge.Label) && !IsSmall(edge.Label))
                labels[edge.Label] = new Node.Call(new Rule("a repeated part") { Body = edge.Label });
        }

        _emptyEdges.Add(new EmptyEdge(from, State(0)));
        foreach (GraphEdge edge in graph.Edges)
            Emit(labels[edge.Label], State(edge.From), State(edge.To));
        foreach (int accepting in graph.Accepting)
            _emptyEdges.Add(new EmptyEdge(State(accepting), to));
        if (graph.Lengths is not { } lengths)
            return;
        var twins = new Dictionary<(int Shape, bool IsEarly), int>();
        foreach ((int number, (int shape, int length)) in lengths.States)
            Pair(twins, shape, length, lengths.Min, lengths.Max, State(number));
    }

    /// <summary>Makes <paramref name="state"/> a twin of the first one of its shape if no token reaches either bound of the length from it.</summary>
    private void Pair(Dictionary<(int Shape, bool IsEarly), int> twins, int shape, int length, int min, int? max, int state)
    {
        bool isEarly = length < min;
        if (isEarly ? min - length <= _longestToken + 1 : max - length <= _longestToken + 1)
            return;
        if (!twins.TryAdd((shape, isEarly), state))
            _twins.Add(state, twins[(shape, isEarly)]);
    }

    /// <summary>Whether another copy takes no states.</summary>
    private static bool IsSmall(Node node) => node is Node.Call or Node.Literal { Bytes.Length: <= 1 } or Node.Sequence { Parts.Count: 0 } || IsByte(node);

    private static bool IsByte(Node node) => node switch
    {
        Node.Literal literal => literal.Bytes.Length == 1,
        Node.Character character => character.Set.IsEmpty || character.Set.Ranges[^1].Last < 0x80,
        Node.Choice choice => choice.Alternatives.All(IsByte),
        _ => false,
    };
}

/// <summary>A step by one byte of an inclusive range.</summary>
internal readonly record struct ByteEdge(int From, byte First, byte Last, int To);

/// <summary>A step without text.</summary>
internal readonly record struct EmptyEdge(int From, int To);

/// <summary>A step by whatever a rule stands for.</summary>
/// <param name="From">State before.</param>
/// <param name="Rule">Index of the rule.</param>
/// <param name="Return">State after.</param>
/// <param name="Weight">Levels that the callee lies deeper.</param>
internal readonly record struct CallEdge(int From, int Rule, int Return, int Weight);

/// <summary>Where a rule begins and ends. Nothing leads out of its end.</summary>
internal readonly record struct RuleStates(string Name, int Start, int End);
