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
    public static int[] Compute(Automaton automaton) => LeastFixedPoint(automaton, Shallowest);

    /// <summary>Bytes of each state's shortest way.</summary>
    public static int[] Lengths(Automaton automaton) => LeastFixedPoint(automaton, Shortest);

    private static int[] LeastFixedPoint(Automaton automaton, Func<Automaton, int, int[], int> least)
    {
        int count = automaton.StateCount;
        var needs = new int[count];
        Array.Fill(needs, Never);
        (int[] starts, int[] users) = Users(automaton);
        var queue = new Queue<int>();
        var isQueued = new bool[count];
        for (int state = 0; state < count; state++)
        {
            if (!automaton.IsEnd(state))
                continue;
            needs[state] = 0;
            Push(state);
        }

        while (queue.TryDequeue(out int state))
        {
            isQueued[state] = false;
            foreach (int user in users.AsSpan(starts[state]..starts[state + 1]))
            {
                int need = least(automaton, user, needs);
                if (need >= needs[user])
                    continue;
                needs[user] = need;
                Push(user);
            }
        }

        return needs;

        void Push(int state)
        {
            if (isQueued[state])
                return;
            isQueued[state] = true;
            queue.Enqueue(state);
        }
    }

    private static int Shallowest(Automaton automaton, int state, int[] depths)
    {
        int best = automaton.IsEnd(state) ? 0 : Never;
        foreach (Automaton.Step step in automaton.StepsFrom(state))
            best = Math.Min(best, depths[step.To]);
        foreach (int to in automaton.EmptyFrom(state))
            best = Math.Min(best, depths[to]);
        foreach (Automaton.Call call in automaton.CallsFrom(state))
        {
            if (depths[call.Start] == Never || depths[call.Return] == Never)
                continue;
            best = Math.Min(best, Math.Max(depths[call.Return], depths[call.Start] + (call.IsTail ? 0 : call.Weight)));
        }

        return best;
    }

    private static int Shortest(Automaton automaton, int state, int[] lengths)
    {
        long best = automaton.IsEnd(state) ? 0 : Never;
        foreach (Automaton.Step step in automaton.StepsFrom(state))
            best = Math.Min(best, lengths[step.To] == Never ? Never : Math.Min(Longest, lengths[step.To] + 1));
        foreach (int to in automaton.EmptyFrom(state))
            best = Math.Min(best, lengths[to]);
        foreach (Automaton.Call call in automaton.CallsFrom(state))
        {
            if (lengths[call.Start] != Never && lengths[call.Return] != Never)
                best = Math.Min(best, Math.Min(Longest, (long)lengths[call.Start] + lengths[call.Return]));
        }

        return (int)best;
    }

    /// <summary>For each state, those whose need depends on it.</summary>
    private static (int[] Starts, int[] Users) Users(Automaton automaton)
    {
        var starts = new int[automaton.StateCount + 1];
        ForEach(automaton, (used, _) => starts[used + 1]++);
        for (int i = 1; i < starts.Length; i++)
            starts[i] += starts[i - 1];
        int[] next = [.. starts];
        var users = new int[starts[^1]];
        ForEach(automaton, (used, user) => users[next[used]++] = user);
        return (starts, users);
    }

    private static void ForEach(Automaton automaton, Action<int, int> dependency)
    {
        for (int state = 0; state < automaton.StateCount; state++)
        {
            foreach (Automaton.Step step in automaton.StepsFrom(state))
                dependency(step.To, state);
            foreach (int to in automaton.EmptyFrom(state))
                dependency(to, state);
            foreach (Automaton.Call call in automaton.CallsFrom(state))
            {
                dependency(call.Start, state);
                dependency(call.Return, state);
            }
        }
    }
}

/// <summary>Finds rules that call themselves before any text: their calls would never end.</summary>
internal static class LeftRecursion
{
    /// <exception cref="OperatingException">A rule is left-recursive; the message names it.</exception>
    public static void Check(Automaton automaton, List<RuleStates> rules)
    {
        int[] lengths = AutomatonDepths.Lengths(automaton);
        bool[] canBeEmpty = [.. rules.Select(rule => lengths[rule.Start] == 0)];
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
