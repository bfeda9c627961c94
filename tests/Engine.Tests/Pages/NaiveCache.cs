namespace Conclave.Engine.Tests.Pages;

/// <summary>What a KV memory should do, written down without regard to speed: prefixes are strings, every question is answered by looking at all of them.</summary>
internal sealed class NaiveCache(int pageCount)
{
    private const int PageTokens = PagedSequence.PageTokens;

    private readonly Dictionary<string, Node> _nodes = [];
    private readonly Dictionary<PagedSequence, List<Node?>> _held = [];
    private long _time;

    public int HeldCount => _held.Values.SelectMany(nodes => nodes).Where(node => node is not null).Distinct().Count() + PrivateCount;

    public int CachedCount => _nodes.Values.Count(IsUnused);

    private int PrivateCount => _held.Values.Sum(nodes => nodes.Count(node => node is null));

    private int FreeCount => pageCount - _nodes.Count - PrivateCount;

    /// <summary>Cached tokens, and tokens that need not be computed; null if there is no room.</summary>
    public (int Cached, int Length)? Admit(PagedSequence sequence, int tokenCount)
    {
        List<Node?> nodes = [];
        int last = (sequence.Tokens.Count - 1) / PageTokens;
        while (nodes.Count < last && _nodes.TryGetValue(Key(sequence, nodes.Count + 1), out Node? node))
            nodes.Add(node);
        if (PagesFor(tokenCount) - nodes.Count > FreeCount + CachedCount - nodes.Count(node => IsUnused(node!)))
            return null;
        _held.Add(sequence, nodes);
        int cached = nodes.Count * PageTokens;

        // A common start of the next page is copied.
        string parent = nodes.Count == 0 ? sequence.Scope + ":" : nodes[^1]!.Key;
        int[] rest = [.. sequence.Tokens.Skip(cached).SkipLast(1).Take(PageTokens)];
        (Node Node, int Common)[] candidates = [.. _nodes.Values.Where(node => node.Parent == parent).OrderByDescending(node => node.Inserted).Select(node => (node, rest.AsSpan().CommonPrefixLength(node.Tokens)))];
        int common = 0;
        if (candidates.Length > 0 && candidates.MaxBy(candidate => candidate.Common) is var best && best.Common >= PageTokens / 8)
        {
            // Not evicted for its own copy.
            nodes.Add(best.Node);
            if (FreeCount + CachedCount > 0)
            {
                common = best.Common;
                MakeRoom();
                nodes.Insert(nodes.Count - 1, null);
            }

            nodes.RemoveAt(nodes.Count - 1);
            best.Node.Released = ++_time;
        }

        Assert.True(Grow(sequence, tokenCount));
        return (cached, cached + common);
    }

    public bool Grow(PagedSequence sequence, int tokenCount)
    {
        List<Node?> nodes = _held[sequence];
        if (PagesFor(tokenCount) - nodes.Count > FreeCount + CachedCount)
            return false;
        while (nodes.Count < PagesFor(tokenCount))
        {
            MakeRoom();
            nodes.Add(null);
        }

        return true;
    }

    public void Publish(PagedSequence sequence)
    {
        List<Node?> nodes = _held[sequence];
        for (int i = 0; i < (sequence.Pages.Length - 1) / PageTokens; i++)
        {
            string key = Key(sequence, i + 1);
            if (!_nodes.TryGetValue(key, out Node? node))
                _nodes.Add(key, node = new Node(key, i == 0 ? sequence.Scope + ":" : Key(sequence, i), [.. sequence.Tokens.Skip(i * PageTokens).Take(PageTokens)], ++_time));
            nodes[i] = node;
        }
    }

    public void Release(PagedSequence sequence)
    {
        _held.Remove(sequence, out List<Node?>? nodes);
        foreach (Node node in Enumerable.Reverse(nodes!).OfType<Node>())
            node.Released = ++_time;
    }

    private static int PagesFor(int tokenCount) => (tokenCount + PageTokens - 1) / PageTokens;

    private static string Key(PagedSequence sequence, int pages) => sequence.Scope + ":" + string.Join(' ', sequence.Tokens.Take(pages * PageTokens));

    private bool IsUnused(Node node) => !_held.Values.Any(nodes => nodes.Contains(node));

    private void MakeRoom()
    {
        if (FreeCount == 0)
            _nodes.Remove(_nodes.Values.Where(node => IsUnused(node) && !_nodes.Values.Any(child => child.Parent == node.Key)).MinBy(node => node.Released)!.Key);
    }

    private sealed record Node(string Key, string Parent, int[] Tokens, long Inserted)
    {
        public long Released { get; set; }
    }
}
