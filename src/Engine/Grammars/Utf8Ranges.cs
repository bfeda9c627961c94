namespace Conclave.Engine.Grammars;

/// <summary>Ranges of scalar values as sequences of byte ranges of their UTF-8 encodings (Thompson's construction, as in RE2 and Rust's utf8-ranges).</summary>
internal static class Utf8Ranges
{
    /// <summary>One range of bytes per position of the encoding; 1 to 4 positions.</summary>
    public static IEnumerable<(byte First, byte Last)[]> Split(CodePoints set)
    {
        foreach ((int first, int last) in set.Ranges.ToArray())
        {
            foreach ((byte, byte)[] sequence in Split(first, last))
                yield return sequence;
        }
    }

    private static IEnumerable<(byte First, byte Last)[]> Split(int first, int last)
    {
        // Cut where the length of the encoding changes, then where one position is not free while a later one varies.
        foreach (int end in (int[])[0x7F, 0x7FF, 0xFFFF])
        {
            if (first <= end && last > end)
                return Split(first, end).Concat(Split(end + 1, last));
        }

        if (last <= 0x7F)
            return [[((byte)first, (byte)last)]];
        for (int shift = 6; shift < 24; shift += 6)
        {
            int low = (1 << shift) - 1;
            if ((first & ~low) == (last & ~low))
                continue;
            if ((first & low) != 0)
                return Split(first, first | low).Concat(Split((first | low) + 1, last));
            if ((last & low) != low)
                return Split(first, (last & ~low) - 1).Concat(Split(last & ~low, last));
        }

        byte[] from = Encode(first);
        byte[] to = Encode(last);
        return [[.. from.Zip(to)]];
    }

    private static byte[] Encode(int value) => value switch
    {
        <= 0x7F => [(byte)value],
        <= 0x7FF => [(byte)(0xC0 | (value >> 6)), Tail(value)],
        <= 0xFFFF => [(byte)(0xE0 | (value >> 12)), Tail(value >> 6), Tail(value)],
        _ => [(byte)(0xF0 | (value >> 18)), Tail(value >> 12), Tail(value >> 6), Tail(value)],
    };

    private static byte Tail(int value) => (byte)(0x80 | (value & 0x3F));
}
