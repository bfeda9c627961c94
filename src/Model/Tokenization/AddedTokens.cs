using System.Buffers;
using System.Globalization;
using System.Text;

namespace Conclave.Model.Tokenization;

/// <summary>An entry of <c>added_tokens</c>.</summary>
/// <param name="Id">Token id.</param>
/// <param name="Content">The text that it matches.</param>
/// <param name="Special">Left out when special tokens are skipped.</param>
/// <param name="Normalized">Matched in the second round, after the tokens that are not.</param>
/// <param name="SingleWord">Matches only between characters that are not part of a word.</param>
/// <param name="StripLeft">Swallows white space before it.</param>
/// <param name="StripRight">Swallows white space after it.</param>
internal sealed record AddedToken(
    int Id, string Content, bool Special, bool Normalized, bool SingleWord, bool StripLeft, bool StripRight);

/// <summary>A part of a text in UTF-8: an added token, or (<paramref name="Id"/> negative) text still to be encoded.</summary>
internal readonly record struct TextPart(int Start, int End, int Id);

/// <summary>
/// Finds added tokens in text, leftmost first and longest at each place. One instance holds one round of the
/// reference: tokens that skip normalization are cut out of the whole text before the others are looked for.
/// </summary>
internal sealed class AddedTokenMatcher
{
    // A trie over the tokens' bytes; key: node * 256 + byte.
    private readonly Dictionary<int, int> _edges = [];
    private readonly List<AddedToken?> _tokenOfNode = [null];
    private readonly SearchValues<byte> _firstBytes;

    public AddedTokenMatcher(IEnumerable<AddedToken> tokens)
    {
        foreach (var token in tokens.Where(token => token.Content.Length > 0))
        {
            var node = 0;
            foreach (var value in Encoding.UTF8.GetBytes(token.Content))
            {
                var edge = (node << 8) | value;
                if (!_edges.TryGetValue(edge, out node))
                {
                    _edges[edge] = node = _tokenOfNode.Count;
                    _tokenOfNode.Add(null);
                }
            }

            _tokenOfNode[node] = token;
        }

        _firstBytes = SearchValues.Create([.. _edges.Keys.Where(edge => edge < 256).Select(edge => (byte)edge)]);
    }

    /// <summary>Cuts a stretch of text at its tokens and appends the parts in order.</summary>
    public void Cut(ReadOnlySpan<byte> text, TextPart part, List<TextPart> parts)
    {
        var section = text[part.Start..part.End];
        var done = 0;
        for (var at = 0; at < section.Length;)
        {
            var skipped = section[at..].IndexOfAny(_firstBytes);
            if (skipped < 0)
            {
                break;
            }

            at += skipped;
            if (Longest(section[at..], out var end) is not { } token)
            {
                at++;
                continue;
            }

            var start = at;
            at = end += start;
            if (token.SingleWord && (EndsWithWord(section[..start]) || StartsWithWord(section[end..])))
            {
                continue;
            }

            if (token.StripLeft)
            {
                start = Math.Max(done, TrimEnd(section[..start]));
            }

            if (token.StripRight)
            {
                end = section.Length - TrimStart(section[end..]).Length;
            }

            if (done < start)
            {
                parts.Add(part with { Start = part.Start + done, End = part.Start + start });
            }

            parts.Add(new TextPart(part.Start + start, part.Start + end, token.Id));
            done = end;
        }

        if (done < section.Length)
        {
            parts.Add(part with { Start = part.Start + done });
        }
    }

    private AddedToken? Longest(ReadOnlySpan<byte> text, out int length)
    {
        AddedToken? found = null;
        length = 0;
        var node = 0;
        for (var i = 0; i < text.Length && _edges.TryGetValue((node << 8) | text[i], out node); i++)
        {
            if (_tokenOfNode[node] is { } token)
            {
                (found, length) = (token, i + 1);
            }
        }

        return found;
    }

    private static int TrimEnd(ReadOnlySpan<byte> text)
    {
        while (!text.IsEmpty)
        {
            Rune.DecodeLastFromUtf8(text, out var rune, out var length);
            if (!Rune.IsWhiteSpace(rune))
            {
                break;
            }

            text = text[..^length];
        }

        return text.Length;
    }

    private static ReadOnlySpan<byte> TrimStart(ReadOnlySpan<byte> text)
    {
        while (!text.IsEmpty)
        {
            Rune.DecodeFromUtf8(text, out var rune, out var length);
            if (!Rune.IsWhiteSpace(rune))
            {
                break;
            }

            text = text[length..];
        }

        return text;
    }

    private static bool StartsWithWord(ReadOnlySpan<byte> text)
        => !text.IsEmpty && Rune.DecodeFromUtf8(text, out var rune, out _) == OperationStatus.Done && IsWord(rune);

    private static bool EndsWithWord(ReadOnlySpan<byte> text)
        => !text.IsEmpty && Rune.DecodeLastFromUtf8(text, out var rune, out _) == OperationStatus.Done && IsWord(rune);

    /// <summary>\w of the reference's matcher (Rust): unlike that of patterns it has the two joiners and no fractions.</summary>
    private static bool IsWord(Rune rune) => rune.Value is 0x200C or 0x200D
        || (UnicodeClasses.Word.Contains(rune.Value) && Rune.GetUnicodeCategory(rune) != UnicodeCategory.OtherNumber);
}
