using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Conclave.Model.Tokenization;

/// <summary>
/// Tokens by id and by written form. Immutable once built. All strings lie in two byte arrays, so that 130,000 tokens are
/// four objects for the garbage collector.
/// </summary>
internal sealed class Vocabulary
{
    // Written forms in order of arrival; _index is an open hash table of entry + 1.
    private readonly byte[] _written;
    private readonly Entry[] _entries;
    private readonly int[] _index;
    // Decoded bytes of id: _bytes[_starts[id].._starts[id + 1]].
    private readonly byte[] _bytes;
    private readonly int[] _starts;
    private readonly bool[] _defined;

    private Vocabulary(byte[] written, Entry[] entries, int[] index, byte[] bytes, int[] starts, bool[] defined)
        => (_written, _entries, _index, _bytes, _starts, _defined) = (written, entries, index, bytes, starts, defined);

    /// <summary>One more than the highest id.</summary>
    public int Size => _defined.Length;

    public bool Contains(int id) => (uint)id < (uint)_defined.Length && _defined[id];

    /// <summary>The bytes that a token stands for.</summary>
    public ReadOnlySpan<byte> Bytes(int id)
    {
        if (!Contains(id))
        {
            ThrowUnknown(id);
        }

        return _bytes.AsSpan(_starts[id].._starts[id + 1]);
    }

    /// <summary>The id of a token by its written form in the file (UTF-8), or -1.</summary>
    public int Find(ReadOnlySpan<byte> written)
    {
        var mask = _index.Length - 1;
        for (var slot = (int)Hash(written) & mask; _index[slot] != 0; slot = (slot + 1) & mask)
        {
            var entry = _entries[_index[slot] - 1];
            if (_written.AsSpan(entry.Start, entry.Length).SequenceEqual(written))
            {
                return entry.Id;
            }
        }

        return -1;
    }

    public int Find(string written) => Find(Encoding.UTF8.GetBytes(written));

    public static uint Hash(ReadOnlySpan<byte> bytes)
    {
        const ulong Multiplier = 0x9E3779B97F4A7C15;
        var hash = (ulong)bytes.Length * Multiplier;
        for (; bytes.Length >= 8; bytes = bytes[8..])
        {
            hash = (hash ^ BinaryPrimitives.ReadUInt64LittleEndian(bytes)) * Multiplier;
            hash ^= hash >> 32;
        }

        var tail = 0UL;
        foreach (var value in bytes)
        {
            tail = (tail << 8) | value;
        }

        hash = (hash ^ tail) * Multiplier;
        return (uint)(hash >> 32);
    }

    [DoesNotReturn]
    private void ThrowUnknown(int id) => throw new ArgumentOutOfRangeException(
        nameof(id), id, $"Token id {id} is not in the tokenizer (ids run from 0 to {Size - 1}).");

    private readonly record struct Entry(int Start, int Length, int Id);

    /// <summary>Collects tokens, then freezes them.</summary>
    public sealed class Builder
    {
        // Far above any real vocabulary: an absurd id is a damaged file, not a reason to allocate gigabytes.
        private const int HighestId = 8_000_000;
        private readonly List<byte> _written = [];
        private readonly List<Entry> _entries = [];

        /// <summary>Adds a token; returns what is wrong with it, or null.</summary>
        public string? Add(ReadOnlySpan<byte> written, int id)
        {
            if (id is < 0 or > HighestId)
            {
                return $"id {id} is outside 0 to {HighestId}";
            }

            _entries.Add(new Entry(_written.Count, written.Length, id));
            CollectionExtensions.AddRange(_written, written);
            return null;
        }

        /// <summary>Freezes; a doubled token or id is reported through <paramref name="error"/>.</summary>
        public Vocabulary Build(Func<string, Exception> error)
        {
            var size = _entries.Count == 0 ? 0 : _entries.Max(entry => entry.Id) + 1;
            var (written, entries) = (_written.ToArray(), _entries.ToArray());
            var index = new int[(int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)(entries.Length * 2) + 16)];
            var owner = new int[size];
            for (var i = 0; i < entries.Length; i++)
            {
                var entry = entries[i];
                var token = written.AsSpan(entry.Start, entry.Length);
                if (owner[entry.Id] != 0)
                {
                    var other = entries[owner[entry.Id] - 1];
                    throw error($"id {entry.Id} belongs to two tokens, '{Encoding.UTF8.GetString(token)}' and "
                        + $"'{Encoding.UTF8.GetString(written.AsSpan(other.Start, other.Length))}'");
                }

                owner[entry.Id] = i + 1;
                var slot = (int)Hash(token) & (index.Length - 1);
                for (; index[slot] != 0; slot = (slot + 1) & (index.Length - 1))
                {
                    var other = entries[index[slot] - 1];
                    if (written.AsSpan(other.Start, other.Length).SequenceEqual(token))
                    {
                        throw error($"token '{Encoding.UTF8.GetString(token)}' has two ids, {other.Id} and {entry.Id}");
                    }
                }

                index[slot] = i + 1;
            }

            return Decoded(written, entries, index, owner);
        }

        private static Vocabulary Decoded(byte[] written, Entry[] entries, int[] index, int[] owner)
        {
            var bytes = new byte[written.Length];
            var starts = new int[owner.Length + 1];
            for (var id = 0; id < owner.Length; id++)
            {
                var entry = owner[id] == 0 ? default : entries[owner[id] - 1];
                starts[id + 1] = starts[id]
                    + ByteLevel.Read(written.AsSpan(entry.Start, entry.Length), bytes.AsSpan(starts[id]));
            }

            return new Vocabulary(written, entries, index, bytes[..starts[^1]], starts, [.. owner.Select(entry => entry != 0)]);
        }
    }
}
