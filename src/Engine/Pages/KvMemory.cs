using Conclave.Model;

namespace Conclave.Engine.Pages;

/// <summary>
/// The KV memory of an engine: a pool of pages, and an index of those whose content is known, so that sequences that begin alike share them. A page is free, or held
/// by sequences, or cached (nobody uses it but it can be found), or both held and findable. Cached pages are evicted when others need the room: those unused for longest
/// first, and a page never before those that continue it. A full page is never written again, so sharing needs no locks and changes no bit. Deterministic: the same
/// calls give the same result. Not thread-safe: the engine's gate guards it.
/// </summary>
public sealed unsafe partial class KvMemory : IDisposable
{
    private readonly KvLayout _layout;
    private readonly KvPagePool _pool;
    private readonly PrefixIndex _index;

    // Findable pages that nobody uses. A sequence that uses a page uses all pages before it, and gives them back last to first: so whatever continues a page stands before it.
    private readonly PageList _unused;
    private readonly int[] _path;

    /// <summary>Reserves as many pages of <paramref name="layout"/> as <paramref name="memorySizeBytes"/> holds.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not even one page fits.</exception>
    /// <param name="layout">Shape of a page.</param>
    /// <param name="memorySizeBytes">Bytes of all pages.</param>
    /// <param name="tier">The second tier; null for none.</param>
    /// <exception cref="OutOfMemoryException">The operating system refuses that much.</exception>
    /// <exception cref="ArgumentException">The second tier's directory cannot be used.</exception>
    public KvMemory(KvLayout layout, long memorySizeBytes, KvTier? tier = null)
    {
        _layout = layout;
        PageTokens = layout.PageTokens;
        _pool = new KvPagePool(layout, memorySizeBytes);
        _index = new PrefixIndex(_pool.PageCount, PageTokens);
        _unused = new PageList(_pool.PageCount);
        _path = new int[_pool.PageCount];
        if (tier is null)
            return;
        _identity = $"{tier.Options.Identity}; {layout}; {typeof(KvLayout).Module.ModuleVersionId}";
        _keys = new PageKey[_pool.PageCount];
        try
        {
            var folder = new KvDiskFolder(tier.Options, PageKey.Root(_identity, ""), PageTokens, layout.PageSizeBytes, tier.Clock, tier.Log);
            _disk = new KvDisk(folder, layout.PageSizeBytes, tier.Clock, tier.Log, tier.OnFetched);
        }
        catch (ArgumentException)
        {
            _pool.Dispose();
            throw;
        }
    }

    /// <summary>Tokens a page holds: what is cached is counted in these.</summary>
    public int PageTokens { get; }

    /// <summary>Pages in all.</summary>
    public int PageCount => _pool.PageCount;

    /// <summary>Pages that sequences hold.</summary>
    public int HeldCount => _pool.HeldCount - _unused.Count;

    /// <summary>Findable pages that nobody uses.</summary>
    public int CachedCount => _unused.Count;

    /// <summary>Pages that can be had: free ones, and cached ones that would be evicted.</summary>
    public int AvailableCount => _pool.FreeCount + _unused.Count;

    /// <summary>Pages that sequences found since the start, instead of computing them.</summary>
    public long HitCount { get; private set; }

    /// <summary>Full pages that sequences had to compute since the start, because they were not found.</summary>
    public long MissCount { get; private set; }

    /// <summary>Cached pages dropped for others since the start.</summary>
    public long EvictionCount { get; private set; }

    /// <summary>Pages that <paramref name="tokenCount"/> tokens take.</summary>
    public int PagesFor(long tokenCount) => checked((int)((tokenCount + PageTokens - 1) / PageTokens));

    /// <summary>By how much <see cref="TryAdmit"/> would lower <see cref="AvailableCount"/>; above that, it would fail. Uses nothing and changes nothing.</summary>
    public int PagesNeeded(ReadOnlySpan<int> tokens, string scope, int tokenCount)
    {
        int found = Walk(tokens, scope, out int unusedCount);
        return PagesFor(tokenCount) - found + unusedCount;
    }

    /// <summary>How many of <paramref name="tokens"/> are cached in <paramref name="scope"/>, in whole pages; uses nothing and changes nothing.</summary>
    public int CachedTokens(ReadOnlySpan<int> tokens, string scope) => Walk(tokens, scope, out _) * PageTokens;

    /// <summary>
    /// Gives a sequence that begins (its <paramref name="pages"/> are empty) the cached pages of its <paramref name="tokens"/>, and more to hold <paramref name="tokenCount"/> tokens. At least one
    /// token is left to compute. Where the next cached page begins with the same tokens as the prompt goes on, but differs later, they are copied to a page of the sequence's own.
    /// <c>pages.Length</c> tells how many tokens need not be computed. False, and nothing has changed, if there is not enough room.
    /// </summary>
    /// <param name="tokens">Prompt, and output of an earlier life.</param>
    /// <param name="scope">Prefixes are shared within a scope only; "" is one like any other.</param>
    /// <param name="tokenCount">Tokens to have room for, at least one.</param>
    /// <param name="pages">An empty table.</param>
    /// <param name="cachedTokens">Tokens in shared pages: a multiple of the page size; what was copied does not count.</param>
    public bool TryAdmit(ReadOnlySpan<int> tokens, string scope, int tokenCount, KvPageTable pages, out int cachedTokens)
    {
        cachedTokens = 0;
        int found = Walk(tokens, scope, out int unusedCount);
        if (PagesFor(tokenCount) - found > AvailableCount - unusedCount)
            return false;
        for (int i = 0; i < found; i++)
        {
            Use(_path[i]);
            pages.Add(_pool.PageAt(_path[i]));
        }

        cachedTokens = pages.Length = found * PageTokens;
        HitCount += found;
        MissCount += ((tokens.Length - 1) / PageTokens) - found;
        CopyStart(found == 0 ? _index.Root(scope) : _path[found - 1], tokens[cachedTokens..^1], pages);
        return TryGrow(pages, tokenCount);
    }

    /// <summary>Adds pages, evicting cached ones as needed, until <paramref name="pages"/> have room for <paramref name="tokenCount"/> tokens. False, and nothing has changed, if there are not enough.</summary>
    public bool TryGrow(KvPageTable pages, int tokenCount)
    {
        int missing = PagesFor(tokenCount) - pages.PageCount;
        if (missing > AvailableCount)
            return false;
        for (; missing > 0; missing--)
            pages.Add(Take());
        return true;
    }

    /// <summary>
    /// Makes the full pages of a sequence findable, also while it runs: nobody may write to them from now on. A page is full once the token behind it is computed too: the MTP
    /// module writes a position when it knows the next token. (What it wrote at a page's last position belongs to the sequence that filled the page first, and may differ from what
    /// another one that shares it would have written. That is harmless: drafts are verified.) A page that somebody else made findable meanwhile takes the place of the sequence's
    /// own, which holds the same bits.
    /// </summary>
    /// <param name="scope">The sequence's scope.</param>
    /// <param name="tokens">Its tokens from the first on; those beyond <c>pages.Length</c> do not count.</param>
    /// <param name="pages">Its pages, computed from these tokens.</param>
    public void Publish(string scope, ReadOnlySpan<int> tokens, KvPageTable pages)
    {
        int full = (Math.Min(tokens.Length, pages.Length) - 1) / PageTokens;

        // From the end: usually it is the last full page that is the question.
        int i = full;
        while (i > 0 && !_index.Contains(IndexOf(pages, i - 1)))
            i--;
        for (; i < full; i++)
            Publish(scope, tokens.Slice(i * PageTokens, PageTokens), pages, i);
    }

    /// <summary>Takes all pages of a sequence back and empties the table; those that are findable stay cached.</summary>
    public void Release(KvPageTable pages)
    {
        ArgumentNullException.ThrowIfNull(pages);
        for (int i = pages.PageCount - 1; i >= 0; i--)
            Unuse(IndexOf(pages, i));
        pages.Clear();
    }

    /// <summary>Ends the disk's thread and frees the memory; no page may be used any more.</summary>
    public void Dispose()
    {
        _disk?.Dispose();
        _pool.Dispose();
    }

    /// <summary>Makes page <paramref name="i"/>, behind findable ones, findable.</summary>
    private void Publish(string scope, ReadOnlySpan<int> content, KvPageTable pages, int i)
    {
        int parent = i == 0 ? _index.RootOrNew(scope) : IndexOf(pages, i - 1);
        int own = IndexOf(pages, i), known = _index.Find(parent, content);
        if (known == PrefixIndex.None)
        {
            _index.Insert(own, parent, content);
            _pool.Share(own);
            SetKey(own, parent, content);
            return;
        }

        Use(known);
        pages.Replace(i, _pool.PageAt(known));
        _pool.Return(_pool.PageAt(own));
    }

    /// <summary>Follows <paramref name="tokens"/> down the tree, to <see cref="_path"/>: how many pages there are, and how many of them nobody uses.</summary>
    private int Walk(ReadOnlySpan<int> tokens, string scope, out int unusedCount)
    {
        int count = 0;
        unusedCount = 0;
        int node = _index.Root(scope);

        // The last token is always computed: its logits are what the sequence goes on with.
        for (; tokens.Length > PageTokens; tokens = tokens[PageTokens..])
        {
            node = _index.Find(node, tokens[..PageTokens]);
            if (node == PrefixIndex.None)
                break;
            _path[count++] = node;
            unusedCount += _unused.Contains(node) ? 1 : 0;
        }

        return count;
    }

    /// <summary>Copies the page under <paramref name="parent"/> that begins like <paramref name="tokens"/>, if that saves enough and there is a page to be had.</summary>
    private void CopyStart(int parent, ReadOnlySpan<int> tokens, KvPageTable pages)
    {
        (int source, int common) = _index.Longest(parent, tokens[..Math.Min(tokens.Length, PageTokens)]);

        // A few rows more in a step cost next to nothing; a page to copy may be megabytes.
        if (common < PageTokens / 8)
            return;
        Use(source);
        if (AvailableCount > 0)
        {
            nint copy = Take();

            // The whole page, whatever its layout: what lies behind the common tokens is written before it is read.
            Buffer.MemoryCopy((void*)_pool.PageAt(source), (void*)copy, _layout.PageSizeBytes, _layout.PageSizeBytes);
            pages.Add(copy);
            pages.Length += common;
        }

        Unuse(source);
    }

    /// <summary>A page for somebody who holds it; at least one is free or cached.</summary>
    private nint Take()
    {
        if (_pool.FreeCount == 0)
            Evict();
        return _pool.Take();
    }

    private void Evict()
    {
        int page = _unused.Oldest;
        Spill(page);
        _unused.Remove(page);
        _index.Remove(page);
        _pool.Return(_pool.PageAt(page));
        EvictionCount++;
    }

    private void Use(int page)
    {
        _pool.Share(page);
        if (_unused.Contains(page))
            _unused.Remove(page);
    }

    private void Unuse(int page)
    {
        _pool.Return(_pool.PageAt(page));
        if (_pool.Holders(page) == 1 && _index.Contains(page))
            _unused.Append(page);
    }

    private int IndexOf(KvPageTable pages, int index) => _pool.IndexOf((nint)pages.Page(index));
}
