using System.Buffers;
using System.Text;

namespace Conclave.Model.Tokenization;

/// <summary>
/// A step of a compiled pattern. Each node tries itself and then the rest of the pattern, so a match of the first node is
/// a match of all: a backtracking matcher whose order of trials is that of Perl-like engines. Text is valid UTF-8.
/// </summary>
internal abstract class PatternNode
{
    /// <summary>The end of the first match that starts at <paramref name="at"/>, or -1.</summary>
    public abstract int Match(ReadOnlySpan<byte> text, int at);

    /// <summary>Code points that a match can begin with; null when it may also succeed without reading any.</summary>
    public abstract CodePointSet? First { get; }

    /// <summary>The end of the pattern.</summary>
    public sealed class Accept : PatternNode
    {
        public override CodePointSet? First => null;

        public override int Match(ReadOnlySpan<byte> text, int at) => at;
    }
}

/// <summary>A character class repeated at least <c>least</c> and at most <c>most</c> times, greedy.</summary>
internal sealed class ClassNode : PatternNode
{
    private readonly CodePointSet _set;
    private readonly int _least;
    private readonly int _most;
    private readonly bool _givesBack;
    private readonly PatternNode _next;

    public ClassNode(CodePointSet set, int least, int most, bool possessive, PatternNode next)
    {
        (_set, _least, _most, _next) = (set, least, most, next);
        First = least > 0 ? set : next.First?.Union(set);
        // If nothing in the class can begin the rest, giving characters back is futile.
        _givesBack = !possessive && (next.First is not { } after || !after.Intersect(set).IsEmpty);
    }

    public override CodePointSet? First { get; }

    public override int Match(ReadOnlySpan<byte> text, int at)
    {
        var end = at;
        var count = 0;
        for (; count < _most && end < text.Length; count++)
        {
            int value = text[end];
            var length = 1;
            if (value >= 0x80)
            {
                Rune.DecodeFromUtf8(text[end..], out var rune, out length);
                value = rune.Value;
            }

            if (!_set.Contains(value))
            {
                break;
            }

            end += length;
        }

        for (; count >= _least; count--)
        {
            var matched = _next.Match(text, end);
            if (matched >= 0 || !_givesBack || count == _least)
            {
                return matched;
            }

            do
            {
                end--;
            }
            while ((text[end] & 0xC0) == 0x80);
        }

        return -1;
    }
}

/// <summary>Alternatives, tried in order.</summary>
internal sealed class ChoiceNode : PatternNode
{
    // The alternatives worth trying, by the byte that follows; the last row is for the end of the text.
    private readonly PatternNode[][] _byFirstByte = new PatternNode[257][];

    public ChoiceNode(IReadOnlyList<PatternNode> alternatives)
    {
        First = alternatives.Any(alternative => alternative.First is null) ? null
            : alternatives.Aggregate(CodePointSet.None, (all, alternative) => all.Union(alternative.First!));
        var firstBytes = alternatives.Select(alternative => alternative.First?.FirstBytes().ToHashSet()).ToArray();
        for (var value = 0; value < _byFirstByte.Length; value++)
        {
            _byFirstByte[value] = [.. alternatives.Where((_, i) => firstBytes[i]?.Contains((byte)value) != false
                && (value < 256 || firstBytes[i] is null))];
        }
    }

    public override CodePointSet? First { get; }

    public override int Match(ReadOnlySpan<byte> text, int at)
    {
        foreach (var alternative in _byFirstByte[at < text.Length ? text[at] : 256])
        {
            var matched = alternative.Match(text, at);
            if (matched >= 0)
            {
                return matched;
            }
        }

        return -1;
    }
}

/// <summary>A condition on what follows, which reads nothing.</summary>
internal sealed class LookaheadNode(PatternNode condition, bool negative, PatternNode next) : PatternNode
{
    public override CodePointSet? First => next.First;

    public override int Match(ReadOnlySpan<byte> text, int at)
        => condition.Match(text, at) >= 0 == negative ? -1 : next.Match(text, at);
}

/// <summary>A compiled pattern.</summary>
internal sealed class Pattern(PatternNode root)
{
    private readonly SearchValues<byte>? _firstBytes = root.First is { } first ? SearchValues.Create(first.FirstBytes()) : null;

    /// <summary>Finds the leftmost match that starts at <paramref name="from"/> or later.</summary>
    public bool Find(ReadOnlySpan<byte> text, int from, out int start, out int end)
    {
        for (start = from; start <= text.Length; start++)
        {
            if (_firstBytes is not null)
            {
                var skipped = text[start..].IndexOfAny(_firstBytes);
                if (skipped < 0)
                {
                    break;
                }

                start += skipped;
            }

            // Only where a character begins.
            if (start == text.Length || (text[start] & 0xC0) != 0x80)
            {
                end = root.Match(text, start);
                if (end >= 0)
                {
                    return true;
                }
            }
        }

        end = -1;
        return false;
    }
}
