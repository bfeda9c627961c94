using System.Text;

namespace Conclave.Engine.Tests.Grammars;

/// <summary>Random rules in EBNF that are not left-recursive, and a plain matcher of them: where a text may end that begins at a position.</summary>
internal sealed class RandomRules
{
    private const int Count = 4;
    private readonly Part[] _rules = new Part[Count];

    private abstract record Part
    {
        /// <summary>A text, or (<paramref name="IsClass"/>) one of its characters.</summary>
        public sealed record Text(string Value, bool IsClass) : Part;

        public sealed record Rule(int Index) : Part;

        public sealed record All(Part[] Parts) : Part;

        public sealed record Any(Part[] Parts) : Part;

        public sealed record Repeat(Part Inner, int Min, int Max) : Part;
    }

    public static RandomRules Make(Random random)
    {
        var rules = new RandomRules();
        for (int i = 0; i < Count; i++)
            rules._rules[i] = new Part.Any([.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => Alternative(random, i))]);
        return rules;
    }

    public bool Derives(string text) => Ends(new Part.Rule(0), text, 0, []).Contains(text.Length);

    public override string ToString() => string.Join('\n', _rules.Select((rule, index) => $"{Name(index)} ::= {Write(rule)}"));

    private static string Name(int index) => index == 0 ? "root" : $"rule-{index}";

    /// <summary>It begins with a text or a later rule that always has one; behind that anything may stand.</summary>
    private static Part.All Alternative(Random random, int rule) => new(
        [Text(random), .. Enumerable.Range(0, random.Next(3)).Select(_ => Element(random, rule, 2))]);

    private static Part.Text Text(Random random) => random.Next(3) switch
    {
        0 => new Part.Text("ab"[..random.Next(1, 3)], IsClass: false),
        1 => new Part.Text("bc", IsClass: true),
        _ => new Part.Text("c", IsClass: false),
    };

    private static Part Element(Random random, int rule, int depth) => random.Next(depth > 0 ? 7 : 3) switch
    {
        0 or 1 => Text(random),

        // Mostly a later rule, so that most grammars have texts.
        2 => new Part.Rule(random.Next(3) == 0 ? random.Next(Count) : random.Next(rule, Count)),
        3 => new Part.Any([Element(random, rule, depth - 1), Element(random, rule, depth - 1)]),
        4 => new Part.All([Element(random, rule, depth - 1), Element(random, rule, depth - 1)]),
        5 => new Part.Repeat(Element(random, rule, depth - 1), 0, int.MaxValue),
        _ => new Part.Repeat(Element(random, rule, depth - 1), random.Next(2), random.Next(1, 4)),
    };

    private static string Write(Part part) => part switch
    {
        Part.Text text => text.IsClass ? $"[{text.Value}]" : $"\"{text.Value}\"",
        Part.Rule rule => Name(rule.Index),
        Part.All all => string.Join(' ', all.Parts.Select(Write)),
        Part.Any any => $"({string.Join(" | ", any.Parts.Select(Write))})",
        Part.Repeat { Max: int.MaxValue } repeat => $"({Write(repeat.Inner)})*",
        Part.Repeat repeat => $"({Write(repeat.Inner)}){{{repeat.Min},{repeat.Max}}}",
        _ => throw new InvalidOperationException(),
    };

    private HashSet<int> Ends(Part part, string text, int at, Dictionary<(int Rule, int At), HashSet<int>> known)
    {
        switch (part)
        {
            case Part.Text { IsClass: true } set:
                return at < text.Length && set.Value.Contains(text[at]) ? [at + 1] : [];
            case Part.Text literal:
                return text.AsSpan(at).StartsWith(literal.Value) ? [at + literal.Value.Length] : [];
            case Part.Rule rule:
                if (!known.TryGetValue((rule.Index, at), out HashSet<int>? ends))
                    known[(rule.Index, at)] = ends = Ends(_rules[rule.Index], text, at, known);
                return ends;
            case Part.Any any:
                return [.. any.Parts.SelectMany(one => Ends(one, text, at, known))];
            case Part.All all:
                return all.Parts.Aggregate(new HashSet<int> { at }, (ats, one) => [.. ats.SelectMany(from => Ends(one, text, from, known))]);
            default:
                var repeat = (Part.Repeat)part;
                HashSet<int> now = [at], reached = repeat.Min == 0 ? [at] : [];
                for (int i = 1; i <= Math.Min(repeat.Max, text.Length + 3) && now.Count > 0; i++)
                {
                    now = [.. now.SelectMany(from => Ends(repeat.Inner, text, from, known))];
                    if (i >= repeat.Min)
                        reached.UnionWith(now);
                }

                return reached;
        }
    }
}
