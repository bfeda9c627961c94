using System.Text;

namespace Conclave.Model.Tokenization;

/// <summary>
/// The alphabet of byte-level BPE (GPT-2, <c>bytes_to_unicode</c>): each byte is written as one printable character,
/// printable Latin-1 as itself, the others as U+0100 and up in ascending order (a space is "Ġ").
/// </summary>
internal static class ByteLevel
{
    private static readonly char[] CharOfByte = BuildCharOfByte();
    private static readonly short[] ByteOfChar = BuildByteOfChar();

    /// <summary>The character that stands for a byte.</summary>
    public static char Character(byte value) => CharOfByte[value];

    /// <summary>The written form of raw bytes.</summary>
    public static string Write(ReadOnlySpan<byte> bytes)
    {
        var text = new StringBuilder(bytes.Length);
        foreach (var value in bytes)
        {
            text.Append(CharOfByte[value]);
        }

        return text.ToString();
    }

    /// <summary>
    /// The bytes of a written token (UTF-8). As in the Hugging Face decoder, a token with any character outside the alphabet
    /// (an added token such as <c>&lt;｜User｜&gt;</c>) stands for its own UTF-8 bytes. Returns the length written.
    /// </summary>
    public static int Read(ReadOnlySpan<byte> written, Span<byte> bytes)
    {
        var length = 0;
        for (var rest = written; !rest.IsEmpty;)
        {
            Rune.DecodeFromUtf8(rest, out var rune, out var consumed);
            var value = rune.Value < ByteOfChar.Length ? ByteOfChar[rune.Value] : -1;
            if (value < 0)
            {
                written.CopyTo(bytes);
                return written.Length;
            }

            bytes[length++] = (byte)value;
            rest = rest[consumed..];
        }

        return length;
    }

    private static char[] BuildCharOfByte()
    {
        var chars = new char[256];
        var next = 256;
        for (var value = 0; value < 256; value++)
        {
            var printable = value is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or >= 0xAE;
            chars[value] = (char)(printable ? value : next++);
        }

        return chars;
    }

    private static short[] BuildByteOfChar()
    {
        var bytes = new short[CharOfByte.Max() + 1];
        Array.Fill(bytes, (short)-1);
        for (var value = 0; value < 256; value++)
        {
            bytes[CharOfByte[value]] = (short)value;
        }

        return bytes;
    }
}
