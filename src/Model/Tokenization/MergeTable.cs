using System.Numerics;

namespace Conclave.Model.Tokenization;

/// <summary>Merges by pair of token ids: an open hash table, since this is the innermost lookup of encoding.</summary>
internal sealed class MergeTable
{
    private readonly ulong[] _pairs;
    private readonly int[] _ranks;
    private readonly int[] _results;
    private readonly int _shift;

    /// <param name="merges">In order of rank: left and right token, and the token they become.</param>
    public MergeTable(IReadOnlyList<(int Left, int Right, int Merged)> merges)
    {
        var capacity = (int)BitOperations.RoundUpToPowerOf2((uint)(merges.Count * 2) + 16);
        _shift = 64 - BitOperations.Log2((uint)capacity);
        _pairs = new ulong[capacity];
        _ranks = new int[capacity];
        _results = [.. merges.Select(merge => merge.Merged)];
        // Empty slots give the rank of "no merge", whatever key is asked for.
        Array.Fill(_ranks, int.MaxValue);
        Array.Fill(_pairs, ulong.MaxValue);
        for (var rank = 0; rank < merges.Count; rank++)
        {
            var pair = Pair(merges[rank].Left, merges[rank].Right);
            var slot = Slot(pair);
            // A pair listed twice keeps its last rank, as in the reference.
            (_pairs[slot], _ranks[slot]) = (pair, rank);
        }
    }

    /// <summary>The rank of a pair, lowest first; <see cref="int.MaxValue"/> when it does not merge.</summary>
    public int Rank(int left, int right) => _ranks[Slot(Pair(left, right))];

    /// <summary>The token that the merge of a rank makes.</summary>
    public int Result(int rank) => _results[rank];

    private int Slot(ulong pair)
    {
        var mask = _pairs.Length - 1;
        var slot = (int)((pair * 0x9E3779B97F4A7C15) >> _shift);
        while (_pairs[slot] != pair && _pairs[slot] != ulong.MaxValue)
        {
            slot = (slot + 1) & mask;
        }

        return slot;
    }

    private static ulong Pair(int left, int right) => ((ulong)(uint)left << 32) | (uint)right;
}
