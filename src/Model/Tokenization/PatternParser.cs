using System.Globalization;
using System.Text;

namespace Conclave.Model.Tokenization;

/// <summary>
/// Compiles the regular expressions of tokenizer files, in the meaning of the reference's engine (Oniguruma on code points;
/// .NET's own works on UTF-16 units and so misjudges everything beyond U+FFFF). It knows what such files use: classes with
/// nesting and &amp;&amp;, \p{category}, greedy and possessive repetition, groups, alternatives, lookahead, (?i:...).
/// </summary>
internal sealed partial class PatternParser
{
    private const int MostCopies = 1000;
    private const int DeepestNesting = 50;
    private readonly string _pattern;
    private int _at;
    private bool _ignoreCase;
    private int _depth;

    private PatternParser(string pattern) => _pattern = pattern;

    /// <summary>Builds a node in front of the rest of the pattern.</summary>
    private delegate PatternNode Build(PatternNode next);

    private bool AtEnd => _at >= _pattern.Length;

    /// <exception cref="FormatException">The pattern is malformed or uses what is not supported; the message says where.</exception>
    public static Pattern Compile(string pattern)
    {
        var parser = new PatternParser(pattern);
        var build = parser.Alternatives();
        return parser.AtEnd ? new Pattern(build(new PatternNode.Accept())) : throw parser.Error("unmatched ')'");
    }

    /// <summary>A pattern that matches a text as it is.</summary>
    public static Pattern Literal(string text)
        => new(Sequence([.. text.EnumerateRunes().Select(rune => Class(One(rune.Value), 1, 1, false))])(new PatternNode.Accept()));

    private static CodePointSet One(int point) => CodePointSet.Of((point, point));

    private static Build Class(CodePointSet set, int least, int most, bool possessive)
        => next => new ClassNode(set, least, most, possessive, next);

    private static Build Sequence(List<Build> parts)
        => next => Enumerable.Reverse(parts).Aggregate(next, (rest, part) => part(rest));

    private Build Alternatives()
    {
        var alternatives = new List<Build>();
        do
        {
            var parts = new List<Build>();
            while (!AtEnd && _pattern[_at] is not ('|' or ')'))
            {
                parts.Add(Repeated());
            }

            alternatives.Add(Sequence(parts));
        }
        while (Take("|"));
        return alternatives.Count == 1 ? alternatives[0] : next => new ChoiceNode([.. alternatives.Select(build => build(next))]);
    }

    private Build Repeated()
    {
        if (Take("("))
        {
            return Group();
        }

        var set = Atom();
        set = _ignoreCase ? set.IgnoreCase() : set;
        var (least, most, possessive) = Quantifier() ?? (1, 1, false);
        return Class(set, least, most, possessive);
    }

    private Build Group()
    {
        Deepen();
        var outerIgnoreCase = _ignoreCase;
        var lookahead = false;
        var negative = false;
        if (Take("?"))
        {
            negative = Take("!");
            lookahead = negative || Take("=");
            _ignoreCase |= !lookahead && Take("i");
            if (!lookahead && !Take(":"))
            {
                throw Error("only (...), (?:...), (?i:...), (?=...) and (?!...) are supported");
            }
        }

        var body = Alternatives();
        if (!Take(")"))
        {
            throw Error("missing ')'");
        }

        _depth--;
        _ignoreCase = outerIgnoreCase;
        if (lookahead)
        {
            return next => new LookaheadNode(body(new PatternNode.Accept()), negative, next);
        }

        if (Quantifier() is not var (least, most, possessive))
        {
            return body;
        }

        return possessive || most > MostCopies
            ? throw Error("a group can be repeated only a limited number of times, and not possessively")
            : next => Copies(body, least, most, next);
    }

    private static PatternNode Copies(Build body, int least, int most, PatternNode next)
    {
        var node = next;
        for (var i = most; i > least; i--)
        {
            node = new ChoiceNode([body(node), next]);
        }

        for (var i = least; i > 0; i--)
        {
            node = body(node);
        }

        return node;
    }

    private (int Least, int Most, bool Possessive)? Quantifier()
    {
        (int Least, int Most) range;
        var braces = false;
        if (Take("*"))
        {
            range = (0, int.MaxValue);
        }
        else if (Take("+"))
        {
            range = (1, int.MaxValue);
        }
        else if (Take("?"))
        {
            range = (0, 1);
        }
        else if (Take("{"))
        {
            range = Braces();
            braces = true;
        }
        else
        {
            return null;
        }

        // After {n,m} a plus repeats the whole again, in this dialect.
        var possessive = !braces && Take("+");
        return AtEnd || _pattern[_at] is not ('*' or '+' or '?' or '{')
            ? (range.Least, range.Most, possessive)
            : throw Error("lazy or doubled repetition is not supported");
    }

    private (int Least, int Most) Braces()
    {
        var start = _at;
        var close = _pattern.IndexOf('}', start);
        var bounds = close < 0 ? [] : _pattern[start..close].Split(',');
        if (bounds.Length is 0 or > 2 || !TryBound(bounds[0], 0, out var least)
            || !TryBound(bounds[^1], bounds.Length == 1 ? least : int.MaxValue, out var most)
            || bounds is [""] or ["", ""] || least > most)
        {
            throw Error("expected {n}, {n,}, {,m} or {n,m}");
        }

        _at = close + 1;
        return (least, most);

        static bool TryBound(string text, int fallback, out int bound)
        {
            bound = fallback;
            return text.Length == 0 || int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out bound);
        }
    }

    private CodePointSet Atom()
    {
        var symbol = Symbol();
        return symbol switch
        {
            '[' => Brackets(),
            '\\' => Escape(),
            '.' => One('\n').Complement(),
            '^' or '$' => throw Error($"anchor '{(char)symbol}' is not supported", back: 1),
            '*' or '+' or '?' => throw Error("nothing to repeat", back: 1),
            _ => One(symbol),
        };
    }

    private void Deepen()
    {
        if (++_depth > DeepestNesting)
        {
            throw Error("too many nested groups");
        }
    }

    private int Symbol()
    {
        Rune.DecodeFromUtf16(_pattern.AsSpan(_at), out var rune, out var length);
        _at += length;
        return rune.Value;
    }

    private bool Take(string text)
    {
        var found = string.CompareOrdinal(_pattern, _at, text, 0, text.Length) == 0;
        _at += found ? text.Length : 0;
        return found;
    }

    private FormatException Error(string problem, int back = 0)
        => new($"{problem} at character {Math.Max(0, _at - back)} of the pattern {_pattern}");
}
