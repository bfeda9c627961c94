namespace Conclave.Engine.Grammars;

/// <summary>
/// What a state needs at least until its rule ends: levels of calls, or bytes. What cannot end at all is a dead end, and what needs too many levels is one too.
/// </summary>
internal static class AutomatonDepths
{
    /// <summary>No text leads to the end.</summary>
    public const int Never = int.MaxValue;

    private const int Longest = 1 << 30;

    /// <summary>Levels of each state: along a way the deepest call counts, among ways the shallowest.</summary>
    public static int[] Compute(Automaton automaton) => LeastFixedPoint(automaton, static (use, need, other) =>
        use.Kind switch
        {
            UseKind.Callee => Math.Max(other, need + use.Weight),
            UseKind.Return => Math.Max(need, other + use.Weight),
            _ => need,
        });

    /// <summary>Bytes of each state's shortest way.</summary>
    public static int[] Lengths(Automaton automaton) => LeastFixedPoint(automaton, static (use, need, other) =>
        Math.Min(Longest, use.Kind switch
        {
            UseKind.Byte => need + 1,
            UseKind.Empty => need,
            _ => need + other,
        }));

    /// <summary>Lowers needs from the ends backwards until none falls any more; each fall is looked at from those alone who use the state, way by way.</summary>
    private static int[] LeastFixedPoint(Automaton automaton, Func<Use, int, int, int> needBy)
    {
        int count = automaton.StateCount;
        var needs = new int[count];
        Array.Fill(needs, Never);
        (int[] starts, Use[] uses) = Uses(automaton);
        var queue = new Queue<int>();
        var isQueued = new bool[count];
        for (int state = 0; state < count; state++)
        {
            if (automaton.IsEnd(state))
                Lower(state, 0);
        }

        while (queue.TryDequeue(out int state))
        {
            isQueued[state] = false;
            foreach (Use use in uses.AsSpan(starts[state]..starts[state + 1]))
            {
                int other = use.Other < 0 ? 0 : needs[use.Other];
                if (other != Never)
                    Lower(use.User, needBy(use, needs[state], other));
            }
        }

        return needs;

        void Lower(int state, int need)
        {
            if (need >= needs[state])
                return;
            needs[state] = need;
            if (!isQueued[state])
                queue.Enqueue(state);
            isQueued[state] = true;
        }
    }

    /// <summary>For each state, how others' needs depend on it.</summary>
    private static (int[] Starts, Use[] Uses) Uses(Automaton automaton)
    {
        var starts = new int[automaton.StateCount + 1];
        ForEach(automaton, (used, _) => starts[used + 1]++);
        for (int i = 1; i < starts.Length; i++)
            starts[i] += starts[i - 1];
        int[] next = [.. starts];
        var uses = new Use[starts[^1]];
        ForEach(automaton, (used, use) => uses[next[used]++] = use);
        return (starts, uses);
    }

    private static void ForEach(Automaton automaton, Action<int, Use> use)
    {
        for (int state = 0; state < automaton.StateCount; state++)
        {
            foreach (Automaton.Step step in automaton.StepsFrom(state))
                use(step.To, new Use(state, UseKind.Byte, -1, 0));
            foreach (int to in automaton.EmptyFrom(state))
                use(to, new Use(state, UseKind.Empty, -1, 0));
            foreach (Automaton.Call call in automaton.CallsFrom(state))
            {
                int weight = call.IsTail ? 0 : call.Weight;
                use(call.Start, new Use(state, UseKind.Callee, call.Return, weight));
                use(call.Return, new Use(state, UseKind.Return, call.Start, weight));
            }
        }
    }

    private enum UseKind : byte
    {
        Byte,
        Empty,
        Callee,
        Return,
    }

    /// <summary>A way on from <paramref name="User"/> over a state.</summary>
    /// <param name="User">Where the way begins.</param>
    /// <param name="Kind">What the state is to it.</param>
    /// <param name="Other">Of a call, the other of its two states; -1 otherwise.</param>
    /// <param name="Weight">Levels that the callee lies deeper.</param>
    private readonly record struct Use(int User, UseKind Kind, int Other, int Weight);
}

/// <summary>Finds rules that call themselves before any text: their calls would never end.</summary>
internal static class LeftRecursion
{
    /// <exception cref="OperatingException">A rule is left-recursive; the message names it.</exception>
    public static void Check(Automaton automaton, List<RuleStates> rules)
    {
        bool[] canBeEmpty = [.. rules.Select(rule => automaton.Length(rule.Start) == 0)];
        Dictionary<int, int> ruleOf = rules.Select((rule, index) => (rule.Start, index)).ToDictionary(pair => pair.Start, pair => pair.index);
        int[][] first = [.. rules.Select(rule => FirstCalls(automaton, rule.Start, ruleOf, canBeEmpty).ToArray())];

        // 1 while the rules it begins with are looked at, 2 afterwards; an explicit stack, since rules may be many.
        var visits = new byte[rules.Count];
        var path = new Stack<(int Rule, int Next)>();
        for (int root = 0; root < rules.Count; root++)
        {
            if (visits[root] == 0)
                path.Push((root, 0));
            while (path.TryPop(out (int Rule, int Next) at))
            {
                visits[at.Rule] = 1;
                if (at.Next == first[at.Rule].Length)
                {
                    visits[at.Rule] = 2;
                    continue;
                }

                path.Push((at.Rule, at.Next + 1));
                int called = first[at.Rule][at.Next];
                if (visits[called] == 1)
                    throw GrammarError.At(rules[called].Name, "is left-recursive: it leads back to itself before any text; write it as a repetition");
                if (visits[called] == 0)
                    path.Push((called, 0));
            }
        }
    }

    private static HashSet<int> FirstCalls(Automaton automaton, int start, Dictionary<int, int> ruleOf, bool[] canBeEmpty)
    {
        var called = new HashSet<int>();
        Reach(automaton, start, ruleOf, canBeEmpty, called);
        return called;
    }

    /// <summary>States that no text leads to from <paramref name="start"/>, within its rule; the rules called on the way are added to <paramref name="called"/>.</summary>
    private static HashSet<int> Reach(Automaton automaton, int start, Dictionary<int, int> ruleOf, bool[] canBeEmpty, HashSet<int> called)
    {
        var reached = new HashSet<int> { start };
        var open = new Stack<int>([start]);
        while (open.TryPop(out int state))
        {
            foreach (int to in automaton.EmptyFrom(state))
            {
                if (reached.Add(to))
                    open.Push(to);
            }

            foreach (Automaton.Call call in automaton.CallsFrom(state))
            {
                int rule = ruleOf[call.Start];
                called.Add(rule);
                if (canBeEmpty[rule] && reached.Add(call.Return))
                    open.Push(call.Return);
            }
        }

        return reached;
    }
}
