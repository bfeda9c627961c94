using System.Buffers;
using System.Text;

namespace Conclave.Model.Tokenization;

/// <summary>
/// Turns a stream of token ids into text. A character whose bytes are spread over several tokens comes out whole, once
/// its last byte is there; all outputs together equal <see cref="Tokenizer.Decode"/> of all ids. Not thread-safe.
/// </summary>
/// <param name="tokenizer">The vocabulary.</param>
/// <param name="skipSpecial">Leave out tokens flagged special.</param>
public sealed class Detokenizer(Tokenizer tokenizer, bool skipSpecial = false)
{
    // The beginning of a character whose rest may come with the next token: at most 3 bytes.
    private readonly byte[] _pending = new byte[3];
    private int _pendingLength;

    /// <summary>Adds a token; returns the text that became complete, possibly empty. An id without a token has no text: a model may choose padding rows.</summary>
    public string Push(int id)
    {
        if (!tokenizer.HasToken(id))
        {
            return "";
        }

        var bytes = tokenizer.TokenBytes(id);
        if (bytes.IsEmpty || (skipSpecial && tokenizer.IsSpecial(id)))
        {
            return "";
        }

        if (_pendingLength == 0)
        {
            return Take(bytes);
        }

        var length = _pendingLength + bytes.Length;
        byte[]? rented = null;
        Span<byte> joined = length <= 256 ? stackalloc byte[256] : rented = ArrayPool<byte>.Shared.Rent(length);
        _pending.AsSpan(0, _pendingLength).CopyTo(joined);
        bytes.CopyTo(joined[_pendingLength..]);
        var text = Take(joined[..length]);
        if (rented is not null)
        {
            ArrayPool<byte>.Shared.Return(rented);
        }

        return text;
    }

    /// <summary>Ends the stream: a cut character comes out as U+FFFD. The instance can be used again.</summary>
    public string Flush()
    {
        var text = Encoding.UTF8.GetString(_pending, 0, _pendingLength);
        _pendingLength = 0;
        return text;
    }

    private string Take(ReadOnlySpan<byte> bytes)
    {
        var complete = bytes.Length - IncompleteLength(bytes);
        var rest = bytes[complete..];
        rest.CopyTo(_pending);
        _pendingLength = rest.Length;
        return Encoding.UTF8.GetString(bytes[..complete]);
    }

    /// <summary>Length of the unfinished character at the end. A lead byte always starts a new one, so only the last matters.</summary>
    private static int IncompleteLength(ReadOnlySpan<byte> bytes)
    {
        for (var length = 1; length <= Math.Min(3, bytes.Length); length++)
        {
            var tail = bytes[^length..];
            if ((tail[0] & 0xC0) != 0x80)
            {
                return Rune.DecodeFromUtf8(tail, out _, out _) == OperationStatus.NeedMoreData ? length : 0;
            }
        }

        return 0;
    }
}
