namespace Conclave.Engine.Grammars;

/// <summary>
/// The deterministic form of an <see cref="Automaton"/>, made as far as texts reach it: configurations, where bytes lead from them, and their masks. What
/// it answers depends on the automaton alone, never on what is cached. Safe for any number of threads.
/// </summary>
internal sealed class ConfigurationCache
{
    /// <summary>Memory after which everything is forgotten and begun anew, in bytes, roughly.</summary>
    public const long DefaultSizeBytes = 24L << 20;

    /// <summary>Most states that one text leads to: more is a grammar that nobody meant, and every step would pay for it.</summary>
    private const int MaxReached = 20_000;

    private readonly Automaton _automaton;
    private readonly TokenVocabulary _vocabulary;

    // Guards all below, and writing to configurations.
    private readonly Lock _gate = new();
    private readonly HashSet<Configuration> _configurations = new(new ConfigurationComparer());
    private readonly HashSet<uint[]> _masks = new(new MaskComparer());
    private readonly Dictionary<(int Return, int Parent, int Depth), Frame> _frames = [];
    private readonly HashSet<Position> _reached = [];
    private readonly Stack<Position> _open = new();
    private readonly List<Position> _found = [];
    private readonly Configuration[] _path;
    private readonly long _maxSizeBytes;
    private Configuration _start;
    private long _sizeBytes;
    private int _epoch;
    private int _frameCount;
    private long _maskCount;

    public ConfigurationCache(Automaton automaton, TokenVocabulary vocabulary, long maxSizeBytes = DefaultSizeBytes)
    {
        (_automaton, _vocabulary, _maxSizeBytes) = (automaton, vocabulary, maxSizeBytes);
        _path = new Configuration[vocabulary.MaxLength + 1];
        lock (_gate)
            _start = Close([new Position(automaton.Start, null)]);
    }

    /// <summary>Before the first byte.</summary>
    public Configuration Start => Volatile.Read(ref _start);

    /// <summary>Masks computed since the start, those that were forgotten and made again included.</summary>
    public long MaskCount => Interlocked.Read(ref _maskCount);

    /// <summary>Where <paramref name="value"/> leads; <see cref="Configuration.Dead"/> if nowhere.</summary>
    public Configuration Step(Configuration from, byte value)
    {
        int byteClass = _automaton.Classes[value];
        if (Volatile.Read(ref from.Next[byteClass]) is { } known)
            return known;
        lock (_gate)
            return StepClass(Current(from), byteClass);
    }

    /// <summary>The tokens that <paramref name="from"/> allows; every one leads to a text that can be completed.</summary>
    public uint[] Mask(Configuration from)
    {
        if (from.Mask is { } known)
            return known;
        lock (_gate)
        {
            Configuration current = Current(from);
            uint[] mask = current.Mask ?? ComputeMask(current);
            from.Mask = mask;
            return mask;
        }
    }

    private Configuration StepClass(Configuration from, int byteClass)
    {
        if (from.Next[byteClass] is { } known)
            return known;
        _found.Clear();
        foreach ((int state, Frame? frame) in from.Positions)
        {
            foreach (Automaton.Step step in _automaton.StepsFrom(state))
            {
                if (byteClass >= step.First && byteClass <= step.Last && Fits(step.To, frame))
                    _found.Add(new Position(step.To, frame));
            }
        }

        Configuration next = _found.Count == 0 ? Configuration.Dead : Close([.. _found]);
        Volatile.Write(ref from.Next[byteClass], next);
        return next;
    }

    private bool LeadsOn(Position position)
    {
        foreach (Automaton.Step step in _automaton.StepsFrom(position.State))
        {
            if (Fits(step.To, position.Frame))
                return true;
        }

        return false;
    }

    /// <summary>Whether the rule can still be ended at this state without more levels than there may be.</summary>
    private bool Fits(int state, Frame? frame)
    {
        int needed = _automaton.DepthNeeded(state);
        return needed != AutomatonDepths.Never && needed + (frame?.Depth ?? 0) <= _automaton.MaxDepth;
    }

    /// <summary>The configuration of everything that <paramref name="positions"/> lead to without text.</summary>
    private Configuration Close(Position[] positions)
    {
        _reached.Clear();
        _open.Clear();
        _found.Clear();
        bool isComplete = false;
        foreach (Position position in positions)
            Reach(position);
        while (_open.TryPop(out Position position))
        {
            (int state, Frame? frame) = position;
            if (LeadsOn(position))
                _found.Add(position);
            if (_automaton.IsEnd(state))
            {
                if (frame is null)
                    isComplete = true;
                else
                    Reach(new Position(frame.Return, frame.Parent));
            }

            foreach (int to in _automaton.EmptyFrom(state))
                Reach(new Position(to, frame));
            foreach (Automaton.Call call in _automaton.CallsFrom(state))
            {
                if (call.IsTail)
                    Reach(new Position(call.Start, frame));
                else if (Fits(call.Return, frame))
                    Reach(new Position(call.Start, FrameOf(call.Return, frame, (frame?.Depth ?? 0) + call.Weight)));
            }
        }

        _found.Sort((a, b) => a.State != b.State ? a.State.CompareTo(b.State) : (a.Frame?.Id ?? -1).CompareTo(b.Frame?.Id ?? -1));
        return Intern(new Configuration([.. _found], isComplete, _automaton.ClassCount, _epoch));
    }

    private void Reach(Position position)
    {
        if (!Fits(position.State, position.Frame) || !_reached.Add(position))
            return;
        if (_reached.Count > MaxReached)
        {
            throw new OperatingException(
                OperatingError.InvalidRequest, $"The grammar is too ambiguous: the text so far leads to more than {MaxReached} states. Make its alternatives differ in their first characters, or have fewer of them.");
        }

        _open.Push(position);
    }

    private Frame FrameOf(int @return, Frame? parent, int depth)
    {
        (int, int, int) key = (@return, parent?.Id ?? -1, depth);
        if (_frames.TryGetValue(key, out Frame? frame))
            return frame;
        frame = new Frame(@return, parent, depth, _frameCount++);
        _frames.Add(key, frame);
        _sizeBytes += 100;
        return frame;
    }

    private Configuration Intern(Configuration made)
    {
        if (_configurations.TryGetValue(made, out Configuration? known))
            return known;
        _configurations.Add(made);
        _sizeBytes += 150 + (16L * made.Positions.Length) + (8L * made.Next.Length);
        return made;
    }

    /// <summary><paramref name="configuration"/> as the cache knows it now: it may be older than the cache's last beginning.</summary>
    private Configuration Current(Configuration configuration)
    {
        if (_sizeBytes > _maxSizeBytes)
        {
            _configurations.Clear();
            _masks.Clear();
            _frames.Clear();
            _sizeBytes = 0;
            _epoch++;
            Volatile.Write(ref _start, Renew(_start));
        }

        return configuration.Epoch == _epoch ? configuration : Renew(configuration);
    }

    private Configuration Renew(Configuration configuration)
    {
        Position[] positions = [.. configuration.Positions.Select(position => position with { Frame = Renew(position.Frame) })];
        Array.Sort(positions, (a, b) => a.State != b.State ? a.State.CompareTo(b.State) : (a.Frame?.Id ?? -1).CompareTo(b.Frame?.Id ?? -1));
        return Intern(new Configuration(positions, configuration.IsComplete, _automaton.ClassCount, _epoch));
    }

    private Frame? Renew(Frame? frame) => frame is null ? null : FrameOf(frame.Return, Renew(frame.Parent), frame.Depth);

    /// <summary>One walk over the tree of tokens, which skips what begins with bytes that lead nowhere.</summary>
    private uint[] ComputeMask(Configuration from)
    {
        var mask = new uint[_vocabulary.MaskWords];
        ReadOnlySpan<TokenNode> nodes = _vocabulary.Nodes;
        ReadOnlySpan<int> ids = _vocabulary.TokenIds;
        ReadOnlySpan<byte> classes = _automaton.Classes;
        _path[0] = from;
        for (int i = 0; i < nodes.Length;)
        {
            TokenNode node = nodes[i];
            Configuration at = _path[node.Depth];
            byte byteClass = classes[node.Value];
            Configuration next = at.Next[byteClass] ?? StepClass(at, byteClass);
            if (ReferenceEquals(next, Configuration.Dead))
            {
                i = node.Next;
                continue;
            }

            _path[node.Depth + 1] = next;
            i++;
            int end = i < nodes.Length ? nodes[i].FirstToken : ids.Length;
            for (int token = node.FirstToken; token < end; token++)
                mask[ids[token] >> 5] |= 1u << (ids[token] & 31);
        }

        Array.Clear(_path);
        _maskCount++;
        if (_masks.TryGetValue(mask, out uint[]? known))
            return from.Mask = known;
        _masks.Add(mask);
        _sizeBytes += 64 + (4L * mask.Length);
        return from.Mask = mask;
    }
}
