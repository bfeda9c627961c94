using System.Buffers;

namespace Conclave.Model.Tokenization;

/// <summary>
/// Byte-pair merging of one pre-token: of all neighbouring pairs that have a merge, the one with the lowest rank
/// (leftmost among equals) is joined until none is left. Thread-safe.
/// </summary>
internal sealed class BytePairEncoder
{
    // Up to here scanning for the best pair beats a heap; beyond, the heap keeps the cost at n log n.
    private const int ScannedLength = 48;
    private const int NoMerge = int.MaxValue;

    private readonly Vocabulary _vocabulary;
    private readonly MergeTable _merges;
    private readonly BytePairOptions _options;
    private readonly int[] _idOfByte = new int[256];
    private readonly PieceCache _cache = new();

    /// <param name="vocabulary">Tokens, added ones included.</param>
    /// <param name="merges">Pairs with their ranks.</param>
    /// <param name="options">Settings of the model section.</param>
    public BytePairEncoder(Vocabulary vocabulary, MergeTable merges, BytePairOptions options)
    {
        (_vocabulary, _merges, _options) = (vocabulary, merges, options);
        for (var value = 0; value < 256; value++)
        {
            _idOfByte[value] = vocabulary.Find(ByteLevel.Character((byte)value).ToString());
        }
    }

    /// <summary>Appends the tokens of a pre-token.</summary>
    public void Encode(ReadOnlySpan<byte> piece, List<int> ids)
    {
        if (piece.Length > PieceCache.LongestPiece)
        {
            EncodeUncached(piece, ids);
            return;
        }

        var hash = WrittenTokens.Hash(piece);
        if (_cache.Find(piece, hash) is { } known)
        {
            ids.AddRange(known);
            return;
        }

        var first = ids.Count;
        EncodeUncached(piece, ids);
        _cache.Store(piece, hash, ids.Slice(first, ids.Count - first).ToArray());
    }

    private void EncodeUncached(ReadOnlySpan<byte> piece, List<int> ids)
    {
        if (_options.IgnoreMerges && WholeToken(piece) is >= 0 and var whole)
        {
            ids.Add(whole);
            return;
        }

        var rented = piece.Length <= ScannedLength ? null : ArrayPool<int>.Shared.Rent(piece.Length);
        var symbols = rented ?? stackalloc int[ScannedLength];
        symbols = symbols[..Symbols(piece, symbols)];
        if (symbols.Length <= ScannedLength)
        {
            symbols = symbols[..MergeScanning(symbols)];
        }
        else
        {
            symbols = symbols[..MergeWithHeap(symbols)];
        }

        CollectionExtensions.AddRange(ids, symbols);
        if (rented is not null)
        {
            ArrayPool<int>.Shared.Return(rented);
        }
    }

    /// <summary>The token that is the whole piece; never an added one, which plain text must not become.</summary>
    private int WholeToken(ReadOnlySpan<byte> piece)
    {
        var id = _vocabulary.Find(ByteLevel.Write(piece));
        return id >= 0 && !_options.AddedIds.Contains(id) ? id : -1;
    }

    /// <summary>One token a byte. As in the reference, bytes without a token become the unknown token, if any, else vanish.</summary>
    private int Symbols(ReadOnlySpan<byte> piece, Span<int> symbols)
    {
        var count = 0;
        var afterUnknown = false;
        foreach (var value in piece)
        {
            var id = _idOfByte[value];
            var unknown = id < 0;
            if (!unknown)
            {
                symbols[count++] = id;
            }
            else if (_options.UnknownId is { } unknownId && !(afterUnknown && _options.FuseUnknown))
            {
                symbols[count++] = unknownId;
            }

            afterUnknown = unknown;
        }

        return count;
    }

    private int MergeScanning(Span<int> symbols)
    {
        Span<int> ranks = stackalloc int[ScannedLength];
        var count = symbols.Length;
        for (var i = 0; i + 1 < count; i++)
        {
            ranks[i] = _merges.Rank(symbols[i], symbols[i + 1]);
        }

        while (count > 1)
        {
            var best = 0;
            for (var i = 1; i + 1 < count; i++)
            {
                best = ranks[i] < ranks[best] ? i : best;
            }

            if (ranks[best] == NoMerge)
            {
                break;
            }

            symbols[best] = _merges.Result(ranks[best]);
            count--;
            symbols[(best + 2)..(count + 1)].CopyTo(symbols[(best + 1)..]);
            ranks[(best + 1)..count].CopyTo(ranks[best..]);
            if (best + 1 < count)
            {
                ranks[best] = _merges.Rank(symbols[best], symbols[best + 1]);
            }

            if (best > 0)
            {
                ranks[best - 1] = _merges.Rank(symbols[best - 1], symbols[best]);
            }
        }

        return count;
    }

    /// <summary>The same for long pieces: a linked list of symbols, and a heap of (rank, position) with stale entries skipped.</summary>
    private int MergeWithHeap(Span<int> symbols)
    {
        var links = ArrayPool<int>.Shared.Rent(symbols.Length * 2);
        var next = links.AsSpan(0, symbols.Length);
        var previous = links.AsSpan(symbols.Length, symbols.Length);
        var heap = new PriorityQueue<int, ulong>();
        var pairs = new List<(int Position, ulong Order)>(symbols.Length);
        for (var i = 0; i < symbols.Length; i++)
        {
            next[i] = i + 1;
            previous[i] = i - 1;
            if (i + 1 < symbols.Length && _merges.Rank(symbols[i], symbols[i + 1]) is not NoMerge and var rank)
            {
                pairs.Add((i, Order(rank, i)));
            }
        }

        heap.EnqueueRange(pairs);
        while (heap.TryDequeue(out var left, out var order))
        {
            var rank = (int)(order >> 32);
            if (symbols[left] < 0 || next[left] == symbols.Length || _merges.Rank(symbols[left], symbols[next[left]]) != rank)
            {
                continue;
            }

            var right = next[left];
            symbols[left] = _merges.Result(rank);
            symbols[right] = -1;
            next[left] = next[right];
            if (next[left] < symbols.Length)
            {
                previous[next[left]] = left;
                Offer(heap, symbols, left, next[left]);
            }

            if (previous[left] >= 0)
            {
                Offer(heap, symbols, previous[left], left);
            }
        }

        ArrayPool<int>.Shared.Return(links);
        var count = 0;
        foreach (var symbol in symbols)
        {
            if (symbol >= 0)
            {
                symbols[count++] = symbol;
            }
        }

        return count;
    }

    private void Offer(PriorityQueue<int, ulong> heap, ReadOnlySpan<int> symbols, int left, int right)
    {
        var rank = _merges.Rank(symbols[left], symbols[right]);
        if (rank != NoMerge)
        {
            heap.Enqueue(left, Order(rank, left));
        }
    }

    private static ulong Order(int rank, int position) => ((ulong)(uint)rank << 32) | (uint)position;
}

/// <summary>Settings of the BPE model besides vocabulary and merges.</summary>
/// <param name="IgnoreMerges">A pre-token that is a token is taken whole, without merging.</param>
/// <param name="UnknownId">Stands for bytes without a token; null drops them.</param>
/// <param name="FuseUnknown">One unknown token for a run of such bytes.</param>
/// <param name="AddedIds">Ids of added tokens.</param>
internal sealed record BytePairOptions(bool IgnoreMerges, int? UnknownId, bool FuseUnknown, IReadOnlySet<int> AddedIds);
