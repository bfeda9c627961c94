using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Conclave.Engine.Pages;

/// <summary>What reading a page file came to.</summary>
internal enum PageFileState
{
    /// <summary>Every byte is as it was written.</summary>
    Good,

    /// <summary>There is no such file.</summary>
    Missing,

    /// <summary>It cannot be read, is cut, or a checksum does not match.</summary>
    Damaged,

    /// <summary>It is well, but of another model, layout or build.</summary>
    Foreign,
}

/// <summary>
/// One KV page in one file, little-endian: magic (8 bytes), key of the model's identity, of the page before, of this page (32 bytes each), page bytes (8), tokens a page (4); the tokens (4 each);
/// CRC-32C of each 64 KiB of the page; CRC-32C of all that; zeros up to a multiple of 4096; the page. CRC-32C because processors have it and the framework offers it: damage is what it finds, deceit is not its task.
/// One buffer for headers: for one thread at a time.
/// </summary>
internal sealed unsafe class PageFile
{
    private const ulong Magic = 0x31_50_56_4B_56_4E_4F_43; // "CONVKVP1"
    private const int BlockSizeBytes = 64 << 10;
    private const int Alignment = 4096;
    private const int IdentityAt = 8;
    private const int ParentAt = IdentityAt + PageKey.SizeBytes;
    private const int KeyAt = ParentAt + PageKey.SizeBytes;
    private const int PageSizeAt = KeyAt + PageKey.SizeBytes;
    private const int TokenCountAt = PageSizeAt + sizeof(long);
    private const int TokensAt = TokenCountAt + sizeof(int);

    private readonly PageKey _identity;
    private readonly int _pageTokens;
    private readonly long _pageSizeBytes;
    private readonly int _checksumsAt;
    private readonly int _headerChecksumAt;
    private readonly byte[] _header;

    /// <param name="identity">Names the model, its layout and its build.</param>
    /// <param name="pageTokens">Tokens a page.</param>
    /// <param name="pageSizeBytes">Bytes a page.</param>
    public PageFile(PageKey identity, int pageTokens, long pageSizeBytes)
    {
        (_identity, _pageTokens, _pageSizeBytes) = (identity, pageTokens, pageSizeBytes);
        _checksumsAt = TokensAt + (pageTokens * sizeof(int));
        _headerChecksumAt = checked((int)(_checksumsAt + ((pageSizeBytes + BlockSizeBytes - 1) / BlockSizeBytes * sizeof(uint))));
        _header = new byte[(_headerChecksumAt + sizeof(uint) + Alignment - 1) / Alignment * Alignment];
    }

    /// <summary>Bytes of every file.</summary>
    public long SizeBytes => _header.Length + _pageSizeBytes;

    /// <summary>Writes <paramref name="page"/> to <paramref name="temporaryPath"/>, then gives that the name <paramref name="path"/>: whoever finds a file of that name finds all of it.</summary>
    /// <exception cref="IOException">The disk is full or broken.</exception>
    /// <exception cref="UnauthorizedAccessException">The directory cannot be written.</exception>
    public void Write(string path, string temporaryPath, PageKey parent, PageKey key, ReadOnlySpan<int> tokens, byte* page)
    {
        Array.Clear(_header);
        BinaryPrimitives.WriteUInt64LittleEndian(_header, Magic);
        MemoryMarshal.Write(_header.AsSpan(IdentityAt), in _identity);
        MemoryMarshal.Write(_header.AsSpan(ParentAt), in parent);
        MemoryMarshal.Write(_header.AsSpan(KeyAt), in key);
        BinaryPrimitives.WriteInt64LittleEndian(_header.AsSpan(PageSizeAt), _pageSizeBytes);
        BinaryPrimitives.WriteInt32LittleEndian(_header.AsSpan(TokenCountAt), _pageTokens);
        MemoryMarshal.AsBytes(tokens).CopyTo(_header.AsSpan(TokensAt, _pageTokens * sizeof(int)));
        for (long block = 0; block * BlockSizeBytes < _pageSizeBytes; block++)
            BinaryPrimitives.WriteUInt32LittleEndian(ChecksumOf(block), Checksum(Block(page, block)));
        BinaryPrimitives.WriteUInt32LittleEndian(_header.AsSpan(_headerChecksumAt), Checksum(_header.AsSpan(0, _headerChecksumAt)));

        using (SafeFileHandle file = File.OpenHandle(temporaryPath, FileMode.Create, FileAccess.Write, FileShare.None, FileOptions.None, SizeBytes))
        {
            RandomAccess.Write(file, _header, 0);
            for (long block = 0; block * BlockSizeBytes < _pageSizeBytes; block++)
                RandomAccess.Write(file, Block(page, block), _header.Length + (block * BlockSizeBytes));
        }

        File.Move(temporaryPath, path, overwrite: true);
    }

    /// <summary>Reads the page of <paramref name="key"/> and <paramref name="tokens"/> into <paramref name="page"/>, whose content is worth nothing unless the result is good.</summary>
    public PageFileState Read(string path, PageKey key, ReadOnlySpan<int> tokens, byte* page)
    {
        try
        {
            using SafeFileHandle file = File.OpenHandle(path);
            PageFileState state = ReadHeader(file, out PageKey found);
            if (state != PageFileState.Good)
                return state;
            if (found != key || !MemoryMarshal.AsBytes(tokens).SequenceEqual(_header.AsSpan(TokensAt, _pageTokens * sizeof(int))))
                return PageFileState.Foreign;
            for (long block = 0; block * BlockSizeBytes < _pageSizeBytes; block++)
            {
                Span<byte> bytes = Block(page, block);
                if (!ReadAll(file, bytes, _header.Length + (block * BlockSizeBytes)) || Checksum(bytes) != BinaryPrimitives.ReadUInt32LittleEndian(ChecksumOf(block)))
                    return PageFileState.Damaged;
            }

            return PageFileState.Good;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return PageFileState.Missing;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return PageFileState.Damaged;
        }
    }

    /// <summary>Reads the header alone: which page a file holds.</summary>
    public PageFileState ReadHeader(string path, out PageKey key)
    {
        key = default;
        try
        {
            using SafeFileHandle file = File.OpenHandle(path);
            return ReadHeader(file, out key);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return PageFileState.Damaged;
        }
    }

    private PageFileState ReadHeader(SafeFileHandle file, out PageKey key)
    {
        key = default;
        if (!ReadAll(file, _header, 0) || BinaryPrimitives.ReadUInt64LittleEndian(_header) != Magic)
            return PageFileState.Damaged;

        // Before the checksum, whose place depends on the layout.
        if (MemoryMarshal.Read<PageKey>(_header.AsSpan(IdentityAt)) != _identity)
            return PageFileState.Foreign;
        if (Checksum(_header.AsSpan(0, _headerChecksumAt)) != BinaryPrimitives.ReadUInt32LittleEndian(_header.AsSpan(_headerChecksumAt)))
            return PageFileState.Damaged;
        if (BinaryPrimitives.ReadInt64LittleEndian(_header.AsSpan(PageSizeAt)) != _pageSizeBytes || BinaryPrimitives.ReadInt32LittleEndian(_header.AsSpan(TokenCountAt)) != _pageTokens)
            return PageFileState.Foreign;
        if (RandomAccess.GetLength(file) != SizeBytes)
            return PageFileState.Damaged;
        key = MemoryMarshal.Read<PageKey>(_header.AsSpan(KeyAt));
        PageKey parent = MemoryMarshal.Read<PageKey>(_header.AsSpan(ParentAt));
        return parent.Next(MemoryMarshal.Cast<byte, int>(_header.AsSpan(TokensAt, _pageTokens * sizeof(int)))) == key ? PageFileState.Good : PageFileState.Damaged;
    }

    private static bool ReadAll(SafeFileHandle file, Span<byte> bytes, long offset)
    {
        while (!bytes.IsEmpty)
        {
            int count = RandomAccess.Read(file, bytes, offset);
            if (count == 0)
                return false;
            bytes = bytes[count..];
            offset += count;
        }

        return true;
    }

    private static uint Checksum(ReadOnlySpan<byte> bytes)
    {
        uint checksum = uint.MaxValue;
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(bytes);
        foreach (ulong word in words)
            checksum = BitOperations.Crc32C(checksum, word);
        foreach (byte rest in bytes[(words.Length * sizeof(ulong))..])
            checksum = BitOperations.Crc32C(checksum, rest);
        return ~checksum;
    }

    private Span<byte> ChecksumOf(long block) => _header.AsSpan(_checksumsAt + ((int)block * sizeof(uint)), sizeof(uint));

    private Span<byte> Block(byte* page, long block) => new(page + (block * BlockSizeBytes), (int)Math.Min(BlockSizeBytes, _pageSizeBytes - (block * BlockSizeBytes)));
}
