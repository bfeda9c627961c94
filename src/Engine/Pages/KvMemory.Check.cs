using Conclave.Model;

namespace Conclave.Engine.Pages;

/// <summary>The integrity check.</summary>
public sealed unsafe partial class KvMemory
{
    /// <summary>
    /// Checks that every page is free, held or cached, exactly once; that each is held by as many as its count says; that every cached page is found by its tokens, and that nothing is evicted
    /// before what continues it. Null, or what is wrong.
    /// </summary>
    /// <param name="holders">The tables of all sequences that hold pages.</param>
    public string? FindFault(IEnumerable<KvPageTable> holders)
    {
        ArgumentNullException.ThrowIfNull(holders);
        if ((_pool.FindFault() ?? _index.FindFault()) is { } fault)
            return fault;
        var expected = new int[PageCount];
        foreach (KvPageTable table in holders.Concat(_fetching.Select(fetch => fetch.Pages)))
        {
            for (int i = 0; i < table.PageCount; i++)
                expected[IndexOf(table, i)]++;
        }

        for (int page = 0; page < PageCount; page++)
        {
            int holderCount = expected[page] + (_index.Contains(page) ? 1 : 0);
            if (_pool.Holders(page) != holderCount)
                return $"KV page {page} has {holderCount} holders, and {_pool.Holders(page)} are counted";
            if (_unused.Contains(page) != (_index.Contains(page) && expected[page] == 0))
                return $"KV page {page} has {expected[page]} sequences, and is {(_unused.Contains(page) ? "" : "not ")}among those that nobody uses";
        }

        return FindOrderFault();
    }

    /// <summary>
    /// Checks while no sequence holds pages, and begins anew if something is wrong: what is cached is not to be trusted then. Null, or what was wrong.
    /// </summary>
    internal string? Repair()
    {
        string? fault = FindFault([]);

        // Pages that are being read must stay where they are: the next check finds it again.
        if (fault is not null && _fetching.Count == 0)
        {
            _pool.Reset();
            _unused.Clear();
            _index.Clear();
        }

        return fault;
    }

    private string? FindOrderFault()
    {
        var isLater = new bool[PageCount];
        int count = 0;
        for (int page = _unused.Newest; page >= 0 && count <= PageCount; page = _unused.Older(page), count++)
        {
            int parent = _index.Parent(page);
            if (!_index.IsRoot(parent) && _unused.Contains(parent) && !isLater[parent])
                return $"KV page {parent} would be evicted before page {page}, which continues it";
            isLater[page] = true;
        }

        return count == _unused.Count ? null : $"{count} pages are listed as unused, {_unused.Count} are counted";
    }
}
