namespace Conclave.Model;

/// <summary>
/// Shape of one KV page: <see cref="PageTokens"/> tokens of every layer. Floats of a page, in order: for each layer
/// <c>[PageTokens, LatentWidth]</c> latents, then for each layer <c>[PageTokens, IndexKeyWidth]</c> indexer keys.
/// </summary>
/// <param name="LayerCount">Main layers plus MTP layers.</param>
/// <param name="LatentWidth"><c>kv_lora_rank + qk_rope_head_dim</c>.</param>
/// <param name="IndexKeyWidth"><c>index_head_dim</c>, 0 without an indexer.</param>
public sealed record KvLayout(int LayerCount, int LatentWidth, int IndexKeyWidth)
{
    /// <summary>Tokens a page holds; also the granularity of the prefix cache that the API reports.</summary>
    public const int PageTokens = 64;

    /// <summary>The layout that <paramref name="config"/> needs.</summary>
    public static KvLayout For(ModelConfig config) =>
        new(config.LayerCount + config.NextTokenPredictLayers, config.LatentWidth, config.IndexHeadDim);

    /// <summary>Bytes of one page (float32).</summary>
    public long PageSizeBytes => (long)LayerCount * PageTokens * (LatentWidth + IndexKeyWidth) * sizeof(float);

    /// <summary>Bytes one token takes, all layers.</summary>
    public long TokenSizeBytes => PageSizeBytes / PageTokens;

    /// <summary>Floats from the page's start to the latents of <paramref name="layer"/>.</summary>
    public int LatentOffset(int layer) => layer * PageTokens * LatentWidth;

    /// <summary>Floats from the page's start to the indexer keys of <paramref name="layer"/>.</summary>
    public int IndexKeyOffset(int layer) => (LayerCount * PageTokens * LatentWidth) + (layer * PageTokens * IndexKeyWidth);

    /// <summary>Sets latents and indexer keys of one layer at positions <paramref name="start"/>... to zeros.</summary>
    internal unsafe void Clear(KvPageTable pages, int layer, int start, int count)
    {
        for (var position = start; position < start + count; position++)
        {
            var page = pages.Page(position / PageTokens);
            var slot = position % PageTokens;
            new Span<float>(page + LatentOffset(layer) + (slot * LatentWidth), LatentWidth).Clear();
            new Span<float>(page + IndexKeyOffset(layer) + (slot * IndexKeyWidth), IndexKeyWidth).Clear();
        }
    }
}

/// <summary>
/// The KV pages of one sequence, in order. It does not own the memory: the engine's page pool does. Not thread-safe; only the
/// thread that runs the step may touch it while a step runs.
/// </summary>
/// <param name="maxPages">The most pages the sequence can ever have; the table never grows, so decoding allocates nothing.</param>
public sealed unsafe class KvPageTable(int maxPages)
{
    private readonly nint[] _pages = new nint[maxPages];

    /// <summary>Pages held.</summary>
    public int PageCount { get; private set; }

    /// <summary>Tokens stored; the next token's position. <see cref="Transformer.Forward"/> advances it.</summary>
    public int Length { get; set; }

    /// <summary>Tokens for which pages are held.</summary>
    public int Capacity => PageCount * KvLayout.PageTokens;

    /// <summary>Start of page <paramref name="index"/>.</summary>
    public float* Page(int index) => (float*)_pages[index];

    /// <summary>Appends a page that the pool handed out.</summary>
    public void Add(nint page) => _pages[PageCount++] = page;

    /// <summary>Puts <paramref name="page"/>, which holds the same latents, in the place of page <paramref name="index"/>.</summary>
    public void Replace(int index, nint page)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)PageCount, nameof(index));
        _pages[index] = page;
    }

    /// <summary>Forgets all pages (after the pool has taken them back) and every token.</summary>
    public void Clear()
    {
        PageCount = 0;
        Length = 0;
    }
}
