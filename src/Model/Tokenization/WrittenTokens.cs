using System.Buffers.Binary;
using System.Text;

namespace Conclave.Model.Tokenization;

/// <summary>Tokens as the file writes them (UTF-8), each with its id; no token and no id twice.</summary>
internal sealed class WrittenTokens
{
    // Far above any real vocabulary: an absurd id is a damaged file, not a reason to allocate gigabytes.
    private const int MaxId = 8_000_000;

    private readonly List<(int Start, int Length, int Id)> _entries = [];
    private readonly HashSet<int> _ids = [];
    private byte[] _written = new byte[1 << 16];
    // An open hash table, at most half full: hash in the upper half, entry + 1 in the lower, 0 for empty.
    private ulong[] _slots = new ulong[1 << 12];

    public int Count => _entries.Count;

    public int HighestId { get; private set; } = -1;

    public int SizeBytes { get; private set; }

    public ReadOnlySpan<byte> Token(int entry) => _written.AsSpan(_entries[entry].Start, _entries[entry].Length);

    public int Id(int entry) => _entries[entry].Id;

    /// <summary>The id of a token, or -1.</summary>
    public int Find(ReadOnlySpan<byte> token)
    {
        var slot = _slots[Slot(token, Hash(token))];
        return slot == 0 ? -1 : Id(Entry(slot));
    }

    /// <summary>Adds a token; returns what is wrong with it, or null.</summary>
    public string? Add(ReadOnlySpan<byte> token, int id)
    {
        var hash = Hash(token);
        var slot = Slot(token, hash);
        if (id is < 0 or > MaxId)
        {
            return $"id {id} is outside 0 to {MaxId}";
        }

        if (_slots[slot] != 0)
        {
            return $"is listed twice, with ids {Id(Entry(_slots[slot]))} and {id}";
        }

        if (!_ids.Add(id))
        {
            var other = _entries.FindIndex(entry => entry.Id == id);
            return $"has the id of '{Encoding.UTF8.GetString(Token(other))}', {id}";
        }

        if (_written.Length < SizeBytes + token.Length)
        {
            Array.Resize(ref _written, (SizeBytes + token.Length) * 2);
        }

        token.CopyTo(_written.AsSpan(SizeBytes));
        _entries.Add((SizeBytes, token.Length, id));
        _slots[slot] = ((ulong)hash << 32) | (uint)_entries.Count;
        SizeBytes += token.Length;
        HighestId = Math.Max(HighestId, id);
        if (_entries.Count * 2 > _slots.Length)
        {
            Grow();
        }

        return null;
    }

    /// <summary>A hash for tables whose content is trusted, or may collide without harm.</summary>
    public static uint Hash(ReadOnlySpan<byte> bytes)
    {
        const ulong Multiplier = 0x9E3779B97F4A7C15;
        var hash = (ulong)bytes.Length * Multiplier;
        for (; bytes.Length > 8; bytes = bytes[8..])
        {
            hash = (hash ^ BinaryPrimitives.ReadUInt64LittleEndian(bytes)) * Multiplier;
            hash ^= hash >> 32;
        }

        // The last 1 to 8 bytes, by two reads that may overlap.
        var tail = bytes.Length switch
        {
            >= 4 => ((ulong)BinaryPrimitives.ReadUInt32LittleEndian(bytes) << 32) | BinaryPrimitives.ReadUInt32LittleEndian(bytes[^4..]),
            > 0 => ((ulong)bytes[0] << 16) | ((ulong)bytes[bytes.Length >> 1] << 8) | bytes[^1],
            _ => 0UL,
        };
        hash = (hash ^ tail) * Multiplier;
        hash ^= hash >> 29;
        return (uint)((hash * Multiplier) >> 32);
    }

    private static int Entry(ulong slot) => (int)(uint)slot - 1;

    /// <summary>The slot that holds the token, or the empty one where it would go.</summary>
    private int Slot(ReadOnlySpan<byte> token, uint hash)
    {
        var mask = _slots.Length - 1;
        for (var slot = (int)hash & mask; ; slot = (slot + 1) & mask)
        {
            var found = _slots[slot];
            if (found == 0 || (found >> 32 == hash && Token(Entry(found)).SequenceEqual(token)))
            {
                return slot;
            }
        }
    }

    private void Grow()
    {
        var old = _slots;
        _slots = new ulong[old.Length * 2];
        var mask = _slots.Length - 1;
        foreach (var found in old.Where(slot => slot != 0))
        {
            var slot = (int)(found >> 32) & mask;
            while (_slots[slot] != 0)
            {
                slot = (slot + 1) & mask;
            }

            _slots[slot] = found;
        }
    }
}
