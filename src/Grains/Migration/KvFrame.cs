using System.Numerics;
using System.Runtime.InteropServices;

namespace Conclave.Grains.Migration;

/// <summary>
/// How KV pages travel from rank to rank: an offer (the tokens, and how much room the sequence needs), then each page, then a commit; or an abort. Every one is
/// a request of its own kind that the target acknowledges or refuses. The payload begins with a <see cref="KvHead"/>; little-endian.
/// </summary>
internal static unsafe class KvFrame
{
    /// <summary>Head, then the token ids as int32: reserve pages.</summary>
    public const ushort Offer = 2;

    /// <summary>Head, then one page.</summary>
    public const ushort Page = 3;

    /// <summary>Head only: all pages have been sent.</summary>
    public const ushort Commit = 4;

    /// <summary>Head only: forget it.</summary>
    public const ushort Abort = 5;

    /// <summary>Room for the head; what follows is 64-byte aligned.</summary>
    public const int HeadSizeBytes = 64;

    /// <summary>All kinds.</summary>
    public static ReadOnlySpan<ushort> Kinds => [Offer, Page, Commit, Abort];

    /// <summary>CRC-32C (Castagnoli) of <paramref name="sizeBytes"/> bytes.</summary>
    public static uint Checksum(byte* data, long sizeBytes)
    {
        uint crc = uint.MaxValue;
        long i = 0;
        for (; i + sizeof(ulong) <= sizeBytes; i += sizeof(ulong)) crc = BitOperations.Crc32C(crc, *(ulong*)(data + i));
        for (; i < sizeBytes; i++) crc = BitOperations.Crc32C(crc, data[i]);
        return ~crc;
    }
}

/// <summary>What stands in front of every payload.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct KvHead
{
    /// <summary>The sequence.</summary>
    public Guid Id;

    /// <summary>Of the bytes behind the head.</summary>
    public uint Checksum;

    /// <summary>Offer: number of token ids. Page: its index. Commit: number of pages.</summary>
    public int Count;

    /// <summary>Offer: pages to the sequence's longest end.</summary>
    public int PagesNeeded;

    /// <summary>Offer: bytes of a page; both ends must mean the same model.</summary>
    public long PageSizeBytes;

    /// <summary>Offer: tokens of a page.</summary>
    public int PageTokens;

    /// <summary>Offer: the <see cref="Model.KvType"/> of the values.</summary>
    public int KvType;
}
