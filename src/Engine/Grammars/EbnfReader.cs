using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace Conclave.Engine.Grammars;

/// <summary>
/// Grammars in the GBNF notation of llama.cpp: rules <c>name ::= ...</c>, texts in double quotes, character classes, <c>.</c> for any character, groups,
/// <c>|</c>, <c>* + ? {m} {m,} {m,n}</c> and comments from <c>#</c>. A rule ends where the next one begins, so line ends mean nothing. The output is rule <c>root</c>.
/// Escapes: <c>\n \r \t \\ \" \[ \] \- \^ \xHH \uHHHH \UHHHHHHHH</c>.
/// </summary>
internal sealed class EbnfReader
{
    private const int MaxNesting = 200;
    private const int MaxCount = 100_000;
    private const int MaxCounts = 16;
    private const string Root = "root";

    private readonly string _text;
    private readonly Dictionary<string, (Rule Rule, int Mentioned)> _rules = new(StringComparer.Ordinal);
    private readonly HashSet<string> _defined = new(StringComparer.Ordinal);
    private int _at;
    private int _nesting;

    private EbnfReader(string text) => _text = text;

    /// <exception cref="OperatingException">The grammar cannot be used; the message names line and column.</exception>
    public static Node Read(string text)
    {
        var reader = new EbnfReader(text);
        reader.SkipBlanks();
        while (reader._at < text.Length)
            reader.ReadRule();
        foreach ((string name, (_, int mentioned)) in reader._rules)
        {
            if (reader._defined.Contains(name))
                continue;
            reader._at = mentioned;
            throw reader.Error($"rule '{name}' is used and never defined");
        }

        return reader._defined.Contains(Root) ? new Node.Call(reader._rules[Root].Rule) : throw reader.Error($"no rule is named '{Root}'");
    }

    private void ReadRule()
    {
        int begin = _at;
        string name = TakeName() ?? throw Error("a rule name was expected");
        SkipBlanks();
        if (!TryTake("::="))
            throw Error("'::=' was expected after the name of a rule");
        SkipBlanks();
        if (!_defined.Add(name))
        {
            _at = begin;
            throw Error($"rule '{name}' is defined twice");
        }

        RuleOf(name, begin).Body = ReadAlternatives();
        if (_at < _text.Length && !AtRule())
            throw Error($"'{_text[_at]}' was not expected");
    }

    private Rule RuleOf(string name, int mentioned)
    {
        if (!_rules.TryGetValue(name, out var known))
            _rules.Add(name, known = (new Rule($"rule '{name}'"), mentioned));
        return known.Rule;
    }

    private Node ReadAlternatives()
    {
        var alternatives = new List<Node>();
        do
        {
            SkipBlanks();
            alternatives.Add(ReadSequence());
        }
        while (TryTake("|"));
        return alternatives.Count == 1 ? alternatives[0] : new Node.Choice(alternatives);
    }

    private Node ReadSequence()
    {
        var parts = new List<Node>();
        while (_at < _text.Length && _text[_at] is not ('|' or ')') && !AtRule())
        {
            Node part = ReadElement();
            SkipBlanks();
            for (int times = 0; _at < _text.Length && ReadCount() is { } count; times++)
            {
                if (times == MaxCounts)
                    throw Error($"more than {MaxCounts} repetitions of one element; use groups");
                part = new Node.Repeat(part, count.Min, count.Max);
                SkipBlanks();
            }

            parts.Add(part);
        }

        return parts.Count == 1 ? parts[0] : new Node.Sequence(parts);
    }

    private Node ReadElement()
    {
        int begin = _at;
        switch (_text[_at])
        {
            case '"':
                _at++;
                return ReadText(begin);
            case '[':
                _at++;
                return new Node.Character(ReadClass(begin));
            case '.':
                _at++;
                return new Node.Character(CodePoints.All);
            case '(':
                _at++;
                if (++_nesting > MaxNesting)
                    throw Error($"groups are nested deeper than {MaxNesting}");
                Node body = ReadAlternatives();
                if (!TryTake(")"))
                    throw Error("')' was expected", begin);
                _nesting--;
                return body;
            default:
                string name = TakeName() ?? throw Error($"'{_text[_at]}' was not expected");
                return new Node.Nested(new Node.Call(RuleOf(name, begin)));
        }
    }

    private (int Min, int Max)? ReadCount()
    {
        if (TryTake("*"))
            return (0, Node.Repeat.Unbounded);
        if (TryTake("+"))
            return (1, Node.Repeat.Unbounded);
        if (TryTake("?"))
            return (0, 1);
        if (_text[_at] != '{')
            return null;
        int end = _text.IndexOf('}', _at);
        string[] bounds = end < 0 ? [] : [.. _text[(_at + 1)..end].Split(',').Select(bound => bound.Trim())];
        if (bounds.Length is not (1 or 2) || bounds[0].Length == 0)
            throw Error("a repetition is written {m}, {m,} or {m,n}");
        int min = Count(bounds[0]);
        int max = bounds.Length == 1 ? min : bounds[1].Length == 0 ? Node.Repeat.Unbounded : Count(bounds[1]);
        if (max != Node.Repeat.Unbounded && max < min)
            throw Error($"the repetition {{{min},{max}}} has its bounds in the wrong order");
        _at = end + 1;
        return (min, max);
    }

    private int Count(string digits) =>
        int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out int count) && count <= MaxCount ? count : throw Error($"'{digits}' is no repetition count up to {MaxCount}");

    private Node ReadText(int begin)
    {
        var text = new StringBuilder();
        while (!TryTake("\""))
            text.Append(new Rune(TakeCharacter(begin, "'\"'")).ToString());
        return text.Length == 0 ? Node.Empty : Node.Text(text.ToString());
    }

    private CodePoints ReadClass(int begin)
    {
        bool isExcluding = TryTake("^");
        var ranges = new List<(int First, int Last)>();
        while (!TryTake("]"))
        {
            int first = TakeCharacter(begin, "']'");
            int last = first;
            if (_text.AsSpan(_at) is ['-', not ']', ..])
            {
                _at++;
                last = TakeCharacter(begin, "']'");
            }

            if (last < first)
                throw Error("a range has its bounds in the wrong order");
            ranges.Add((first, last));
        }

        CodePoints set = CodePoints.Of(CollectionsMarshal.AsSpan(ranges));
        return isExcluding ? set.Complement() : set;
    }

    private int TakeCharacter(int begin, string close)
    {
        if (_at >= _text.Length)
            throw Error($"{close} was expected", begin);
        if (_text[_at] == '\\' && _at + 1 < _text.Length)
            return TakeEscape();
        if (Rune.DecodeFromUtf16(_text.AsSpan(_at), out Rune rune, out int length) != System.Buffers.OperationStatus.Done)
            throw Error("an unpaired surrogate is no character");
        _at += length;
        return rune.Value;
    }

    private int TakeEscape()
    {
        char letter = _text[_at + 1];
        _at += 2;
        switch (letter)
        {
            case 'n': return '\n';
            case 'r': return '\r';
            case 't': return '\t';
            case '\\' or '"' or '[' or ']' or '-' or '^' or '/': return letter;
            case 'x' or 'u' or 'U':
                int length = letter == 'x' ? 2 : letter == 'u' ? 4 : 8;
                if (_at + length <= _text.Length && int.TryParse(_text.AsSpan(_at, length), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int value) && Rune.IsValid(value))
                {
                    _at += length;
                    return value;
                }

                throw Error($"'\\{letter}' needs {length} hexadecimal digits of a character");
            default:
                throw Error($"the escape '\\{letter}' is unknown");
        }
    }

    /// <summary>Whether a new rule begins here.</summary>
    private bool AtRule()
    {
        int begin = _at;
        bool isRule = TakeName() is not null;
        SkipBlanks();
        isRule &= _text.AsSpan(_at).StartsWith("::=");
        _at = begin;
        return isRule;
    }

    private string? TakeName()
    {
        int begin = _at;
        while (_at < _text.Length && (char.IsAsciiLetterOrDigit(_text[_at]) || _text[_at] is '-' or '_'))
            _at++;
        return _at > begin ? _text[begin.._at] : null;
    }

    private bool TryTake(string text)
    {
        if (!_text.AsSpan(_at).StartsWith(text, StringComparison.Ordinal))
            return false;
        _at += text.Length;
        return true;
    }

    private void SkipBlanks()
    {
        while (_at < _text.Length && (char.IsWhiteSpace(_text[_at]) || _text[_at] == '#'))
        {
            int end = _text[_at] == '#' ? _text.IndexOf('\n', _at) : _at + 1;
            _at = end < 0 ? _text.Length : end;
        }
    }

    private OperatingException Error(string problem, int? at = null)
    {
        ReadOnlySpan<char> before = _text.AsSpan(0, at ?? _at);
        return GrammarError.At($"grammar: line {before.Count('\n') + 1}, column {before.Length - before.LastIndexOf('\n')}", problem);
    }
}
