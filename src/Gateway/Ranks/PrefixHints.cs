using System.Numerics;

namespace Conclave.Gateway.Ranks;

/// <summary>
/// Remembers which rank was lately given which prefixes, so that a prompt can go where its pages may still be. Only a hint: what a rank has kept it alone knows, and nothing depends
/// on it but time. Bounded: what was not met for long is forgotten.
/// </summary>
internal sealed class PrefixHints
{
    /// <summary>Tokens of a block: the smallest KV page that a rank may have.</summary>
    public const int BlockTokens = 64;

    private const ulong Multiplier = 0x9E3779B97F4A7C15;

    private readonly Lock _gate = new();
    private readonly int _capacity;
    private Dictionary<ulong, string> _recent = [];
    private Dictionary<ulong, string> _older = [];

    /// <summary>Makes an empty memory of up to twice <paramref name="capacity"/> blocks.</summary>
    public PrefixHints(int capacity = 1 << 16) => _capacity = capacity;

    /// <summary>Blocks remembered.</summary>
    public int Count
    {
        get
        {
            lock (_gate) return _recent.Count + _older.Count;
        }
    }

    /// <summary>
    /// One value for each whole block of <paramref name="tokens"/>, which stands for the tokens from the beginning to the end of that block within <paramref name="scope"/>. Others may
    /// by chance have the same value: that misleads nobody for more than one choice.
    /// </summary>
    public static ulong[] Blocks(string scope, ReadOnlySpan<int> tokens)
    {
        ulong state = 14695981039346656037;
        foreach (char character in scope) state = Mix(state, character);
        var blocks = new ulong[tokens.Length / BlockTokens];
        for (int block = 0; block < blocks.Length; block++)
        {
            foreach (int token in tokens.Slice(block * BlockTokens, BlockTokens)) state = Mix(state, (uint)token);
            blocks[block] = state;
        }

        return blocks;
    }

    /// <summary><paramref name="silo"/> has been given a sequence that begins with <paramref name="blocks"/>.</summary>
    public void Note(ReadOnlySpan<ulong> blocks, string silo)
    {
        lock (_gate)
        {
            foreach (ulong block in blocks)
            {
                if (_recent.Count >= _capacity && !_recent.ContainsKey(block)) (_older, _recent) = (_recent, []);
                _recent[block] = silo;
            }
        }
    }

    /// <summary>How many tokens of a prompt each silo may hold: those up to the last block that it was given; silos that hold none are missing.</summary>
    public Dictionary<string, int> CachedTokens(ReadOnlySpan<ulong> blocks)
    {
        var cached = new Dictionary<string, int>();
        lock (_gate)
        {
            for (int block = 0; block < blocks.Length; block++)
            {
                // A prefix that nobody was given is not the beginning of one that somebody was.
                if (!_recent.TryGetValue(blocks[block], out string? silo) && !_older.TryGetValue(blocks[block], out silo)) break;
                cached[silo] = (block + 1) * BlockTokens;
            }
        }

        return cached;
    }

    private static ulong Mix(ulong state, uint value) => (BitOperations.RotateLeft(state, 23) ^ value) * Multiplier;
}
