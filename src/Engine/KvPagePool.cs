using System.Runtime.InteropServices;
using Conclave.Model;

namespace Conclave.Engine;

/// <summary>
/// Native memory cut into KV pages, how many hold each of them, and the list of those that nobody holds. The memory is reserved at once and committed by
/// the operating system page by page as it is first written; pages given back are handed out first, so that little is ever touched. Not thread-safe.
/// </summary>
public sealed unsafe class KvPagePool : IDisposable
{
    private const nuint AlignmentSizeBytes = 64;

    private readonly nuint _pageSizeBytes;
    private readonly int[] _free;
    private readonly int[] _holders;
    private byte* _memory;

    /// <summary>Reserves as many pages of <paramref name="layout"/> as <paramref name="memorySizeBytes"/> holds.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not even one page fits.</exception>
    /// <exception cref="OutOfMemoryException">The operating system refuses that much.</exception>
    public KvPagePool(KvLayout layout, long memorySizeBytes)
    {
        ArgumentNullException.ThrowIfNull(layout);
        if (memorySizeBytes < layout.PageSizeBytes)
        {
            throw new ArgumentOutOfRangeException(
                null, $"--kv-memory: {memorySizeBytes} bytes hold no KV page; this model needs {layout.PageSizeBytes} bytes for {layout.PageTokens} tokens");
        }

        int pageCount = (int)Math.Min(memorySizeBytes / layout.PageSizeBytes, Array.MaxLength);
        Layout = layout;
        _pageSizeBytes = (nuint)layout.PageSizeBytes;
        try
        {
            _memory = (byte*)NativeMemory.AlignedAlloc((nuint)pageCount * _pageSizeBytes, AlignmentSizeBytes);
        }
        catch (OutOfMemoryException inner)
        {
            throw new OutOfMemoryException($"The operating system refuses {memorySizeBytes} bytes of KV memory; use a smaller --kv-memory.", inner);
        }

        _holders = new int[pageCount];
        _free = new int[pageCount];
        for (int i = 0; i < pageCount; i++)
            _free[i] = pageCount - 1 - i;
        FreeCount = pageCount;
    }

    /// <summary>Pages in all.</summary>
    public int PageCount => _free.Length;

    /// <summary>Pages nobody holds.</summary>
    public int FreeCount { get; private set; }

    /// <summary>Pages held.</summary>
    public int HeldCount => PageCount - FreeCount;

    /// <summary>Shape of the pages.</summary>
    public KvLayout Layout { get; }

    /// <summary>Takes one page; its content is undefined.</summary>
    /// <exception cref="InvalidOperationException">None is free: look at <see cref="FreeCount"/> first.</exception>
    public nint Take()
    {
        if (FreeCount == 0)
            throw new InvalidOperationException("No KV page is free.");
        int index = _free[--FreeCount];
        _holders[index] = 1;
        return PageAt(index);
    }

    /// <summary>Adds a holder to page <paramref name="index"/>, which somebody holds.</summary>
    /// <exception cref="InvalidOperationException">Nobody holds it.</exception>
    public void Share(int index)
    {
        if (_holders[index] == 0)
            throw new InvalidOperationException($"KV page {index} is free and cannot be shared.");
        _holders[index]++;
    }

    /// <summary>Takes one holder off <paramref name="page"/>; without any it is free.</summary>
    /// <exception cref="InvalidOperationException">The page is not of this pool, or has no holder.</exception>
    public void Return(nint page)
    {
        int index = IndexOf(page);
        if (_holders[index] == 0)
            throw new InvalidOperationException($"KV page {index} came back twice.");
        if (--_holders[index] == 0)
            _free[FreeCount++] = index;
    }

    /// <summary>How many hold page <paramref name="index"/>; 0 for a free one.</summary>
    public int Holders(int index) => _holders[index];

    /// <summary>Start of page <paramref name="index"/>.</summary>
    public nint PageAt(int index) => (nint)(_memory + ((nuint)index * _pageSizeBytes));

    /// <summary>The index of <paramref name="page"/>, below <see cref="PageCount"/>.</summary>
    /// <exception cref="InvalidOperationException">It is not of this pool.</exception>
    public int IndexOf(nint page)
    {
        nuint offset = (nuint)(page - (nint)_memory);
        nuint index = offset / _pageSizeBytes;
        if (page < (nint)_memory || index >= (nuint)PageCount || offset % _pageSizeBytes != 0)
            throw new InvalidOperationException("A KV page came back that is not of this pool.");
        return (int)index;
    }

    /// <summary>Whether every page is either free, once, or held; null, or what is wrong.</summary>
    public string? FindFault()
    {
        var isFree = new bool[PageCount];
        for (int i = 0; i < FreeCount; i++)
        {
            int page = _free[i];
            if (_holders[page] != 0 || isFree[page])
                return $"KV page {page} is free, yet {(isFree[page] ? "listed twice" : "held")}";
            isFree[page] = true;
        }

        for (int page = 0; page < PageCount; page++)
        {
            if (_holders[page] <= 0 && !isFree[page])
                return $"KV page {page} is neither free nor held";
        }

        return null;
    }

    /// <summary>Gives every page of <paramref name="pages"/> back and empties the table.</summary>
    /// <exception cref="InvalidOperationException">As <see cref="Return"/>.</exception>
    public void ReturnAll(KvPageTable pages)
    {
        ArgumentNullException.ThrowIfNull(pages);
        for (int i = pages.PageCount - 1; i >= 0; i--)
            Return((nint)pages.Page(i));
        pages.Clear();
    }

    /// <summary>Takes every page from whoever holds it.</summary>
    public void Reset()
    {
        Array.Clear(_holders);
        FreeCount = PageCount;
        for (int i = 0; i < PageCount; i++)
            _free[i] = PageCount - 1 - i;
    }

    /// <summary>Frees the memory; no page may be used any more.</summary>
    public void Dispose()
    {
        NativeMemory.AlignedFree(_memory);
        _memory = null;
        FreeCount = 0;
    }
}
