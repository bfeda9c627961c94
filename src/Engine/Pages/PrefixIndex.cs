using System.Runtime.InteropServices;

namespace Conclave.Engine.Pages;

/// <summary>
/// A radix tree over token prefixes whose edges are one page of tokens each. A node is the page that holds the latents of its tokens, given all the tokens on the
/// way from the root; each cache scope has a root of its own, so that prefixes are never found across scopes. Nodes are compared by their tokens; the hash only
/// says where to look. Everything is in arrays made at the start: pages come and go without allocation. Not thread-safe.
/// </summary>
internal sealed class PrefixIndex
{
    /// <summary>No node.</summary>
    public const int None = -1;

    // Looking for the longest common start is a bonus that must not cost much where thousands of prompts begin alike.
    private const int MaxCandidates = 256;

    private readonly int _pageCount;
    private readonly int _pageTokens;
    private readonly int[] _tokens;

    // Nodes 0 to _pageCount - 1 are pages, those behind them roots.
    private readonly int[] _parent;
    private readonly int[] _firstChild;
    private readonly int[] _nextSibling;
    private readonly int[] _previousSibling;

    // Chains of nodes whose parent and tokens have the same hash.
    private readonly int[] _buckets;
    private readonly int[] _nextInBucket;

    private readonly Dictionary<string, int> _roots = [];
    private readonly string?[] _scopes;
    private readonly int[] _freeRoots;
    private int _freeRootCount;

    public PrefixIndex(int pageCount, int pageTokens)
    {
        (_pageCount, _pageTokens) = (pageCount, pageTokens);
        _tokens = new int[checked(pageCount * pageTokens)];
        _parent = new int[pageCount];
        _firstChild = new int[2 * pageCount];
        _nextSibling = new int[pageCount];
        _previousSibling = new int[pageCount];
        _buckets = new int[(int)Math.Min(1 << 30, System.Numerics.BitOperations.RoundUpToPowerOf2((uint)pageCount))];
        _nextInBucket = new int[pageCount];
        _scopes = new string?[pageCount];
        _freeRoots = new int[pageCount];
        Clear();
    }

    /// <summary>Pages in the tree.</summary>
    public int Count { get; private set; }

    /// <summary>Scopes that have pages in the tree.</summary>
    public int ScopeCount => _roots.Count;

    /// <summary>Whether page <paramref name="node"/> is in the tree.</summary>
    public bool Contains(int node) => _parent[node] != None;

    /// <summary>Whether page <paramref name="node"/> has no children.</summary>
    public bool IsLeaf(int node) => _firstChild[node] == None;

    /// <summary>The parent of page <paramref name="node"/>, which is in the tree: a page, or a root (see <see cref="IsRoot"/>).</summary>
    public int Parent(int node) => _parent[node];

    /// <summary>Whether <paramref name="node"/> is the root of a scope.</summary>
    public bool IsRoot(int node) => node >= _pageCount;

    /// <summary>The scope of <paramref name="root"/>.</summary>
    public string Scope(int root) => _scopes[root - _pageCount]!;

    /// <summary>The tokens of page <paramref name="node"/>.</summary>
    public ReadOnlySpan<int> Tokens(int node) => _tokens.AsSpan(node * _pageTokens, _pageTokens);

    /// <summary>The root of <paramref name="scope"/>, <see cref="None"/> if it has no pages.</summary>
    public int Root(string scope) => _roots.GetValueOrDefault(scope, None);

    /// <summary>The root of <paramref name="scope"/>, made if it is new: the next call must insert a page under it.</summary>
    public int RootOrNew(string scope)
    {
        if (_roots.TryGetValue(scope, out int root))
            return root;

        // Each root has a page, so there are never more roots than pages.
        root = _freeRoots[--_freeRootCount];
        _roots.Add(scope, root);
        _scopes[root - _pageCount] = scope;
        return root;
    }

    /// <summary>The child of <paramref name="parent"/> with exactly these tokens (a page of them), <see cref="None"/> if there is none.</summary>
    public int Find(int parent, ReadOnlySpan<int> tokens)
    {
        if (parent == None)
            return None;
        int node = _buckets[Bucket(parent, tokens)];
        while (node != None && (_parent[node] != parent || !tokens.SequenceEqual(Tokens(node))))
            node = _nextInBucket[node];
        return node;
    }

    /// <summary>The child of <paramref name="parent"/> that begins with most of these tokens, and with how many: of equals the newest.</summary>
    public (int Node, int TokenCount) Longest(int parent, ReadOnlySpan<int> tokens)
    {
        (int Node, int TokenCount) best = (None, 0);
        int node = parent == None ? None : _firstChild[parent];
        for (int seen = 0; node != None && seen < MaxCandidates; seen++, node = _nextSibling[node])
        {
            int common = tokens.CommonPrefixLength(Tokens(node));
            if (common > best.TokenCount)
                best = (node, common);
        }

        return best;
    }

    /// <summary>Puts page <paramref name="node"/>, which is not in the tree, under <paramref name="parent"/>, which has no child with these tokens (a page of them).</summary>
    public void Insert(int node, int parent, ReadOnlySpan<int> tokens)
    {
        tokens.CopyTo(_tokens.AsSpan(node * _pageTokens, _pageTokens));
        _parent[node] = parent;
        _firstChild[node] = None;
        _previousSibling[node] = None;
        _nextSibling[node] = _firstChild[parent];
        if (_firstChild[parent] != None)
            _previousSibling[_firstChild[parent]] = node;
        _firstChild[parent] = node;
        int bucket = Bucket(parent, tokens);
        _nextInBucket[node] = _buckets[bucket];
        _buckets[bucket] = node;
        Count++;
    }

    /// <summary>Takes page <paramref name="node"/>, a leaf, out of the tree.</summary>
    public void Remove(int node)
    {
        int parent = _parent[node];
        ref int link = ref _buckets[Bucket(parent, Tokens(node))];
        while (link != node)
            link = ref _nextInBucket[link];
        link = _nextInBucket[node];
        int previous = _previousSibling[node], next = _nextSibling[node];
        if (previous == None)
            _firstChild[parent] = next;
        else
            _nextSibling[previous] = next;
        if (next != None)
            _previousSibling[next] = previous;
        _parent[node] = None;
        Count--;
        if (IsRoot(parent) && _firstChild[parent] == None)
            Drop(parent);
    }

    /// <summary>Empties the tree.</summary>
    public void Clear()
    {
        _parent.AsSpan().Fill(None);
        _firstChild.AsSpan().Fill(None);
        _buckets.AsSpan().Fill(None);
        _roots.Clear();
        Array.Clear(_scopes);
        for (int i = 0; i < _pageCount; i++)
            _freeRoots[i] = (2 * _pageCount) - 1 - i;
        _freeRootCount = _pageCount;
        Count = 0;
    }

    /// <summary>Whether the tree hangs together: null, or what is wrong.</summary>
    public string? FindFault()
    {
        int reached = 0;
        var open = new Stack<int>(_roots.Values);
        while (open.TryPop(out int parent))
        {
            int previous = None;
            for (int node = _firstChild[parent]; node != None; previous = node, node = _nextSibling[node])
            {
                if (++reached > Count)
                    return $"more pages hang in the prefix index than the {Count} counted, or one hangs twice";
                if (_parent[node] != parent || _previousSibling[node] != previous)
                    return $"KV page {node} does not know its place in the prefix index";
                if (Find(parent, Tokens(node)) != node)
                    return $"KV page {node} is not found by its tokens";
                open.Push(node);
            }
        }

        int known = _parent.Count(parent => parent != None);
        if (reached != Count || known != Count)
            return $"the prefix index counts {Count} pages, knows {known} and reaches {reached}";
        return _roots.Any(root => _firstChild[root.Value] == None || Scope(root.Value) != root.Key) ? "a scope of the prefix index has no pages" : null;
    }

    private void Drop(int root)
    {
        _roots.Remove(_scopes[root - _pageCount]!);
        _scopes[root - _pageCount] = null;
        _freeRoots[_freeRootCount++] = root;
    }

    private int Bucket(int parent, ReadOnlySpan<int> tokens)
    {
        var hash = default(HashCode);
        hash.Add(parent);
        hash.AddBytes(MemoryMarshal.AsBytes(tokens));
        return hash.ToHashCode() & (_buckets.Length - 1);
    }
}
