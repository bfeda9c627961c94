using System.Collections.Concurrent;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace Conclave.Engine.Grammars;

/// <summary>
/// The named classes of regular expressions. Dialects differ on them: ECMAScript reads <c>\d \w \s</c> as ASCII, .NET and Python as Unicode. Output must match in
/// each, so the classes are narrow where they allow (ASCII) and wide where they exclude (Unicode).
/// </summary>
internal static class CharacterClasses
{
    private static readonly Lazy<CodePoints> UnicodeDigits = new(() => Where(rune => Rune.GetUnicodeCategory(rune) == UnicodeCategory.DecimalDigitNumber));
    private static readonly Lazy<CodePoints> UnicodeWords = new(() => Where(rune => IsWord(rune)));
    private static readonly Lazy<CodePoints> UnicodeSpaces = new(() => Where(Rune.IsWhiteSpace).Union(CodePoints.Single(0xFEFF)));

    // No plane beyond the second has cases.
    private static readonly Lazy<(int Value, int Upper, int Lower)[]> Cased = new(() =>
    [
        .. Enumerable.Range(0, 0x20000).Where(Rune.IsValid).Select(value => (value, Rune.ToUpperInvariant(new Rune(value)).Value, Rune.ToLowerInvariant(new Rune(value)).Value))
            .Where(letter => letter.Item2 != letter.value || letter.Item3 != letter.value),
    ]);

    private static readonly ConcurrentDictionary<string, CodePoints> Categories = new(StringComparer.Ordinal);

    private static readonly CodePoints NoLineEnd = CodePoints.Of(('\n', '\n'), ('\r', '\r'), (0x2028, 0x2029)).Complement();
    private static readonly CodePoints NoLineFeed = CodePoints.Single('\n').Complement();

    /// <summary>What <c>.</c> stands for: any character but line ends.</summary>
    public static CodePoints Dot(bool isWide) => isWide ? NoLineFeed : NoLineEnd;

    /// <summary><paramref name="set"/> and whatever has a member of it in another case: the Kelvin sign for k.</summary>
    public static CodePoints WithAnyCase(CodePoints set) => set.Union(CodePoints.Of(
        [.. Cased.Value.Where(letter => set.Contains(letter.Upper) || set.Contains(letter.Lower)).Select(letter => (letter.Value, letter.Value))]));

    /// <summary><paramref name="set"/> and what its letters are in the other case.</summary>
    public static CodePoints WithBothCases(CodePoints set) => set.Union(CodePoints.Of(
        [.. Cased.Value.Where(letter => set.Contains(letter.Value)).SelectMany(letter => ((int, int)[])[(letter.Upper, letter.Upper), (letter.Lower, letter.Lower)])]));

    /// <summary>The class of <c>\d</c>, <c>\w</c> or <c>\s</c> as it allows (<paramref name="isWide"/> false) or as it excludes.</summary>
    public static CodePoints? Named(char letter, bool isWide) => letter switch
    {
        'd' => isWide ? UnicodeDigits.Value : CodePoints.Of(('0', '9')),
        'w' => isWide ? UnicodeWords.Value : CodePoints.Of(('0', '9'), ('A', 'Z'), ('a', 'z'), ('_', '_')),
        's' => isWide ? UnicodeSpaces.Value : CodePoints.OfCharacters(" \t\n\r\f\v"),
        _ => null,
    };

    /// <summary>The characters of a Unicode general category such as <c>L</c> or <c>Nd</c>; null if there is none of that name.</summary>
    public static CodePoints? Category(string name)
    {
        string[] names = ["Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Cn"];
        bool[] isMeant = [.. names.Select(known => name.Length is 1 or 2 && known.StartsWith(name, StringComparison.Ordinal))];
        return isMeant.Contains(true) ? Categories.GetOrAdd(name, _ => Where(rune => isMeant[(int)Rune.GetUnicodeCategory(rune)])) : null;
    }

    private static bool IsWord(Rune rune) => Rune.GetUnicodeCategory(rune) is
        UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter or UnicodeCategory.ModifierLetter or UnicodeCategory.OtherLetter
        or UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark
        or UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber or UnicodeCategory.ConnectorPunctuation
        || rune.Value is 0x200C or 0x200D;

    private static CodePoints Where(Func<Rune, bool> isMember)
    {
        var ranges = new List<(int First, int Last)>();
        for (int value = 0; value <= 0x10FFFF; value++)
        {
            if (!Rune.IsValid(value) || !isMember(new Rune(value)))
                continue;
            if (ranges.Count > 0 && ranges[^1].Last == value - 1)
                CollectionsMarshal.AsSpan(ranges)[^1].Last = value;
            else
                ranges.Add((value, value));
        }

        return CodePoints.Of(CollectionsMarshal.AsSpan(ranges));
    }
}
