using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace Conclave.Engine.Grammars;

/// <summary>
/// The deterministic form of an <see cref="Automaton"/>, made as far as it is asked for: configurations, and where bytes lead from them. For one thread
/// at a time.
/// </summary>
internal sealed class ConfigurationGraph
{
    /// <summary>Most states that one text leads to: more is a grammar that nobody meant, and every step would pay for it.</summary>
    private const int MaxReached = 20_000;

    private readonly Automaton _automaton;
    private readonly byte[][] _kindClasses = new byte[ByteKinds.Count][];
    private readonly HashSet<Configuration> _configurations = new(new ConfigurationComparer());
    private readonly Dictionary<Position[], Configuration> _entered = new(new PositionsComparer());
    private readonly Dictionary<Position[], Configuration>.AlternateLookup<ReadOnlySpan<Position>> _enteredBy;
    private readonly Dictionary<(int Return, int Parent, int Depth), Frame> _frames = [];
    private readonly Dictionary<int, StateClosure> _closures = [];
    private readonly Stack<Position> _open = new();
    private readonly List<Position> _targets = [];
    private readonly ulong[] _reachedBy = new ulong[256];
    private readonly List<Position> _found = [];
    private HashSet<Position> _reached = [];
    private int _frameCount;

    public ConfigurationGraph(Automaton automaton)
    {
        _automaton = automaton;
        _enteredBy = _entered.GetAlternateLookup<ReadOnlySpan<Position>>();
        for (int kind = 0; kind < _kindClasses.Length; kind++)
        {
            var classes = new SortedSet<byte>();
            foreach (byte value in ByteKinds.Members(kind))
                classes.Add(automaton.Classes[value]);
            _kindClasses[kind] = [.. classes];
        }

        Start = Enter([new Position(automaton.Start, null)]);
    }

    /// <summary>Before the first byte.</summary>
    public Configuration Start { get; private set; }

    /// <summary>Memory in use, in bytes, roughly.</summary>
    public long SizeBytes { get; private set; }

    /// <summary>How often all has been forgotten.</summary>
    public int Epoch { get; private set; }

    /// <summary>Where a class of bytes leads; <see cref="Configuration.Dead"/> if nowhere.</summary>
    public Configuration Step(Configuration from, int byteClass)
    {
        if (from.Next[byteClass] is { } known)
            return known;
        Gather(from, byteClass, _targets);
        Configuration next = Enter(CollectionsMarshal.AsSpan(_targets));
        Volatile.Write(ref from.Next[byteClass], next);
        return next;
    }

    /// <summary>Where each byte of a kind leads; <see cref="Configuration.Mixed"/> if they lead apart.</summary>
    public Configuration StepKind(Configuration from, int kind)
    {
        Configuration?[] leads = from.Leads ??= Sort(from);
        return leads[kind] ??= Step(from, _kindClasses[kind][0]);
    }

    /// <summary>Forgets everything but the start.</summary>
    public void Forget()
    {
        _configurations.Clear();
        _entered.Clear();
        _frames.Clear();
        _closures.Clear();
        SizeBytes = 0;
        Epoch++;
        Start = Renew(Start);
    }

    /// <summary>A configuration from before everything was forgotten, as it is known now.</summary>
    public Configuration Renew(Configuration configuration)
    {
        _found.Clear();
        foreach (Position position in configuration.Positions)
            _found.Add(position with { Frame = Renew(position.Frame) });
        return Intern(configuration.IsComplete);
    }

    /// <summary>A configuration, the same for many, that allows the same tokens: places in counted texts that no token tells apart are one.</summary>
    public Configuration TwinOf(Configuration configuration)
    {
        if (!_automaton.HasTwins)
            return configuration;
        bool isSame = true;
        _found.Clear();
        foreach (Position position in configuration.Positions)
        {
            var twin = new Position(_automaton.TwinOf(position.State), TwinOf(position.Frame));
            isSame &= twin == position;
            _found.Add(twin);
        }

        return isSame ? configuration : Intern(configuration.IsComplete);
    }

    private Frame? TwinOf(Frame? frame) => frame is null ? null : frame.Twin ??= FrameOf(_automaton.TwinOf(frame.Return), TwinOf(frame.Parent), frame.Depth);

    private Frame? Renew(Frame? frame) => frame is null ? null : FrameOf(frame.Return, Renew(frame.Parent), frame.Depth);

    private void Gather(Configuration from, int byteClass, List<Position> targets)
    {
        targets.Clear();
        foreach ((int state, Frame? frame) in from.Positions)
        {
            foreach (Automaton.Step step in _automaton.StepsBy(state, byteClass))
            {
                if (byteClass >= step.First && byteClass <= step.Last && Fits(step.To, frame))
                    targets.Add(new Position(step.To, frame));
            }
        }
    }

    /// <summary>Tells of all kinds at once whether their bytes lead nowhere, apart, or (null) to one configuration, which need not exist yet.</summary>
    private Configuration?[] Sort(Configuration from)
    {
        // Which targets each class of bytes leads to, one bit each.
        Span<ulong> reached = _reachedBy.AsSpan(0, _automaton.ClassCount);
        reached.Clear();
        _targets.Clear();
        foreach ((int state, Frame? frame) in from.Positions)
        {
            foreach (Automaton.Step step in _automaton.StepsFrom(state))
            {
                if (!Fits(step.To, frame))
                    continue;
                var target = new Position(step.To, frame);

                // Beyond the 63rd they are told apart by class, as if each led elsewhere.
                int index = _targets.Count < 63 ? _targets.IndexOf(target) : 63;
                if (index < 0)
                {
                    index = _targets.Count;
                    _targets.Add(target);
                }

                for (int byteClass = step.First; byteClass <= step.Last; byteClass++)
                    reached[byteClass] |= index < 63 ? 1ul << index : 1ul << 63;
            }
        }

        var leads = new Configuration?[_kindClasses.Length];
        for (int byteClass = 0; byteClass < reached.Length; byteClass++)
        {
            if (reached[byteClass] == 0)
                from.Next[byteClass] = Configuration.Dead;
        }

        for (int kind = 0; kind < leads.Length; kind++)
        {
            ReadOnlySpan<byte> classes = _kindClasses[kind];
            ulong first = reached[classes[0]];
            foreach (byte byteClass in classes[1..])
            {
                if (reached[byteClass] != first || first >> 63 != 0)
                    leads[kind] = Configuration.Mixed;
            }

            if (first == 0 && leads[kind] is null)
                leads[kind] = Configuration.Dead;
        }

        return leads;
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
    private Configuration Enter(ReadOnlySpan<Position> positions)
    {
        if (positions.IsEmpty)
            return Configuration.Dead;
        if (_enteredBy.TryGetValue(positions, out Configuration? known))
            return known;
        Position[] key = [.. positions];
        bool isComplete = Close(key);
        Configuration made = Intern(isComplete);
        _entered.Add(key, made);
        SizeBytes += 80 + (16L * key.Length);
        return made;
    }

    /// <summary>Finds the states of <paramref name="positions"/> and of all that they lead to without text; true if the whole text may end there.</summary>
    private bool Close(Position[] positions)
    {
        if (_reached.Count > 256)
            _reached = [];
        _reached.Clear();
        _open.Clear();
        _found.Clear();
        bool isComplete = false;
        foreach (Position position in positions)
            Reach(position);
        while (_open.TryPop(out Position position))
        {
            (int state, Frame? frame) = position;
            StateClosure closure = ClosureOf(state);
            foreach (int lead in closure.Leads)
            {
                if (Fits(lead, frame) && LeadsOn(new Position(lead, frame)))
                    _found.Add(new Position(lead, frame));
            }

            foreach (Automaton.Call call in closure.Calls)
            {
                if (Fits(call.Return, frame))
                    Reach(new Position(call.Start, FrameOf(call.Return, frame, (frame?.Depth ?? 0) + call.Weight)));
            }

            if (closure.IsEnd && frame is not null)
                Reach(new Position(frame.Return, frame.Parent));
            isComplete |= closure.IsEnd && frame is null;
            if (_found.Count > MaxReached)
                ThrowAmbiguous();
        }

        return isComplete;
    }

    private void Reach(Position position)
    {
        if (!Fits(position.State, position.Frame) || !_reached.Add(position))
            return;
        if (_reached.Count > MaxReached)
            ThrowAmbiguous();
        _open.Push(position);
    }

    [DoesNotReturn]
    private static void ThrowAmbiguous() => throw new OperatingException(
        OperatingError.InvalidRequest, $"The grammar is too ambiguous: the text so far leads to more than {MaxReached} states. Make its alternatives differ in their first characters, or have fewer of them.");

    private StateClosure ClosureOf(int state)
    {
        ref StateClosure? closure = ref CollectionsMarshal.GetValueRefOrAddDefault(_closures, state, out bool isKnown);
        if (!isKnown)
        {
            closure = StateClosure.Of(_automaton, state);
            SizeBytes += 120 + (4L * closure.Leads.Length) + (20L * closure.Calls.Length);
        }

        return closure!;
    }

    private Frame FrameOf(int @return, Frame? parent, int depth)
    {
        ref Frame? frame = ref CollectionsMarshal.GetValueRefOrAddDefault(_frames, (@return, parent?.Id ?? -1, depth), out bool isKnown);
        if (!isKnown)
        {
            frame = new Frame(@return, parent, depth, _frameCount++);
            SizeBytes += 100;
        }

        return frame!;
    }

    /// <summary>The one configuration of what has been found.</summary>
    private Configuration Intern(bool isComplete)
    {
        Span<Position> found = CollectionsMarshal.AsSpan(_found);
        found.Sort(Position.Compare);
        int count = 0;
        for (int i = 0; i < found.Length; i++)
        {
            if (count == 0 || found[i] != found[count - 1])
                found[count++] = found[i];
        }

        var made = new Configuration([.. found[..count]], isComplete, _automaton.ClassCount, Epoch);
        if (_configurations.TryGetValue(made, out Configuration? known))
            return known;
        _configurations.Add(made);
        SizeBytes += 250 + (16L * count) + (8L * (made.Next.Length + ByteKinds.Count));
        return made;
    }
}

/// <summary>What a state leads to without text within its rule, tail calls included.</summary>
/// <param name="Leads">States from which bytes lead on.</param>
/// <param name="Calls">Calls that come back.</param>
/// <param name="IsEnd">The rule may end.</param>
internal sealed record StateClosure(int[] Leads, Automaton.Call[] Calls, bool IsEnd)
{
    public static StateClosure Of(Automaton automaton, int state)
    {
        var reached = new HashSet<int> { state };
        var open = new Stack<int>([state]);
        var leads = new List<int>();
        var calls = new List<Automaton.Call>();
        bool isEnd = false;
        while (open.TryPop(out int at))
        {
            isEnd |= automaton.IsEnd(at);
            if (!automaton.StepsFrom(at).IsEmpty)
                leads.Add(at);
            foreach (int to in automaton.EmptyFrom(at))
                Open(to);
            foreach (Automaton.Call call in automaton.CallsFrom(at))
            {
                if (call.IsTail)
                    Open(call.Start);
                else
                    calls.Add(call);
            }
        }

        return new StateClosure([.. leads], [.. calls], isEnd);

        void Open(int to)
        {
            if (automaton.DepthNeeded(to) != AutomatonDepths.Never && reached.Add(to))
                open.Push(to);
        }
    }
}
