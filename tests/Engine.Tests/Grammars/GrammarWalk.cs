using System.Text;
using Conclave.Engine.Grammars;

namespace Conclave.Engine.Tests.Grammars;

/// <summary>Random ways through the masks of a grammar, which after a while take the shortest way to an end.</summary>
internal sealed class GrammarWalk(CompiledGrammar grammar, int endTokenId, int seed)
{
    private readonly Random _random = new(seed);
    private const long Far = 1L << 40;

    private readonly uint[] _mask = new uint[grammar.Vocabulary.MaskWords];
    private long[]? _lengths;

    /// <summary>A compiled grammar over one of the test vocabularies.</summary>
    public static CompiledGrammar Compile(GrammarKind kind, string text, TokenVocabulary? vocabulary = null) =>
        CompiledGrammar.Compile(new GrammarSpec(kind, text), vocabulary ?? Vocabularies.Odd);

    /// <summary>The text of one walk: up to <paramref name="steps"/> random tokens, then home.</summary>
    public string Run(int steps)
    {
        var matcher = new GrammarMatcher(grammar, [endTokenId]);
        Configuration shadow = grammar.Cache.Start;
        var text = new List<byte>();
        for (int i = 0; i < steps; i++)
        {
            matcher.FillMask(_mask);
            int[] allowed = [.. Allowed()];
            Assert.NotEmpty(allowed);
            int token = allowed[_random.Next(allowed.Length)];
            if (token == endTokenId)
            {
                Assert.True(matcher.IsComplete);
                return Encoding.UTF8.GetString([.. text]);
            }

            Assert.True(matcher.Accept(token));
            foreach (byte value in grammar.Vocabulary.Bytes(token))
                shadow = grammar.Cache.Step(shadow, value);
            text.AddRange(grammar.Vocabulary.Bytes(token));
        }

        while (!shadow.IsComplete)
        {
            byte value = TowardsEnd(shadow, Encoding.UTF8.GetString([.. text]));
            matcher.FillMask(_mask);
            int token = Allowed().FirstOrDefault(id => grammar.Vocabulary.Bytes(id).SequenceEqual([value]), -1);
            Assert.True(token >= 0, $"byte {value:x2} is not allowed after: {Encoding.UTF8.GetString([.. text])}");
            Assert.True(matcher.Accept(token));
            shadow = grammar.Cache.Step(shadow, value);
            text.Add(value);
        }

        matcher.FillMask(_mask);
        Assert.True(matcher.IsComplete);
        Assert.Contains(endTokenId, Allowed());
        return new UTF8Encoding(false, throwOnInvalidBytes: true).GetString([.. text]);
    }

    private IEnumerable<int> Allowed()
    {
        for (int id = 0; id < grammar.Vocabulary.Size; id++)
        {
            if ((_mask[id >> 5] >> (id & 31) & 1) != 0)
                yield return id;
        }
    }

    /// <summary>The byte that begins a shortest completion.</summary>
    private byte TowardsEnd(Configuration from, string prefix)
    {
        _lengths ??= Lengths(grammar.Automaton);
        (long Length, byte Value) best = (Far, 0);
        for (int value = 0; value < 256; value++)
        {
            Configuration next = grammar.Cache.Step(from, (byte)value);
            long length = next.IsComplete ? 0 : next.Positions.Select(Length).DefaultIfEmpty(Far).Min();
            if (length < best.Length)
                best = (length, (byte)value);
        }

        Assert.True(best.Length < Far, $"dead end after: {prefix}");
        return best.Value;
    }

    private long Length(Position position)
    {
        long length = _lengths![position.State];
        for (Frame? frame = position.Frame; frame is not null; frame = frame.Parent)
            length += _lengths[frame.Return];
        return length;
    }

    /// <summary>Bytes from each state to the end of its rule, at least.</summary>
    private static long[] Lengths(Automaton automaton)
    {
        var lengths = new long[automaton.StateCount];
        Array.Fill(lengths, Far);
        bool changes = true;
        while (changes)
        {
            changes = false;
            for (int state = lengths.Length - 1; state >= 0; state--)
            {
                long best = automaton.IsEnd(state) ? 0 : Far;
                foreach (Automaton.Step step in automaton.StepsFrom(state))
                    best = Math.Min(best, lengths[step.To] + 1);
                foreach (int to in automaton.EmptyFrom(state))
                    best = Math.Min(best, lengths[to]);
                foreach (Automaton.Call call in automaton.CallsFrom(state))
                    best = Math.Min(best, lengths[call.Start] + lengths[call.Return]);
                changes |= best < lengths[state];
                lengths[state] = Math.Min(best, lengths[state]);
            }
        }

        return lengths;
    }
}
