using System.Globalization;
using System.Text;

namespace Conclave.Engine.Grammars;

/// <summary>
/// Regular expressions: what ECMAScript, .NET and Python agree on, without what is not regular (back references) and word boundaries. A character is
/// a Unicode scalar value, also beyond U+FFFF. Where dialects differ, a text is matched only if all of them match it. <c>^</c> and <c>$</c> stand at the ends of the expression or of its
/// alternatives, also of those in a group there; look-ahead stands at the beginning. Lazy quantifiers mean the same as greedy ones here.
/// </summary>
internal sealed partial class RegexReader
{
    private const int MaxNesting = 200;
    private const int MaxCount = 100_000;
    private const int MaxWays = 64;
    private const int MaxLength = 200_000;
    private const int MaxRanges = 300_000;

    private static readonly Node Anything = new Node.Repeat(new Node.Character(CodePoints.All), 0, Node.Repeat.Unbounded);

    private readonly string _text;
    private readonly string _place;
    private readonly bool _isWhole;
    private bool _isWide;
    private bool _ignoresCase;
    private bool _dotIsAll;
    private int _at;
    private int _nesting;
    private int _rangeCount;

    private RegexReader(string text, string place, bool isWhole, bool isWide)
    {
        if (text.Length > MaxLength)
            throw GrammarError.At(place, $"is longer than {MaxLength} characters");
        (_text, _place, _isWhole, _isWide) = (text, place, isWhole, isWide);
    }

    /// <summary>Texts that match <paramref name="pattern"/> as a whole. It may begin with the flags <c>(?i)</c> and <c>(?s)</c>.</summary>
    /// <exception cref="OperatingException">The expression cannot be used; the message names the position.</exception>
    public static Node Read(string pattern)
    {
        var reader = new RegexReader(pattern, "regex", isWhole: true, isWide: false);
        reader.ReadFlags();
        return reader.ReadAll();
    }

    /// <summary>Texts in which <paramref name="pattern"/> matches somewhere, as JSON Schema means it: a tree of characters, sequences, choices, repetitions and graphs.</summary>
    /// <param name="pattern">The expression.</param>
    /// <param name="place">Path of the pattern for errors.</param>
    /// <param name="isWide">Texts that any dialect matches, instead of those that all do.</param>
    /// <exception cref="OperatingException">The expression cannot be used; the message names the position.</exception>
    public static Node ReadSearch(string pattern, string place, bool isWide = false) => new RegexReader(pattern, place, isWhole: false, isWide).ReadAll();

    private void ReadFlags()
    {
        int end = _text.StartsWith("(?", StringComparison.Ordinal) ? _text.IndexOf(')') : -1;
        if (end < 3 || _text.AsSpan(2..end).ContainsAnyExcept('i', 's'))
            return;
        (_ignoresCase, _dotIsAll, _at) = (_text.AsSpan(0, end).Contains('i'), _text.AsSpan(0, end).Contains('s'), end + 1);
    }

    private Node ReadAll()
    {
        List<Way> ways = ReadWays(isFirst: true);
        return _at == _text.Length ? Node.Any([.. ways.Select(Whole)]) : throw Error(_text[_at] == ')' ? "')' without '('" : "'$' is supported only at the end of the expression or of an alternative");
    }

    /// <summary>The whole texts of a way, whatever stands around what matches.</summary>
    private Node Whole(Way way)
    {
        Node text = _isWhole ? way.Body : Node.Of(way.FromStart ? Node.Empty : Anything, way.Body, way.ToEnd ? Node.Empty : Anything);
        if (way.Aheads.Count == 0)
            return text;
        CharacterAutomaton all = CharacterAutomaton.Of(text, _place);
        foreach ((Node ahead, bool isNegative) in way.Aheads)
        {
            // Twice the complement is the same, but deterministic: products of several stay small.
            CharacterAutomaton other = CharacterAutomaton.Of(ahead, _place).Complement();
            all = CharacterAutomaton.Both(all, isNegative ? other : other.Complement(), _place);
        }

        return all.ToNode(set => new Node.Character(set));
    }

    /// <summary>Alternatives, up to their end.</summary>
    /// <param name="isFirst">They stand at the beginning of the text: look-ahead may come first.</param>
    private List<Way> ReadWays(bool isFirst)
    {
        var ways = new List<Way>();
        do
        {
            bool fromStart = false;
            while (TryTake('^'))
                fromStart = true;
            List<(Node, bool)> aheads = ReadAheads(isFirst && (fromStart || _isWhole));
            IEnumerable<Way> read = ReadSequence();
            bool toEnd = false;
            while (TryTake('$'))
                toEnd = true;
            ways.AddRange(read.Select(way => way with { FromStart = way.FromStart || fromStart, ToEnd = way.ToEnd || toEnd, Aheads = [.. aheads, .. way.Aheads] }));
        }
        while (TryTake('|'));
        return ways;
    }

    /// <summary>What must, or must not, follow the beginning.</summary>
    private List<(Node Text, bool IsNegative)> ReadAheads(bool areSupported)
    {
        var aheads = new List<(Node, bool)>();
        while (areSupported && _text.AsSpan(_at) is ['(', '?', '=' or '!', ..])
        {
            int open = _at;
            bool isNegative = _text[_at + 2] == '!';
            _at += 3;

            // What some dialect reads there must not be.
            _isWide ^= isNegative;
            List<Way> ways = ReadWays(isFirst: false);
            _isWide ^= isNegative;
            if (!TryTake(')'))
                throw GrammarError.At($"{_place}: position {open}", "'(' is never closed");
            aheads.Add((Node.Any([.. ways.Select(way => way.ToEnd ? way.Body : Node.Of(way.Body, Anything))]), isNegative));
        }

        return aheads;
    }

    /// <summary>Elements one after the other; several ways if a group at the beginning or the end has anchors of its own.</summary>
    private List<Way> ReadSequence()
    {
        List<Way> ways = [new Way(Node.Empty)];
        var parts = new List<Node>();
        int begin = _at;
        while (_at < _text.Length && _text[_at] is not ('|' or ')' or '$'))
        {
            int at = _at;
            List<Way> read = ReadQuantified();
            if (at > begin && read.Any(way => way.FromStart))
                throw GrammarError.At($"{_place}: position {at}", "'^' is supported only at the beginning of the expression or of an alternative");
            if (read.All(way => !way.IsAnchored))
            {
                parts.Add(read.Count == 1 ? read[0].Body : new Node.Choice([.. read.Select(way => way.Body)]));
                continue;
            }

            Node before = Node.Of([.. parts]);
            ways = [.. ways.SelectMany(_ => read, (way, next) => next with { Body = Node.Of(way.Body, before, next.Body), FromStart = way.FromStart || next.FromStart, Aheads = [.. way.Aheads, .. next.Aheads] })];
            parts.Clear();
            if (ways.Count > MaxWays)
                throw Error($"anchors make more than {MaxWays} ways; put them at the ends of the expression");
            if (ways.Any(way => way.ToEnd) && _at < _text.Length && _text[_at] is not ('|' or ')' or '$'))
                throw Error("'$' is supported only at the end of the expression or of an alternative");
        }

        Node rest = parts.Count == 1 ? parts[0] : new Node.Sequence(parts);
        return [.. ways.Select(way => way with { Body = ways.Count == 1 && !way.IsAnchored ? rest : Node.Of(way.Body, rest) })];
    }

    private List<Way> ReadQuantified()
    {
        List<Way> part = _text[_at] == '(' ? ReadGroup() : [new Way(ReadAtom())];
        if (ReadQuantifier() is not { } times)
            return part;
        _at++;
        if (Next == '+')
            throw Error("possessive quantifiers are not supported");
        TryTake('?');
        if (ReadQuantifier() is not null)
            throw Error("a quantifier has nothing to repeat; put what it repeats in a group");
        if (part.Any(way => way.IsAnchored))
            throw Error("'^' and '$' are not supported in what is repeated");
        return [new Way(new Node.Repeat(part.Count == 1 ? part[0].Body : new Node.Choice([.. part.Select(way => way.Body)]), times.Min, times.Max))];
    }

    /// <summary>The quantifier that stands here, up to but without its last character; null if there is none.</summary>
    private (int Min, int Max)? ReadQuantifier() => Next switch
    {
        '*' => (0, Node.Repeat.Unbounded),
        '+' => (1, Node.Repeat.Unbounded),
        '?' => (0, 1),
        '{' => ReadCount(),
        _ => null,
    };

    /// <summary>A count in braces, up to but without the closing one; null if the brace is an ordinary character.</summary>
    private (int Min, int Max)? ReadCount()
    {
        int end = _text.IndexOf('}', _at);
        if (end < 0)
            return null;
        string[] bounds = _text[(_at + 1)..end].Split(',');
        if (bounds.Length > 2 || bounds[0].Length == 0 || !bounds.All(bound => bound.All(char.IsAsciiDigit)))
            return null;
        int min = Count(bounds[0]);
        int max = bounds.Length == 1 ? min : bounds[1].Length == 0 ? Node.Repeat.Unbounded : Count(bounds[1]);
        if (max != Node.Repeat.Unbounded && max < min)
            throw Error($"the repetition {{{min},{max}}} has its bounds in the wrong order");
        _at = end;
        return (min, max);
    }

    private int Count(string digits) =>
        int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out int count) && count <= MaxCount ? count : throw Error($"the repetition count {digits} is too large; at most {MaxCount}");

    private Node ReadAtom()
    {
        char first = _text[_at];
        switch (first)
        {
            case '[':
                return Character(ReadClass());
            case '.':
                _at++;
                return new Node.Character(_dotIsAll ? CodePoints.All : CharacterClasses.Dot(_isWide));
            case '\\':
                return Character(Folded(ReadEscape(isExcluded: false, inClass: false)));
            case '*' or '+' or '?':
                throw Error($"'{first}' has nothing to repeat");
            case '^':
                throw Error("'^' is supported only at the beginning of the expression or of an alternative");
            default:
                return new Node.Character(Folded(CodePoints.Single(TakeRune())));
        }
    }

    private Node.Character Character(CodePoints set) => (_rangeCount += set.Ranges.Length) <= MaxRanges
        ? new Node.Character(set) : throw Error("too many large character classes; use fewer, or smaller ones");

    private List<Way> ReadGroup()
    {
        int open = _at++;
        if (++_nesting > MaxNesting)
            throw Error($"groups are nested deeper than {MaxNesting}");
        if (TryTake('?'))
        {
            if (Next is '<' or 'P' && _text.AsSpan(_at) is not ['<', '=' or '!', ..])
            {
                int end = _text.IndexOf('>', _at);
                _at = end < 0 || _text.AsSpan(_at).StartsWith("P=") ? throw Error("only named groups '(?<name>' may begin like this") : end + 1;
            }
            else if (!TryTake(':'))
            {
                throw Error("look-behind, look-ahead elsewhere than behind a '^' at the beginning, comments, atomic groups and flags other than '(?i)' and '(?s)' at the beginning are not supported; use '(?:' for a group");
            }
        }

        List<Way> ways = ReadWays(isFirst: open == 0);
        if (Next == '$')
            throw Error("'$' is supported only at the end of the expression or of an alternative");
        if (!TryTake(')'))
            throw GrammarError.At($"{_place}: position {open}", "'(' is never closed");
        _nesting--;
        return ways.Any(way => way.IsAnchored) ? ways : [new Way(ways.Count == 1 ? ways[0].Body : new Node.Choice([.. ways.Select(way => way.Body)]))];
    }

    private CodePoints Folded(CodePoints set) => _ignoresCase ? CharacterClasses.WithBothCases(set) : set;

    private char? Next => _at < _text.Length ? _text[_at] : null;

    private bool TryTake(char character)
    {
        if (Next != character)
            return false;
        _at++;
        return true;
    }

    private int TakeRune()
    {
        if (Rune.DecodeFromUtf16(_text.AsSpan(_at), out Rune rune, out int length) != System.Buffers.OperationStatus.Done)
            throw Error("an unpaired surrogate is no character");
        _at += length;
        return rune.Value;
    }

    private OperatingException Error(string problem) => GrammarError.At($"{_place}: position {_at}", problem);

    /// <summary>One of several ways to match.</summary>
    /// <param name="Body">What matches.</param>
    /// <param name="FromStart">Nothing stands before it.</param>
    /// <param name="ToEnd">Nothing follows it.</param>
    private sealed record Way(Node Body, bool FromStart = false, bool ToEnd = false)
    {
        /// <summary>Whole texts that it must, or must not, be one of; only where it stands at the beginning.</summary>
        public IReadOnlyList<(Node Text, bool IsNegative)> Aheads { get; init; } = [];

        public bool IsAnchored => FromStart || ToEnd || Aheads.Count > 0;
    }
}
