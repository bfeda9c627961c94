using System.Globalization;
using System.Text;

namespace Conclave.Model.Tokenization;

/// <summary>
/// An immutable set of Unicode code points, such as a character class of a pattern. Stored as an inversion list (ascending
/// places where membership changes), which makes union, complement and intersection a few lines.
/// </summary>
internal sealed class CodePointSet
{
    private const int End = 0x110000;
    private const int BmpEnd = 0x10000;
    private static readonly Lazy<(UnicodeCategory Category, int First, int End)[]> CategoryRuns = new(FindCategoryRuns);

    private readonly int[] _changes;
    // The members below U+10000 as bits, made when first asked for: most sets are only steps to another.
    private ulong[]? _bits;

    private CodePointSet(int[] changes) => _changes = changes;

    public static CodePointSet All { get; } = new([0, End]);

    public static CodePointSet None { get; } = new([]);

    /// <summary>Unicode White_Space, which is also what \s means.</summary>
    public static CodePointSet WhiteSpace { get; } = Of(
        [.. Enumerable.Range(0, BmpEnd).Where(point => char.IsWhiteSpace((char)point)).Select(point => (point, point))]);

    public bool IsEmpty => _changes.Length == 0;

    /// <summary>Ranges given by first and last code point, in any order.</summary>
    public static CodePointSet Of(params (int First, int Last)[] ranges)
    {
        var changes = new List<int>();
        foreach (var (first, last) in ranges.OrderBy(range => range.First))
        {
            if (changes.Count > 0 && first <= changes[^1])
            {
                changes[^1] = Math.Max(changes[^1], last + 1);
            }
            else
            {
                changes.AddRange([first, last + 1]);
            }
        }

        return new CodePointSet([.. changes]);
    }

    /// <summary>All code points of some general categories.</summary>
    public static CodePointSet OfCategories(params UnicodeCategory[] categories)
        => Of([.. CategoryRuns.Value.Where(run => categories.Contains(run.Category)).Select(run => (run.First, run.End - 1))]);

    public bool Contains(int point)
    {
        if (point < BmpEnd)
        {
            return ((_bits ??= Bits())[point >> 6] & (1UL << point)) != 0;
        }

        // The number of changes up to and including the point is odd inside the set.
        var at = Array.BinarySearch(_changes, point);
        return ((at >= 0 ? at + 1 : ~at) & 1) != 0;
    }

    public CodePointSet Union(CodePointSet other)
        => Of([.. Ranges().Concat(other.Ranges()).Select(range => (range.First, range.End - 1))]);

    public CodePointSet Complement()
    {
        var changes = _changes.ToList();
        Toggle(changes, 0, atStart: true);
        Toggle(changes, End, atStart: false);
        return new CodePointSet([.. changes]);
    }

    public CodePointSet Intersect(CodePointSet other) => Complement().Union(other.Complement()).Complement();

    /// <summary>Adds the other case of every member (simple case folding).</summary>
    public CodePointSet IgnoreCase()
    {
        var others = new List<(int, int)>();
        foreach (var (first, end) in Ranges())
        {
            for (var point = first; point < end; point++)
            {
                if (Rune.TryCreate(point, out var rune))
                {
                    var (upper, lower) = (Rune.ToUpperInvariant(rune).Value, Rune.ToLowerInvariant(rune).Value);
                    others.AddRange([(upper, upper), (lower, lower)]);
                }
            }
        }

        var folded = Union(Of([.. others]));
        // The two letters outside ASCII that fold into it: long s and the Kelvin sign.
        folded = folded.Contains('s') ? folded.Union(Of((0x17F, 0x17F))) : folded;
        return folded.Contains('k') ? folded.Union(Of((0x212A, 0x212A))) : folded;
    }

    /// <summary>All bytes that the UTF-8 form of a member can begin with.</summary>
    public byte[] FirstBytes()
    {
        var found = new bool[256];
        foreach (var (first, end) in Ranges())
        {
            for (var point = first; point < end; point++)
            {
                // Beyond ASCII, 64 neighbours share all bytes but the last.
                found[FirstByte(point)] = true;
                point = point < 0x80 ? point : point | 0x3F;
            }

            found[FirstByte(end - 1)] = true;
        }

        return [.. Enumerable.Range(0, 256).Where(value => found[value]).Select(value => (byte)value)];
    }

    private static int FirstByte(int point) => point switch
    {
        < 0x80 => point,
        < 0x800 => 0xC0 | (point >> 6),
        < 0x10000 => 0xE0 | (point >> 12),
        _ => 0xF0 | (point >> 18),
    };

    private static void Toggle(List<int> changes, int point, bool atStart)
    {
        var index = atStart ? 0 : changes.Count;
        var present = changes.Count > 0 && changes[atStart ? 0 : ^1] == point;
        if (present)
        {
            changes.RemoveAt(atStart ? 0 : index - 1);
        }
        else
        {
            changes.Insert(index, point);
        }
    }

    private ulong[] Bits()
    {
        var bits = new ulong[BmpEnd / 64];
        foreach (var (first, end) in Ranges())
        {
            for (var point = first; point < Math.Min(end, BmpEnd); point++)
            {
                bits[point >> 6] |= 1UL << point;
            }
        }

        return bits;
    }

    private IEnumerable<(int First, int End)> Ranges()
    {
        for (var i = 0; i < _changes.Length; i += 2)
        {
            yield return (_changes[i], _changes[i + 1]);
        }
    }

    private static (UnicodeCategory, int, int)[] FindCategoryRuns()
    {
        var runs = new List<(UnicodeCategory, int, int)>();
        for (var first = 0; first < End;)
        {
            var category = CharUnicodeInfo.GetUnicodeCategory(first);
            var end = first + 1;
            while (end < End && CharUnicodeInfo.GetUnicodeCategory(end) == category)
            {
                end++;
            }

            runs.Add((category, first, end));
            first = end;
        }

        return [.. runs];
    }
}
