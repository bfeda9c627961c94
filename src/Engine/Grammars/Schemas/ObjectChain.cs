namespace Conclave.Engine.Grammars;

/// <summary>A part that is written at its place or left out.</summary>
/// <param name="Text">How it is written.</param>
/// <param name="IsRequired">It is never left out.</param>
internal sealed record ChainMember(Node Text, bool IsRequired);

/// <summary>At least one of some parts in order, optional ones left out at will, separators between those that are written, and their number counted if need be.</summary>
internal sealed class ObjectChain
{
    private readonly Dictionary<(int Next, int Count, Place Place), int> _states = [];
    private readonly List<GraphEdge> _edges = [];
    private readonly List<int> _accepting = [];

    /// <summary>Where in the chain, seen from the next member.</summary>
    private enum Place
    {
        /// <summary>A member must come.</summary>
        Before,

        /// <summary>One has just been written.</summary>
        Behind,

        /// <summary>Before or behind one of the parts without a place of their own, with as many members as there must be.</summary>
        BeforeOther, BehindOther,

        /// <summary>The same with too few.</summary>
        BeforeLacking, BehindLacking,
    }

    /// <summary>The chain.</summary>
    /// <param name="members">The parts in order.</param>
    /// <param name="other">What may follow them any number of times; they may be equal, so that only the first surely counts towards <paramref name="min"/>. Null: nothing.</param>
    /// <param name="separator">Between two parts.</param>
    /// <param name="min">How many there are at least.</param>
    /// <param name="max">How many there are at most; null: any number.</param>
    /// <param name="place">What errors call it.</param>
    /// <exception cref="OperatingException">Too large.</exception>
    public static Node Of(IReadOnlyList<ChainMember> members, Node? other, Node separator, int min, int? max, string place)
    {
        // What always holds needs no counting.
        if (min <= Math.Max(1, members.Count(member => member.IsRequired)))
            min = 0;
        if (other is null && max >= members.Count)
            max = null;
        if ((long)(members.Count + 1) * (max ?? min) > AutomatonBuilder.MaxStates / 8)
            GrammarError.ThrowTooLarge(place);

        // What stands at several places is built once.
        if (min > 0 || max is not null)
            members = [.. members.Select(member => member with { Text = Shared(member.Text) })];
        var chain = new ObjectChain();
        chain.Build(members, other is null || (min == 0 && max is null) ? other : Shared(other), separator, min, max);
        return new Node.Graph(chain._edges, chain._accepting);
    }

    private static Node Shared(Node node) => node is Node.Call ? node : new Node.Call(new Rule("a member") { Body = node });

    private void Build(IReadOnlyList<ChainMember> members, Node? other, Node separator, int min, int? max)
    {
        int most = max ?? min;
        State(0, 0, Place.Before);
        for (int next = 0; next <= members.Count; next++)
        {
            bool mayEnd = !members.Skip(next).Any(member => member.IsRequired);
            for (int count = 0; count <= most; count++)
            {
                bool isFull = max is not null && count == most;
                if (next > 0 && !isFull)
                    _edges.Add(new GraphEdge(State(next, count, Place.Behind), separator, State(next, count, Place.Before)));
                if (next > 0 && mayEnd && count >= min)
                    _accepting.Add(State(next, count, Place.Behind));
                if (next == members.Count || isFull)
                    continue;
                if (!members[next].IsRequired)
                    _edges.Add(new GraphEdge(State(next, count, Place.Before), Node.Empty, State(next + 1, count, Place.Before)));
                _edges.Add(new GraphEdge(State(next, count, Place.Before), members[next].Text, State(next + 1, Math.Min(most, count + 1), Place.Behind)));
            }
        }

        if (other is not null)
            AddOthers(members.Count, other, separator, min, max);
    }

    private void AddOthers(int end, Node other, Node separator, int min, int? max)
    {
        int most = max ?? min;
        for (int count = 0; count <= most; count++)
        {
            if (max is not null && count == most)
                continue;
            bool isEnough = count + 1 >= min;
            _edges.Add(new GraphEdge(State(end, count, Place.Before), other, State(end, Math.Min(most, count + 1), isEnough ? Place.BehindOther : Place.BehindLacking)));
        }

        for (int count = 0; count <= most; count++)
        {
            foreach ((Place before, Place behind) in ((Place, Place)[])[(Place.BeforeOther, Place.BehindOther), (Place.BeforeLacking, Place.BehindLacking)])
            {
                if (behind == Place.BehindOther)
                    _accepting.Add(State(end, count, behind));
                if (max is not null && count == most)
                    continue;
                _edges.Add(new GraphEdge(State(end, count, behind), separator, State(end, count, before)));
                _edges.Add(new GraphEdge(State(end, count, before), other, State(end, Math.Min(most, count + 1), behind)));
            }
        }
    }

    private int State(int next, int count, Place place)
    {
        if (!_states.TryGetValue((next, count, place), out int state))
            _states.Add((next, count, place), state = _states.Count);
        return state;
    }
}
