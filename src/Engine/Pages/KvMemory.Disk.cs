using Conclave.Model;
using Microsoft.Extensions.Logging;

namespace Conclave.Engine.Pages;

/// <summary>What a <see cref="KvMemory"/> needs for its second tier.</summary>
/// <param name="Options">Where.</param>
/// <param name="Clock">For measuring the disk and for ages of files.</param>
/// <param name="Log">Where warnings go.</param>
/// <param name="OnFetched">Called, from any thread, when <see cref="KvMemory.TakeFetched"/> has something to do.</param>
public sealed record KvTier(KvDiskOptions Options, TimeProvider Clock, ILogger Log, Action OnFetched);

/// <summary>The second tier: what is evicted goes to disk, and is found there again.</summary>
public sealed unsafe partial class KvMemory
{
    private readonly string _identity = "";
    private readonly KvDisk? _disk;

    // Of findable pages, where there is a second tier.
    private readonly PageKey[] _keys = [];
    private readonly List<KvFetch> _fetching = [];
    private double _computeMs;

    /// <summary>What the second tier holds and did; null without one.</summary>
    public KvDiskStatus? DiskStatus => _disk?.Status;

    /// <summary>Tells how long it took to compute <paramref name="tokenCount"/> prompt tokens: what takes longer to read is computed.</summary>
    public void RecordPrefill(int tokenCount, double tookMs)
    {
        double tokenMs = tookMs / tokenCount;
        _computeMs = _computeMs == 0 ? tokenMs : _computeMs + ((tokenMs - _computeMs) / 8);
    }

    /// <summary>
    /// Whether a sequence that is about to be admitted had better wait, because pages of its <paramref name="tokens"/> are being read from disk; the first call starts that. Always false
    /// without a second tier, if nothing is there, if there is no room for it, or if computing is quicker. When the wait is over, the pages are cached; should they be evicted before the
    /// sequence is admitted, they are read once more.
    /// </summary>
    /// <param name="fetch">The sequence's own; null at first, and again when it has lost its pages.</param>
    /// <param name="tokens">Prompt, and output of an earlier life.</param>
    /// <param name="scope">The sequence's scope.</param>
    internal bool IsFetching(ref KvFetch? fetch, ReadOnlySpan<int> tokens, string scope)
    {
        if (_disk is null)
            return false;

        // What was read may have been evicted again while the sequence waited for room.
        if (fetch is { IsDone: true, Keys.Length: > 0 } && Walk(tokens, scope, out _) < fetch.FirstPage + fetch.ReadCount)
            fetch = null;
        fetch ??= StartFetch(_disk, tokens, scope) ?? KvFetch.Nothing;
        return !fetch.IsDone;
    }

    /// <summary>Makes findable what was read from disk since the last call: to be called before sequences are admitted.</summary>
    public void TakeFetched()
    {
        while (_disk is not null && _disk.TryTakeFetched(out KvFetch? fetch))
        {
            // Where somebody has computed or read the same meanwhile, those pages take the place of these.
            for (int i = 0; i < fetch.ReadCount; i++)
            {
                int page = fetch.FirstPage + i;
                Publish(fetch.Scope, fetch.Tokens.AsSpan(page * PageTokens, PageTokens), fetch.Pages, page);
            }

            Release(fetch.Pages);
            _fetching.Remove(fetch);
            fetch.IsDone = true;
        }
    }

    /// <summary>
    /// Queues cached pages to be written to disk, those used last first and no more than it holds, without evicting them: for the end of the process. False if more are left than the queue takes now.
    /// </summary>
    internal bool TrySpillAll()
    {
        if (_disk is null)
            return true;

        // More than the disk holds would push out those used last.
        int left = _disk.MaxPages;
        for (int page = _unused.Newest; page >= 0 && left > 0; page = _unused.Older(page), left--)
        {
            if (!Spill(page))
                return false;
        }

        return true;
    }

    /// <summary>Ends the disk's thread, after what is queued to be written. From any thread; what is evicted from now on is lost.</summary>
    internal void CloseDisk() => _disk?.Dispose();

    /// <summary>Waits until the disk's queue takes more, from any thread, at most <paramref name="timeout"/>; false if it does not.</summary>
    internal bool WaitForDisk(TimeSpan timeout) => _disk?.WaitForRoom(timeout) ?? false;

    private bool Spill(int page) => _disk is not null
        && _disk.Write(ParentKey(_index.Parent(page)), _keys[page], _index.Tokens(page), (byte*)_pool.PageAt(page));

    private KvFetch? StartFetch(KvDisk disk, ReadOnlySpan<int> tokens, string scope)
    {
        int found = Walk(tokens, scope, out int unusedCount);
        PageKey key = found == 0 ? PageKey.Root(_identity, scope) : _keys[_path[found - 1]];
        List<PageKey> keys = [];
        int room = AvailableCount - unusedCount, last = (tokens.Length - 1) / PageTokens;
        for (int i = found; i < last && keys.Count < room; i++)
        {
            key = key.Next(tokens.Slice(i * PageTokens, PageTokens));
            if (!disk.Contains(key))
                break;
            keys.Add(key);
        }

        if (keys.Count == 0 || (_computeMs > 0 && !disk.IsReadWithin(keys.Count * PageTokens * _computeMs, keys.Count)))
            return null;

        // Before pages are taken: what is evicted for them is written, and must not push these out.
        disk.Use(keys);
        var pages = new KvPageTable(found + keys.Count, PageTokens);
        for (int i = 0; i < found; i++)
        {
            Use(_path[i]);
            pages.Add(_pool.PageAt(_path[i]));
        }

        for (int i = 0; i < keys.Count; i++)
            pages.Add(Take());
        var fetch = new KvFetch(scope, tokens[..(pages.PageCount * PageTokens)].ToArray(), pages, found, [.. keys]);
        if (disk.Fetch(fetch))
        {
            _fetching.Add(fetch);
            return fetch;
        }

        Release(pages);
        return null;
    }

    private void SetKey(int page, int parent, ReadOnlySpan<int> content)
    {
        if (_disk is not null)
            _keys[page] = ParentKey(parent).Next(content);
    }

    private PageKey ParentKey(int parent) => _index.IsRoot(parent) ? PageKey.Root(_identity, _index.Scope(parent)) : _keys[parent];
}
