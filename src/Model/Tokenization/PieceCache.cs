namespace Conclave.Model.Tokenization;

/// <summary>
/// Remembers the tokens of short pre-tokens. One entry a slot, replaced on collision: bounded (a few MB), and safe for many
/// threads without locks because entries never change and references are written whole.
/// </summary>
internal sealed class PieceCache
{
    /// <summary>Longer pre-tokens repeat too rarely to keep.</summary>
    public const int LongestPiece = 32;

    private const int SlotCount = 1 << 15;
    private readonly Entry?[] _slots = new Entry?[SlotCount];

    public int[]? Find(ReadOnlySpan<byte> piece, uint hash)
        => Volatile.Read(ref _slots[hash % SlotCount]) is { } entry
            && entry.Hash == hash && piece.SequenceEqual(entry.Piece) ? entry.Ids : null;

    public void Store(ReadOnlySpan<byte> piece, uint hash, int[] ids)
        => Volatile.Write(ref _slots[hash % SlotCount], new Entry(hash, piece.ToArray(), ids));

    private sealed class Entry(uint hash, byte[] piece, int[] ids)
    {
        public uint Hash => hash;

        public byte[] Piece => piece;

        public int[] Ids => ids;
    }
}
