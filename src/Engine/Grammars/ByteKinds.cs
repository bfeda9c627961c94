namespace Conclave.Engine.Grammars;

/// <summary>
/// Kinds of bytes that grammars seldom tell apart: letters of one case, digits, bytes in the middle of a UTF-8 character, and so on. Tokens whose bytes are
/// of the same kinds one by one form a group (<see cref="TokenGroups"/>), which a mask then takes or leaves as a whole. A kind is a set of bytes; the state tells how
/// far a character has been written, since only the lead byte says which of the bytes behind it differ.
/// </summary>
internal static class ByteKinds
{
    /// <summary>Between two characters: the state before a token.</summary>
    public const byte Start = 0;

    private const byte OneMore = 1, TwoMore = 2, ThreeMore = 3, BehindE0 = 4, BehindED = 5, BehindEF = 6, BehindEFBD = 7, BehindF0 = 8, BehindF4 = 9, BehindE2 = 10, BehindE280 = 11, StateCount = 12;

    private static readonly List<byte[]> Sets = [];
    private static readonly (byte Kind, byte State)[] Steps = new (byte, byte)[StateCount * 256];

    static ByteKinds()
    {
        for (byte state = 0; state < StateCount; state++)
            FillFirst(state);
        Fill(OneMore, Start, (0x80, 0xBF));
        Fill(TwoMore, OneMore, (0x80, 0xBF));
        Fill(ThreeMore, TwoMore, (0x80, 0xBF));
        Fill(BehindE0, OneMore, (0xA0, 0xBF));
        Fill(BehindED, OneMore, (0x80, 0x9F));

        // U+2028 and U+2029 end lines, for expressions.
        Fill(BehindE2, BehindE280, (0x80, 0x80));
        Fill(BehindE2, OneMore, (0x81, 0xBF));
        Fill(BehindE280, Start, (0xA8, 0xA9));
        Fill(BehindE280, Start, (0x80, 0xA7), (0xAA, 0xBF));

        // U+FF5C, EF BD 9C, is what the markers of chat formats are made of.
        Fill(BehindEF, OneMore, (0x80, 0xBC), (0xBE, 0xBF));
        Fill(BehindEF, BehindEFBD, (0xBD, 0xBD));
        Fill(BehindEFBD, Start, (0x80, 0x9B), (0x9D, 0xBF));
        Fill(BehindEFBD, Start, (0x9C, 0x9C));
        Fill(BehindF0, TwoMore, (0x90, 0xBF));
        Fill(BehindF4, TwoMore, (0x80, 0x8F));
    }

    /// <summary>Number of kinds.</summary>
    public static int Count => Sets.Count;

    /// <summary>The bytes of a kind.</summary>
    public static ReadOnlySpan<byte> Members(int kind) => Sets[kind];

    /// <summary>The kind of <paramref name="value"/> in <paramref name="state"/>, and the state behind it.</summary>
    public static (byte Kind, byte State) Step(byte state, byte value) => Steps[(state * 256) + value];

    /// <summary>Bytes that begin a character, whatever came before, and those of the middle of a character whose beginning is in an earlier token.</summary>
    private static void FillFirst(byte state)
    {
        Fill(state, Start, (0x00, 0x08), (0x0B, 0x0C), (0x0E, 0x1F));
        foreach (byte value in "\t\n\r \"\\<_0"u8)
            Fill(state, Start, (value, value));
        Fill(state, Start, ('1', '9'));
        Fill(state, Start, ('a', 'z'));
        Fill(state, Start, ('A', 'Z'));
        Fill(state, Start, ('!', '!'), ('#', '/'), (':', ';'), ('=', '@'), ('[', '['), (']', '^'), ('`', '`'), ('{', '\x7F'));
        foreach ((int, int) range in ((int, int)[])[(0x80, 0x8F), (0x90, 0x9B), (0x9C, 0x9C), (0x9D, 0x9F), (0xA0, 0xBC), (0xBD, 0xBD), (0xBE, 0xBF)])
            Fill(state, Start, range);
        Fill(state, Start, (0xC0, 0xC1), (0xF5, 0xFF));
        Fill(state, OneMore, (0xC2, 0xDF));
        Fill(state, BehindE0, (0xE0, 0xE0));
        Fill(state, TwoMore, (0xE1, 0xE1), (0xE3, 0xEC), (0xEE, 0xEE));
        Fill(state, BehindE2, (0xE2, 0xE2));
        Fill(state, BehindED, (0xED, 0xED));
        Fill(state, BehindEF, (0xEF, 0xEF));
        Fill(state, BehindF0, (0xF0, 0xF0));
        Fill(state, ThreeMore, (0xF1, 0xF3));
        Fill(state, BehindF4, (0xF4, 0xF4));
    }

    private static void Fill(byte state, byte next, params ReadOnlySpan<(int First, int Last)> ranges)
    {
        var members = new List<byte>();
        foreach ((int first, int last) in ranges)
        {
            for (int value = first; value <= last; value++)
                members.Add((byte)value);
        }

        int kind = Sets.FindIndex(known => known.AsSpan().SequenceEqual([.. members]));
        if (kind < 0)
        {
            kind = Sets.Count;
            Sets.Add([.. members]);
        }

        foreach (byte value in members)
            Steps[(state * 256) + value] = ((byte)kind, next);
    }
}
