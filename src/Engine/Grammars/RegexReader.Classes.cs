using System.Globalization;
using System.Runtime.InteropServices;

namespace Conclave.Engine.Grammars;

/// <summary>Character classes and escapes.</summary>
internal sealed partial class RegexReader
{
    private CodePoints ReadClass()
    {
        int open = _at++;
        bool isExcluding = TryTake('^');
        if (Next == ']')
            throw Error("an empty class; write ']' as '\\]'");
        var ranges = new List<(int First, int Last)>();
        while (Next != ']')
        {
            if (Next is null)
                throw GrammarError.At($"{_place}: position {open}", "'[' is never closed");
            if (Next == '[' && _text.AsSpan(_at) is ['[', ':' or '=' or '.', ..])
                throw Error("POSIX classes are not supported; write '[' as '\\['");
            ranges.AddRange(ReadRange(isExcluding).Ranges);
        }

        _at++;
        CodePoints set = CodePoints.Of(CollectionsMarshal.AsSpan(ranges));
        return isExcluding ? (_ignoresCase ? CharacterClasses.WithAnyCase(Folded(set)) : set).Complement() : Folded(set);
    }

    private CodePoints ReadRange(bool isExcluded)
    {
        CodePoints first = ReadClassCharacter(isExcluded);
        if (_text.AsSpan(_at) is not ['-', not ']', ..])
            return first;
        if (_text[_at + 1] == '[')
            throw Error("class subtraction is not supported; write '-' as '\\-'");
        _at++;
        CodePoints last = ReadClassCharacter(isExcluded);
        if (first.Ranges is not [var low] || last.Ranges is not [var high] || low.First != low.Last || high.First != high.Last)
            throw Error("a range needs one character on each side");
        return low.First <= high.First ? CodePoints.Of((low.First, high.First)) : throw Error("a range has its bounds in the wrong order");
    }

    private CodePoints ReadClassCharacter(bool isExcluded) => Next switch
    {
        null => throw Error("'[' is never closed"),
        '\\' => ReadEscape(isExcluded, inClass: true),
        _ => CodePoints.Single(TakeRune()),
    };

    /// <summary>What an escape stands for. In an excluding class the named classes are as wide as any dialect has them.</summary>
    private CodePoints ReadEscape(bool isExcluded, bool inClass)
    {
        _at++;
        char letter = Next ?? throw Error("'\\' at the end of the expression");
        if (CharacterClasses.Named(char.ToLowerInvariant(letter), _isWide != (isExcluded != char.IsUpper(letter))) is { } named)
        {
            _at++;
            return char.IsUpper(letter) ? named.Complement() : named;
        }

        if (!char.IsAsciiLetterOrDigit(letter))
            return CodePoints.Single(TakeRune());
        _at++;
        return letter switch
        {
            't' => CodePoints.Single('\t'),
            'n' => CodePoints.Single('\n'),
            'r' => CodePoints.Single('\r'),
            'f' => CodePoints.Single('\f'),
            'v' => CodePoints.Single('\v'),
            '0' when Next is not (>= '0' and <= '9') => CodePoints.Single(0),
            'b' when inClass => CodePoints.Single('\b'),
            'x' => CodePoints.Single(ReadHex(2)),
            'u' => CodePoints.Single(ReadUnit()),
            'p' or 'P' => ReadCategory(letter == 'P'),
            'b' or 'B' => throw Error("word boundaries are not supported"),
            'A' or 'Z' or 'z' or 'G' => throw Error($"'\\{letter}' is not supported; use '^' and '$'"),
            >= '1' and <= '9' or 'k' => throw Error("back references are not supported"),
            _ => throw Error($"the escape '\\{letter}' is unknown"),
        };
    }

    private CodePoints ReadCategory(bool isExcluding)
    {
        int end = Next == '{' ? _text.IndexOf('}', _at) : -1;
        if (end < 0)
            throw Error("'\\p' needs a category in braces");
        string name = _text[(_at + 1)..end];
        CodePoints set = CharacterClasses.Category(name) ?? throw Error($"'{name}' is no general category; scripts and blocks are not supported");
        _at = end + 1;
        return isExcluding ? set.Complement() : set;
    }

    private int ReadUnit()
    {
        int value = ReadHex(4);
        if (!char.IsSurrogate((char)Math.Min(value, 0xFFFF)) || value > 0xFFFF)
            return value;
        if (char.IsHighSurrogate((char)value) && _text.AsSpan(_at).StartsWith("\\u"))
        {
            _at += 2;
            int low = ReadHex(4);
            if (low is >= 0xDC00 and <= 0xDFFF)
                return char.ConvertToUtf32((char)value, (char)low);
        }

        throw Error("an unpaired surrogate is no character");
    }

    /// <summary>So many hexadecimal digits, or any number of them in braces.</summary>
    private int ReadHex(int count)
    {
        int end = Next == '{' ? _text.IndexOf('}', _at) : Math.Min(_text.Length, _at + count);
        string digits = end < 0 ? "" : _text[_at..end].TrimStart('{');
        if (digits.Length == 0 || (Next != '{' && digits.Length < count) || !digits.All(char.IsAsciiHexDigit)
            || !int.TryParse(digits, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int value) || value is < 0 or > 0x10FFFF)
        {
            throw Error("hexadecimal digits of a character are missing or too many");
        }

        _at = Next == '{' ? end + 1 : end;
        return value;
    }
}
