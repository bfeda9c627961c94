using Conclave.Model;

namespace Conclave.Engine.Pages;

/// <summary>Pages on their way from disk to memory, for a sequence that waits for them. Belongs to the memory that made it.</summary>
internal sealed class KvFetch
{
    /// <summary>Nothing to read: the sequence need not wait.</summary>
    public static readonly KvFetch Nothing = new("", [], new KvPageTable(0, 1), 0, []) { IsDone = true };

    public KvFetch(string scope, int[] tokens, KvPageTable pages, int firstPage, PageKey[] keys) =>
        (Scope, Tokens, Pages, FirstPage, Keys) = (scope, tokens, pages, firstPage, keys);

    /// <summary>Whether the sequence can go on; what was read is cached by then.</summary>
    public bool IsDone { get; set; }

    /// <summary>The scope of the tokens.</summary>
    public string Scope { get; }

    /// <summary>Tokens of all <see cref="Pages"/>.</summary>
    public int[] Tokens { get; }

    /// <summary>Cached pages first, then those to be read, which nobody else knows.</summary>
    public KvPageTable Pages { get; }

    /// <summary>The first page to be read.</summary>
    public int FirstPage { get; }

    /// <summary>Keys of the pages to be read.</summary>
    public PageKey[] Keys { get; }

    /// <summary>How many of them were read. Written by the disk's thread before it hands the fetch back.</summary>
    public int ReadCount { get; set; }
}
