namespace Conclave.Engine.Grammars;

/// <summary>
/// Makes the mask of a configuration by one walk over the groups of tokens. Where the bytes of a kind lead apart, the walk goes the way that most tokens go; the
/// others are then looked at byte by byte. For one thread at a time.
/// </summary>
internal sealed class MaskBuilder(ConfigurationGraph graph, Automaton automaton, TokenVocabulary vocabulary)
{
    private readonly Configuration[] _path = new Configuration[vocabulary.MaxLength + 1];
    private readonly Configuration[] _exceptionPath = new Configuration[vocabulary.MaxLength + 1];
    private readonly List<(int First, int Last)> _allowed = [];
    private readonly List<(int Node, Configuration Next, bool IsTaken)> _exceptions = [];

    /// <summary>The tokens that <paramref name="from"/> allows, one bit each.</summary>
    public uint[] Build(Configuration from)
    {
        Walk(from);
        uint[] mask = Assemble();

        // A later exception may lie within an earlier one, which then has the last word on it.
        for (int i = _exceptions.Count - 1; i >= 0; i--)
        {
            (int node, Configuration next, bool isTaken) = _exceptions[i];
            if (isTaken)
                Clear(mask, vocabulary.TokenIds.AsSpan(vocabulary.Nodes[node].FirstToken..vocabulary.Nodes[vocabulary.Nodes[node].Next].FirstToken));
            if (!ReferenceEquals(next, Configuration.Dead))
                WalkTokens(mask, node, next);
        }

        Array.Clear(_path);
        Array.Clear(_exceptionPath);
        return mask;
    }

    private void Walk(Configuration from)
    {
        // Those of a walk that was given up too.
        _allowed.Clear();
        _exceptions.Clear();
        ReadOnlySpan<TokenGroup> groups = vocabulary.Groups.Groups;
        _path[0] = from;
        for (int i = 0; i < groups.Length - 1;)
        {
            ref readonly TokenGroup group = ref groups[i];
            Configuration at = _path[group.Depth];
            Configuration next = at.Leads?[group.Kind] ?? graph.StepKind(at, group.Kind);
            if (ReferenceEquals(next, Configuration.Mixed))
                next = Vote(at, vocabulary.Groups.Members.AsSpan(group.FirstMember..groups[i + 1].FirstMember));
            if (ReferenceEquals(next, Configuration.Dead))
            {
                i = group.Next;
                continue;
            }

            _path[group.Depth + 1] = next;
            Allow(group.FirstToken, groups[++i].FirstToken);
        }
    }

    /// <summary>Where the bytes lead that most tokens of these members have; the members whose bytes lead elsewhere become exceptions.</summary>
    private Configuration Vote(Configuration at, ReadOnlySpan<int> members)
    {
        ReadOnlySpan<TokenNode> nodes = vocabulary.Nodes;
        ReadOnlySpan<byte> classes = automaton.Classes;

        // Boyer and Moore's vote: whoever has the majority is found, if anybody has.
        Configuration most = Configuration.Dead;
        int lead = 0;
        foreach (int member in members)
        {
            Configuration next = graph.Step(at, classes[nodes[member].Value]);
            int weight = nodes[nodes[member].Next].FirstToken - nodes[member].FirstToken;
            if (ReferenceEquals(next, most))
                lead += weight;
            else if ((lead -= weight) < 0)
                (most, lead) = (next, -lead);
        }

        bool isTaken = !ReferenceEquals(most, Configuration.Dead);
        foreach (int member in members)
        {
            Configuration next = graph.Step(at, classes[nodes[member].Value]);
            if (!ReferenceEquals(next, most))
                _exceptions.Add((member, next, isTaken));
        }

        return most;
    }

    private void Allow(int first, int last)
    {
        if (_allowed.Count > 0 && _allowed[^1].Last == first)
            _allowed[^1] = (_allowed[^1].First, last);
        else if (last > first)
            _allowed.Add((first, last));
    }

    /// <summary>The mask of what the walk allowed: written from whichever of all and none is closer.</summary>
    private uint[] Assemble()
    {
        ReadOnlySpan<int> ids = vocabulary.Groups.TokenIds;
        int count = 0;
        foreach ((int first, int last) in _allowed)
            count += last - first;
        if (2 * count < ids.Length)
        {
            var mask = new uint[vocabulary.MaskWords];
            foreach ((int first, int last) in _allowed)
                Set(mask, ids[first..last]);
            return mask;
        }

        uint[] all = [.. vocabulary.All];
        int next = 0;
        foreach ((int first, int last) in _allowed)
        {
            Clear(all, ids[next..first]);
            next = last;
        }

        Clear(all, ids[next..]);
        return all;
    }

    /// <summary>Allows the tokens that begin with <paramref name="root"/>, which leads to <paramref name="at"/>, as far as they lead on.</summary>
    private void WalkTokens(uint[] mask, int root, Configuration at)
    {
        ReadOnlySpan<TokenNode> nodes = vocabulary.Nodes;
        ReadOnlySpan<int> ids = vocabulary.TokenIds;
        ReadOnlySpan<byte> classes = automaton.Classes;
        int end = nodes[root].Next;
        _exceptionPath[nodes[root].Depth + 1] = at;
        Set(mask, ids[nodes[root].FirstToken..nodes[root + 1].FirstToken]);
        for (int i = root + 1; i < end;)
        {
            TokenNode node = nodes[i];
            Configuration next = graph.Step(_exceptionPath[node.Depth], classes[node.Value]);
            if (ReferenceEquals(next, Configuration.Dead))
            {
                i = node.Next;
                continue;
            }

            _exceptionPath[node.Depth + 1] = next;
            Set(mask, ids[node.FirstToken..nodes[++i].FirstToken]);
        }
    }

    private static void Set(uint[] mask, ReadOnlySpan<int> ids)
    {
        foreach (int id in ids)
            mask[id >> 5] |= 1u << (id & 31);
    }

    private static void Clear(uint[] mask, ReadOnlySpan<int> ids)
    {
        foreach (int id in ids)
            mask[id >> 5] &= ~(1u << (id & 31));
    }
}
