using Conclave.Model.Tokenization;

namespace Conclave.Engine.Grammars;

/// <summary>
/// The bytes of all tokens as a tree of their common beginnings, laid out in order of a walk: a mask is one pass over it. Special tokens and those
/// without text are not in it. Immutable.
/// </summary>
public sealed class TokenVocabulary
{
    private readonly byte[][] _bytes;
    private readonly bool[] _canWrite = new bool[256];

    /// <summary>Takes the bytes of each token id; null or empty for tokens that are never part of a text.</summary>
    public TokenVocabulary(IReadOnlyList<byte[]?> tokens)
    {
        ArgumentNullException.ThrowIfNull(tokens);
        _bytes = [.. tokens.Select(token => token ?? [])];
        int[] ids = [.. Enumerable.Range(0, _bytes.Length).Where(id => _bytes[id].Length > 0)];
        Array.Sort(ids, (a, b) => _bytes[a].AsSpan().SequenceCompareTo(_bytes[b]) is var order and not 0 ? order : a.CompareTo(b));
        foreach (int id in ids.Where(id => _bytes[id].Length == 1))
            _canWrite[_bytes[id][0]] = true;
        (Nodes, TokenIds, MaxLength) = Lay(ids);
        Groups = new TokenGroups(Nodes, TokenIds);
        All = new uint[MaskWords];
        foreach (int id in ids)
            All[id >> 5] |= 1u << (id & 31);
    }

    /// <summary>Number of token ids.</summary>
    public int Size => _bytes.Length;

    /// <summary>Words of 32 bits in a mask.</summary>
    public int MaskWords => (Size + 31) / 32;

    /// <summary>Bytes of the longest token.</summary>
    internal int MaxLength { get; }

    /// <summary>The tree in preorder, and a last node that only ends the ranges of the one before.</summary>
    internal TokenNode[] Nodes { get; }

    /// <summary>The tree with bytes of one kind made one.</summary>
    internal TokenGroups Groups { get; }

    /// <summary>The mask that allows every token with text.</summary>
    internal uint[] All { get; }

    /// <summary>Ids in order of their bytes; a node's own lie from <see cref="TokenNode.FirstToken"/> to the next node's.</summary>
    internal int[] TokenIds { get; }

    /// <summary>The tokens that a model of <paramref name="vocabularySize"/> can choose, as <paramref name="tokenizer"/> writes them.</summary>
    public static TokenVocabulary From(Tokenizer tokenizer, int vocabularySize)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        var tokens = new byte[]?[vocabularySize];
        for (int id = 0; id < vocabularySize; id++)
            tokens[id] = tokenizer.HasToken(id) && !tokenizer.IsSpecial(id) ? tokenizer.TokenBytes(id).ToArray() : null;
        return new TokenVocabulary(tokens);
    }

    /// <summary>The bytes of a token; empty for those that are never part of a text.</summary>
    internal ReadOnlySpan<byte> Bytes(int id) => (uint)id < (uint)_bytes.Length ? _bytes[id] : [];

    /// <summary>Whether a token writes this byte alone, so that it is always at hand.</summary>
    internal bool CanWrite(int value) => _canWrite[value];

    private (TokenNode[] Nodes, int[] Ids, int MaxLength) Lay(int[] ids)
    {
        var nodes = new List<TokenNode>(ids.Length * 2);
        var open = new Stack<int>();
        byte[] previous = [];
        for (int i = 0; i < ids.Length; i++)
        {
            byte[] bytes = _bytes[ids[i]];
            int shared = bytes.AsSpan().CommonPrefixLength(previous);
            Close(shared);
            for (int depth = shared; depth < bytes.Length; depth++)
            {
                open.Push(nodes.Count);
                nodes.Add(new TokenNode(bytes[depth], (ushort)depth, 0, i));
            }

            previous = bytes;
        }

        Close(0);
        nodes.Add(new TokenNode(0, 0, nodes.Count, ids.Length));
        return ([.. nodes], ids, ids.Length == 0 ? 0 : ids.Max(id => _bytes[id].Length));

        void Close(int depth)
        {
            while (open.Count > depth)
            {
                int index = open.Pop();
                nodes[index] = nodes[index] with { Next = nodes.Count };
            }
        }
    }
}

/// <summary>A beginning that tokens share.</summary>
/// <param name="Value">Its last byte.</param>
/// <param name="Depth">Bytes before that.</param>
/// <param name="Next">Index of the first node that does not begin like this one.</param>
/// <param name="FirstToken">Index of the first token of this node or a later one.</param>
internal readonly record struct TokenNode(byte Value, ushort Depth, int Next, int FirstToken);
