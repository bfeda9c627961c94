using System.Runtime.InteropServices;
using Conclave.Model;

namespace Conclave.Engine.Tests;

public sealed unsafe partial class KvPagePoolTests
{
    private static readonly KvLayout Layout = new(layerCount: 2, latentRank: 5, ropeWidth: 3, indexKeyWidth: 3);

    [Fact]
    public void Pages_are_aligned_disjoint_and_writable_to_the_last_byte()
    {
        using var pool = new KvPagePool(Layout, (5 * Layout.PageSizeBytes) + 17);
        Assert.Equal(5, pool.PageCount);
        var pages = Enumerable.Range(0, 5).Select(_ => pool.Take()).ToArray();
        Assert.All(pages, page => Assert.Equal(0, page % 64));
        for (int i = 0; i < pages.Length; i++)
            new Span<byte>((void*)pages[i], (int)Layout.PageSizeBytes).Fill((byte)(i + 1));
        for (int i = 0; i < pages.Length; i++)
            Assert.Equal(-1, new Span<byte>((void*)pages[i], (int)Layout.PageSizeBytes).IndexOfAnyExcept((byte)(i + 1)));
        Assert.Equal(0, pool.FreeCount);
        Assert.Throws<InvalidOperationException>(() => pool.Take());
    }

    [Fact]
    public void A_page_given_back_is_the_next_to_be_handed_out()
    {
        using var pool = new KvPagePool(Layout, 4 * Layout.PageSizeBytes);
        pool.Take();
        nint page = pool.Take();
        pool.Return(page);
        Assert.Equal(1, pool.HeldCount);
        Assert.Equal(page, pool.Take());
    }

    [Fact]
    public void Double_returns_and_foreign_pages_are_refused()
    {
        using var pool = new KvPagePool(Layout, 4 * Layout.PageSizeBytes);
        using var other = new KvPagePool(Layout, 4 * Layout.PageSizeBytes);
        nint page = pool.Take();
        pool.Return(page);
        Assert.Throws<InvalidOperationException>(() => pool.Return(page));
        Assert.Throws<InvalidOperationException>(() => pool.Return(other.Take()));
        Assert.Throws<InvalidOperationException>(() => pool.Return(page + 64));
        Assert.Throws<InvalidOperationException>(() => pool.Return(page - (nint)Layout.PageSizeBytes));
        Assert.Throws<InvalidOperationException>(() => pool.Return(0));
        Assert.Equal(4, pool.FreeCount);
    }

    [Fact]
    public void Returning_a_table_empties_it()
    {
        using var pool = new KvPagePool(Layout, 4 * Layout.PageSizeBytes);
        var table = new KvPageTable(3, Layout.PageTokens) { Length = 100 };
        table.Add(pool.Take());
        table.Add(pool.Take());
        pool.ReturnAll(table);
        Assert.Equal((0, 0, 4), (table.PageCount, table.Length, pool.FreeCount));
    }

    [Fact]
    public void Memory_for_less_than_a_page_is_refused_naming_the_option()
    {
        var error = Assert.Throws<ArgumentOutOfRangeException>(() => new KvPagePool(Layout, Layout.PageSizeBytes - 1));
        Assert.Contains("--kv-memory", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(64, 1)]
    [InlineData(65, 2)]
    [InlineData(4L << 30, 1 << 26)]
    public void Pages_for_tokens_are_rounded_up(long tokens, int pages) => Assert.Equal(pages, Layout.PagesFor(tokens));

    [Fact]
    public void A_large_pool_is_reserved_without_being_touched()
    {
        using var pool = new KvPagePool(Layout, 2L << 30);
        long untouched = ResidentBytes(pool);
        Assert.True(untouched < 256L << 20, $"reserving 2 GiB must not commit it, and {untouched} bytes are");

        // So that the question is known to have an answer.
        nint page = pool.PageAt(pool.PageCount / 2);
        new Span<byte>((void*)page, (int)Layout.PageSizeBytes).Fill(1);
        Assert.InRange(ResidentBytes(pool), untouched + 1, untouched + (256L << 20));
    }

    /// <summary>Bytes of the pool that are in memory; what else the process holds does not count.</summary>
    private static long ResidentBytes(KvPagePool pool)
    {
        long systemPage = Environment.SystemPageSize;
        long start = pool.PageAt(0) / systemPage * systemPage, end = pool.PageAt(pool.PageCount - 1) + pool.Layout.PageSizeBytes;
        var isResident = new byte[(end - start + systemPage - 1) / systemPage];
        fixed (byte* flags = isResident)
            Assert.Equal(0, mincore((void*)start, (nuint)(end - start), flags));
        return isResident.Count(flag => (flag & 1) != 0) * systemPage;
    }

    [LibraryImport("libc")]
    private static partial int mincore(void* start, nuint length, byte* isResident);
}
