using System.Collections.Concurrent;
using System.Globalization;

namespace Conclave.Model.Tokenization;

/// <summary>Named sets of code points, as patterns refer to them.</summary>
internal static class UnicodeClasses
{
    private static readonly ConcurrentDictionary<string, CodePointSet?> Properties = new();

    private static readonly (string Short, string Long, UnicodeCategory Category)[] Categories =
    [
        ("Lu", "UppercaseLetter", UnicodeCategory.UppercaseLetter),
        ("Ll", "LowercaseLetter", UnicodeCategory.LowercaseLetter),
        ("Lt", "TitlecaseLetter", UnicodeCategory.TitlecaseLetter),
        ("Lm", "ModifierLetter", UnicodeCategory.ModifierLetter),
        ("Lo", "OtherLetter", UnicodeCategory.OtherLetter),
        ("Mn", "NonspacingMark", UnicodeCategory.NonSpacingMark),
        ("Mc", "SpacingMark", UnicodeCategory.SpacingCombiningMark),
        ("Me", "EnclosingMark", UnicodeCategory.EnclosingMark),
        ("Nd", "DecimalNumber", UnicodeCategory.DecimalDigitNumber),
        ("Nl", "LetterNumber", UnicodeCategory.LetterNumber),
        ("No", "OtherNumber", UnicodeCategory.OtherNumber),
        ("Zs", "SpaceSeparator", UnicodeCategory.SpaceSeparator),
        ("Zl", "LineSeparator", UnicodeCategory.LineSeparator),
        ("Zp", "ParagraphSeparator", UnicodeCategory.ParagraphSeparator),
        ("Cc", "Control", UnicodeCategory.Control),
        ("Cf", "Format", UnicodeCategory.Format),
        ("Cs", "Surrogate", UnicodeCategory.Surrogate),
        ("Co", "PrivateUse", UnicodeCategory.PrivateUse),
        ("Cn", "Unassigned", UnicodeCategory.OtherNotAssigned),
        ("Pc", "ConnectorPunctuation", UnicodeCategory.ConnectorPunctuation),
        ("Pd", "DashPunctuation", UnicodeCategory.DashPunctuation),
        ("Ps", "OpenPunctuation", UnicodeCategory.OpenPunctuation),
        ("Pe", "ClosePunctuation", UnicodeCategory.ClosePunctuation),
        ("Pi", "InitialPunctuation", UnicodeCategory.InitialQuotePunctuation),
        ("Pf", "FinalPunctuation", UnicodeCategory.FinalQuotePunctuation),
        ("Po", "OtherPunctuation", UnicodeCategory.OtherPunctuation),
        ("Sm", "MathSymbol", UnicodeCategory.MathSymbol),
        ("Sc", "CurrencySymbol", UnicodeCategory.CurrencySymbol),
        ("Sk", "ModifierSymbol", UnicodeCategory.ModifierSymbol),
        ("So", "OtherSymbol", UnicodeCategory.OtherSymbol),
    ];

    private static readonly Dictionary<string, string> Groups = new(StringComparer.OrdinalIgnoreCase)
    {
        ["Letter"] = "L",
        ["Mark"] = "M",
        ["Number"] = "N",
        ["Separator"] = "Z",
        ["Other"] = "C",
        ["Punctuation"] = "P",
        ["Symbol"] = "S",
    };

    // The only alphabetic code points that are symbols by category.
    private static readonly CodePointSet CircledLetters
        = CodePointSet.Of((0x24B6, 0x24E9), (0x1F130, 0x1F149), (0x1F150, 0x1F169), (0x1F170, 0x1F189));

    // Superscripts and fractions of Latin-1, which Oniguruma counts as word characters for its own reasons.
    private static readonly CodePointSet LatinNumbers = CodePointSet.Of((0xB2, 0xB3), (0xB9, 0xB9), (0xBC, 0xBE));

    /// <summary>Word characters as Oniguruma has them: alphabetic, marks, decimal digits, connectors.</summary>
    public static CodePointSet Word { get; } = new[] { "L", "M", "Nd", "Nl", "Pc" }
        .Aggregate(CircledLetters.Union(LatinNumbers), (word, category) => word.Union(Property(category)!));

    /// <summary>A general category or group of categories by short or long name ("L", "Lu", "Letter"); null if unknown.</summary>
    public static CodePointSet? Property(string name) => Properties.GetOrAdd(name, Find);

    /// <summary>\s, \d, \w and their opposites; null for any other letter.</summary>
    public static CodePointSet? Shorthand(int letter) => letter switch
    {
        's' => CodePointSet.WhiteSpace,
        'S' => CodePointSet.WhiteSpace.Complement(),
        'd' => Property("Nd"),
        'D' => Property("Nd")!.Complement(),
        'w' => Word,
        'W' => Word.Complement(),
        _ => null,
    };

    private static CodePointSet? Find(string name)
    {
        // Names are compared as Unicode asks: case, spaces, hyphens and underscores do not count.
        var plain = string.Concat(name.Where(letter => letter is not (' ' or '-' or '_')));
        var group = Groups.GetValueOrDefault(plain, plain);
        var categories = Categories
            .Where(entry => entry.Short.Equals(plain, StringComparison.OrdinalIgnoreCase)
                || entry.Long.Equals(plain, StringComparison.OrdinalIgnoreCase)
                || (group.Length == 1 && entry.Short.StartsWith(group, StringComparison.OrdinalIgnoreCase)))
            .Select(entry => entry.Category)
            .ToArray();
        return plain.Equals("Any", StringComparison.OrdinalIgnoreCase) ? CodePointSet.All
            : categories.Length > 0 ? CodePointSet.OfCategories(categories)
            : null;
    }
}
