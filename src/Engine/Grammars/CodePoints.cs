using System.Runtime.InteropServices;

namespace Conclave.Engine.Grammars;

/// <summary>A set of Unicode scalar values (code points without surrogates) as sorted ranges that neither overlap nor touch. Immutable.</summary>
internal sealed class CodePoints
{
    private const int Last = 0x10FFFF;

    private readonly (int First, int Last)[] _ranges;

    private CodePoints((int First, int Last)[] ranges) => _ranges = ranges;

    /// <summary>Every scalar value.</summary>
    public static CodePoints All { get; } = Of((0, Last));

    /// <summary>Values that are one UTF-16 unit. Of those beyond some validators say that they are two characters.</summary>
    public static CodePoints Basic { get; } = Of((0, 0xFFFF));

    /// <summary>Values that are two UTF-16 units.</summary>
    public static CodePoints Wide { get; } = Of((0x10000, Last));

    /// <summary>No value.</summary>
    public static CodePoints None { get; } = new([]);

    /// <summary>The ranges in ascending order.</summary>
    public ReadOnlySpan<(int First, int Last)> Ranges => _ranges;

    /// <summary>Whether nothing is in it.</summary>
    public bool IsEmpty => _ranges.Length == 0;

    /// <summary>The values of inclusive ranges, in any order; surrogates among them are left out.</summary>
    public static CodePoints Of(params ReadOnlySpan<(int First, int Last)> ranges)
    {
        var pieces = new List<(int First, int Last)>(ranges.Length + 1);
        foreach ((int first, int last) in ranges)
        {
            Add(pieces, first, Math.Min(last, 0xD7FF));
            Add(pieces, Math.Max(first, 0xE000), last);
        }

        pieces.Sort();
        var merged = new List<(int First, int Last)>(pieces.Count);
        foreach ((int first, int last) in pieces)
        {
            if (merged.Count > 0 && first <= merged[^1].Last + 1)
                CollectionsMarshal.AsSpan(merged)[^1].Last = Math.Max(merged[^1].Last, last);
            else
                merged.Add((first, last));
        }

        return new CodePoints([.. merged]);
    }

    /// <summary>One value.</summary>
    public static CodePoints Single(int value) => Of((value, value));

    /// <summary>The characters of a text.</summary>
    public static CodePoints OfCharacters(string characters) => Of([.. characters.EnumerateRunes().Select(rune => (rune.Value, rune.Value))]);

    public bool Contains(int value)
    {
        int low = 0, high = _ranges.Length;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (value > _ranges[middle].Last)
                low = middle + 1;
            else
                high = middle;
        }

        return low < _ranges.Length && value >= _ranges[low].First;
    }

    public CodePoints Union(CodePoints other) => Of([.. _ranges, .. other._ranges]);

    public CodePoints Complement()
    {
        var gaps = new List<(int, int)>(_ranges.Length + 1);
        int next = 0;
        foreach ((int first, int last) in _ranges)
        {
            Add(gaps, next, first - 1);
            next = last + 1;
        }

        Add(gaps, next, Last);
        return Of(CollectionsMarshal.AsSpan(gaps));
    }

    public CodePoints Intersect(CodePoints other)
    {
        if (ReferenceEquals(this, All) || ReferenceEquals(other, All))
            return ReferenceEquals(this, All) ? other : this;
        var shared = new List<(int, int)>();
        for (int i = 0, j = 0; i < _ranges.Length && j < other._ranges.Length;)
        {
            Add(shared, Math.Max(_ranges[i].First, other._ranges[j].First), Math.Min(_ranges[i].Last, other._ranges[j].Last));
            if (_ranges[i].Last < other._ranges[j].Last)
                i++;
            else
                j++;
        }

        return new CodePoints([.. shared]);
    }

    public CodePoints Except(CodePoints other) => Intersect(other.Complement());

    private static void Add(List<(int First, int Last)> ranges, int first, int last)
    {
        if (first <= last)
            ranges.Add((first, last));
    }
}
