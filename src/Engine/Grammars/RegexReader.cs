using System.Globalization;
using System.Text;

namespace Conclave.Engine.Grammars;

/// <summary>
/// Regular expressions: what ECMAScript, .NET and Python agree on, without what is not regular (back references, look-around, word boundaries). A character is
/// a Unicode scalar value, also beyond U+FFFF. Where dialects differ, a text is matched only if all of them match it. <c>^</c> and <c>$</c> stand at the ends of the expression or of its alternatives. Lazy quantifiers mean the same as greedy ones here.
/// </summary>
internal sealed partial class RegexReader
{
    private const int MaxNesting = 200;
    private const int MaxCount = 100_000;

    private readonly string _text;
    private readonly string _place;
    private readonly Func<CodePoints, Node> _character;
    private readonly bool _isWide;
    private bool _ignoresCase;
    private bool _dotIsAll;
    private int _at;
    private int _nesting;

    private RegexReader(string text, string place, Func<CodePoints, Node> character, bool isWide) => (_text, _place, _character, _isWide) = (text, place, character, isWide);

    /// <summary>Texts that match <paramref name="pattern"/> as a whole. It may begin with the flags <c>(?i)</c> and <c>(?s)</c>.</summary>
    /// <exception cref="OperatingException">The expression cannot be used; the message names the position.</exception>
    public static Node Read(string pattern)
    {
        var reader = new RegexReader(pattern, "regex", set => new Node.Character(set), isWide: false);
        reader.ReadFlags();
        return Node.Any([.. reader.ReadAll().Select(alternative => alternative.Body)]);
    }

    /// <summary>Texts in which <paramref name="pattern"/> matches somewhere, as JSON Schema means it.</summary>
    /// <param name="pattern">The expression.</param>
    /// <param name="place">Path of the pattern for errors.</param>
    /// <param name="character">How one character of a set is written.</param>
    /// <param name="isWide">Texts that any dialect matches, instead of those that all do.</param>
    /// <exception cref="OperatingException">The expression cannot be used; the message names the position.</exception>
    public static Node ReadSearch(string pattern, string place, Func<CodePoints, Node> character, bool isWide = false)
    {
        var anything = new Node.Repeat(character(CodePoints.All), 0, Node.Repeat.Unbounded);
        var ways = new List<Node>();
        foreach ((bool fromStart, Node body, bool toEnd) in new RegexReader(pattern, place, character, isWide).ReadAll())
            ways.Add(Node.Of(fromStart ? Node.Empty : anything, body, toEnd ? Node.Empty : anything));
        return Node.Any([.. ways]);
    }

    private void ReadFlags()
    {
        int end = _text.StartsWith("(?", StringComparison.Ordinal) ? _text.IndexOf(')') : -1;
        if (end < 3 || _text.AsSpan(2..end).ContainsAnyExcept('i', 's'))
            return;
        (_ignoresCase, _dotIsAll, _at) = (_text.AsSpan(0, end).Contains('i'), _text.AsSpan(0, end).Contains('s'), end + 1);
    }

    private List<(bool FromStart, Node Body, bool ToEnd)> ReadAll()
    {
        var alternatives = new List<(bool, Node, bool)>();
        do
        {
            bool fromStart = false;
            while (TryTake('^'))
                fromStart = true;
            Node body = ReadSequence();
            bool toEnd = false;
            while (TryTake('$'))
                toEnd = true;
            alternatives.Add((fromStart, body, toEnd));
        }
        while (TryTake('|'));
        return _at == _text.Length ? alternatives : throw Error(_text[_at] == ')' ? "')' without '('" : "'^' and '$' are supported only at the ends of the expression");
    }

    private Node ReadAlternatives()
    {
        var alternatives = new List<Node>();
        do
        {
            alternatives.Add(ReadSequence());
        }
        while (TryTake('|'));
        return alternatives.Count == 1 ? alternatives[0] : new Node.Choice(alternatives);
    }

    private Node ReadSequence()
    {
        var parts = new List<Node>();
        while (_at < _text.Length && _text[_at] is not ('|' or ')' or '$'))
            parts.Add(ReadQuantified());
        return parts.Count == 1 ? parts[0] : new Node.Sequence(parts);
    }

    private Node ReadQuantified()
    {
        Node part = ReadAtom();
        if (ReadQuantifier() is not { } times)
            return part;
        _at++;
        if (Next == '+')
            throw Error("possessive quantifiers are not supported");
        TryTake('?');
        return ReadQuantifier() is null ? new Node.Repeat(part, times.Min, times.Max) : throw Error("a quantifier has nothing to repeat; put what it repeats in a group");
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
            case '(':
                return ReadGroup();
            case '[':
                return _character(ReadClass());
            case '.':
                _at++;
                return _character(_dotIsAll ? CodePoints.All : CharacterClasses.Dot(_isWide));
            case '\\':
                return _character(Folded(ReadEscape(isExcluded: false, inClass: false)));
            case '*' or '+' or '?':
                throw Error($"'{first}' has nothing to repeat");
            case '^':
                throw Error("'^' is supported only at the beginning of the expression");
            default:
                return _character(Folded(CodePoints.Single(TakeRune())));
        }
    }

    private Node ReadGroup()
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
                throw Error("look-around, comments, atomic groups and flags other than '(?i)' and '(?s)' at the beginning are not supported; use '(?:' for a group");
            }
        }

        Node body = ReadAlternatives();
        if (Next == '$')
            throw Error("'$' is supported only at the end of the expression");
        if (!TryTake(')'))
            throw GrammarError.At($"{_place}: position {open}", "'(' is never closed");
        _nesting--;
        return body;
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
}
