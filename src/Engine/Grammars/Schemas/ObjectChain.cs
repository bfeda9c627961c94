namespace Conclave.Engine.Grammars;

/// <summary>A part that is written at its place or left out.</summary>
/// <param name="Text">How it is written.</param>
/// <param name="IsRequired">It is never left out.</param>
internal sealed record ChainMember(Node Text, bool IsRequired);

/// <summary>At least one of some parts in order, optional ones left out at will, separators between those that are written, and their number counted if need be.</summary>
internal sealed class ObjectChain
{
    private readonly Dictionary<Place, int> _states = [];
    private readonly List<GraphEdge> _edges = [];
    private readonly List<int> _accepting = [];

    /// <summary>The chain.</summary>
    /// <param name="members">The parts in order.</param>
    /// <param name="others">What may follow them any number of times. Two of one kind may be equal, so that only one of each surely counts towards <paramref name="min"/>.</param>
    /// <param name="separator">Between two parts.</param>
    /// <param name="min">How many there are at least.</param>
    /// <param name="max">How many there are at most; null: any number.</param>
    /// <param name="place">What errors call it.</param>
    /// <exception cref="OperatingException">Too large.</exception>
    public static Node Of(IReadOnlyList<ChainMember> members, IReadOnlyList<Node> others, Node separator, int min, int? max, string place)
    {
        // What always holds needs no counting.
        if (min <= Math.Max(1, members.Count(member => member.IsRequired)))
            min = 0;
        if (others.Count == 0 && max >= members.Count)
            max = null;
        if ((long)(members.Count + (others.Count << others.Count) + 1) * (max ?? min) > AutomatonBuilder.MaxStates / 8)
            GrammarError.ThrowTooLarge(place);

        // What stands at several places is built once.
        bool isCounting = min > 0 || max is not null;
        if (isCounting)
            members = [.. members.Select(member => member with { Text = Shared(member.Text) })];
        var chain = new ObjectChain();
        chain.Build(members, separator, min, max);
        if (others.Count > 0)
            chain.AddOthers(members.Count, isCounting ? [.. others.Select(Shared)] : others, separator, min, max);
        return new Node.Graph(chain._edges, chain._accepting);
    }

    private static Node Shared(Node node) => node is Node.Call ? node : new Node.Call(new Rule("a member") { Body = node });

    private void Build(IReadOnlyList<ChainMember> members, Node separator, int min, int? max)
    {
        int most = max ?? min;
        int lastRequired = members.Select((member, index) => member.IsRequired ? index : -1).DefaultIfEmpty(-1).Max();
        State(new Place(0, 0, IsBehind: false));
        for (int next = 0; next <= members.Count; next++)
        {
            for (int count = 0; count <= most; count++)
            {
                bool isFull = max is not null && count == most;
                Place before = new(next, count, IsBehind: false), behind = new(next, count, IsBehind: true);
                if (next > 0 && !isFull)
                    _edges.Add(new GraphEdge(State(behind), separator, State(before)));
                if (next > lastRequired && next > 0 && count >= min)
                    _accepting.Add(State(behind));
                if (next == members.Count || isFull)
                    continue;
                if (!members[next].IsRequired)
                    _edges.Add(new GraphEdge(State(before), Node.Empty, State(before with { Next = next + 1 })));
                _edges.Add(new GraphEdge(State(before), members[next].Text, State(new Place(next + 1, Math.Min(most, count + 1), IsBehind: true))));
            }
        }
    }

    /// <summary>Behind the last of the members: the others, and which kinds of them there have been while there are too few.</summary>
    private void AddOthers(int end, IReadOnlyList<Node> others, Node separator, int min, int? max)
    {
        int most = max ?? min;
        var open = new Queue<Place>();
        for (int count = 0; count <= most; count++)
            Follow(new Place(end, count, IsBehind: false), new Place(end, count, IsBehind: false, Math.Max(0, min - count), IsOther: true));
        while (open.TryDequeue(out Place behind))
        {
            if (behind.Lacking == 0)
                _accepting.Add(State(behind));
            if (max is not null && behind.Count == most)
                continue;
            Place before = behind with { IsBehind = false };
            _edges.Add(new GraphEdge(State(behind), separator, State(before)));
            Follow(before, before);
        }

        void Follow(Place from, Place seen)
        {
            if (max is not null && seen.Count == most)
                return;
            for (int i = 0; i < others.Count; i++)
            {
                bool isNew = (seen.Kinds >> i & 1) == 0;
                int lacking = isNew ? Math.Max(0, seen.Lacking - 1) : seen.Lacking;
                Place to = seen with { IsBehind = true, Count = Math.Min(most, seen.Count + 1), Lacking = lacking, Kinds = lacking == 0 ? 0 : seen.Kinds | (1 << i) };
                if (!_states.ContainsKey(to))
                    open.Enqueue(to);
                _edges.Add(new GraphEdge(State(from), others[i], State(to)));
            }
        }
    }

    private int State(Place place)
    {
        if (!_states.TryGetValue(place, out int state))
            _states.Add(place, state = _states.Count);
        return state;
    }

    /// <summary>A place in the chain.</summary>
    /// <param name="Next">The next member.</param>
    /// <param name="Count">Parts so far, as far as they are counted.</param>
    /// <param name="IsBehind">One has just been written; else one must come.</param>
    /// <param name="Lacking">Among the others: how many are needed yet.</param>
    /// <param name="Kinds">Their kinds so far, one bit each, while some are lacking.</param>
    /// <param name="IsOther">Among the others.</param>
    private readonly record struct Place(int Next, int Count, bool IsBehind, int Lacking = 0, int Kinds = 0, bool IsOther = false);
}
