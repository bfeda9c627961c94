using System.Globalization;

namespace Conclave.Model.Tokenization;

/// <content>Character classes and escapes.</content>
internal sealed partial class PatternParser
{
    /// <summary>The inside of [...]: members, ranges, nested classes, intersections.</summary>
    private CodePointSet Brackets()
    {
        Deepen();
        var start = _at;
        var negated = Take("^");
        CodePointSet? intersection = null;
        var members = CodePointSet.None;
        for (var first = true; first || !Take("]"); first = false)
        {
            if (AtEnd)
            {
                _at = start;
                throw Error("missing ']'", back: 1);
            }

            if (Take("&&"))
            {
                intersection = intersection?.Intersect(members) ?? members;
                members = CodePointSet.None;
            }
            else
            {
                members = members.Union(Member());
            }
        }

        _depth--;
        members = intersection?.Intersect(members) ?? members;
        return negated ? members.Complement() : members;
    }

    private CodePointSet Member()
    {
        if (Take("[:"))
        {
            throw Error("POSIX classes are not supported", back: 2);
        }

        if (Take("["))
        {
            return Brackets();
        }

        var low = ClassSymbol(out var set);
        if (set is not null || _at + 1 >= _pattern.Length || _pattern[_at] != '-' || _pattern[_at + 1] == ']')
        {
            return set ?? One(low);
        }

        _at++;
        var high = ClassSymbol(out set);
        return set is null && low <= high ? CodePointSet.Of((low, high)) : throw Error("bad range in a character class");
    }

    private int ClassSymbol(out CodePointSet? set)
    {
        set = null;
        var symbol = Symbol();
        if (symbol != '\\')
        {
            return symbol;
        }

        set = Escape();
        if (_escapedPoint is { } point)
        {
            set = null;
            return point;
        }

        return -1;
    }

    // Set by Escape: the single code point that the escape names, null for a class such as \s.
    private int? _escapedPoint;

    private CodePointSet Escape()
    {
        if (AtEnd)
        {
            throw Error("trailing backslash");
        }

        _escapedPoint = null;
        var symbol = Symbol();
        if (UnicodeClasses.Shorthand(symbol) is { } shorthand)
        {
            return shorthand;
        }

        if (symbol is 'p' or 'P')
        {
            return Property(symbol == 'P');
        }

        var point = symbol switch
        {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'f' => '\f',
            'v' => '\v',
            'a' => '\a',
            'e' => 0x1B,
            '0' => 0,
            'x' => Take("{") ? HexBraces() : Hex(2),
            'u' => Hex(4),
            _ when symbol >= 0x80 || !char.IsAsciiLetterOrDigit((char)symbol) => symbol,
            _ => throw Error($"escape '\\{(char)symbol}' is not supported", back: 2),
        };
        _escapedPoint = point;
        return One(point);
    }

    private CodePointSet Property(bool negated)
    {
        var start = _at;
        var close = Take("{") ? _pattern.IndexOf('}', _at) : -1;
        if (close < 0)
        {
            throw Error("expected \\p{...}");
        }

        negated ^= Take("^");
        var name = _pattern[_at..close];
        _at = close + 1;
        if (UnicodeClasses.Property(name) is not { } set)
        {
            _at = start;
            throw Error($"property '{name}' is not supported (general categories are)", back: 2);
        }

        return negated ? set.Complement() : set;
    }

    private int HexBraces()
    {
        var close = _pattern.IndexOf('}', _at);
        var point = Hex(close < 0 ? 0 : close - _at);
        _at++;
        return point;
    }

    private int Hex(int digits)
    {
        if (digits > 0 && _at + digits <= _pattern.Length
            && int.TryParse(_pattern.AsSpan(_at, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var point)
            && point is >= 0 and < 0x110000)
        {
            _at += digits;
            return point;
        }

        throw Error("bad hexadecimal escape");
    }
}
