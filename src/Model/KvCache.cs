using Conclave.Model.Kernels;

namespace Conclave.Model;

/// <summary>
/// Shape of one KV page: <see cref="PageTokens"/> tokens of every layer. In order: for each layer the latent rows of its tokens, then for each layer its
/// indexer keys in blocks of <see cref="BlockTokens"/>. A latent row is <c>kv_lora_rank</c> values (FP8: codes, filled up to a multiple of 4, and float32 scales), then the
/// rotated key of <c>qk_rope_head_dim</c> values. A block of indexer keys lies transposed, <c>[index_head_dim, 64]</c> (FP8: then 64 float32 scales).
/// </summary>
public sealed record KvLayout
{
    /// <summary>Tokens that attention takes at a time; pages are whole numbers of blocks, so that the order of sums does not depend on the page size.</summary>
    public const int BlockTokens = 64;

    /// <summary>The largest page.</summary>
    public const int MaxPageTokens = 4096;

    private const int Alignment = 64;

    /// <summary>Describes pages.</summary>
    /// <param name="layerCount">Main layers plus MTP layers.</param>
    /// <param name="latentRank"><c>kv_lora_rank</c>.</param>
    /// <param name="ropeWidth"><c>qk_rope_head_dim</c>.</param>
    /// <param name="indexKeyWidth"><c>index_head_dim</c>, 0 without an indexer.</param>
    /// <param name="options">Stored type and page size; null for the defaults.</param>
    /// <exception cref="ArgumentOutOfRangeException">The options are out of range.</exception>
    public KvLayout(int layerCount, int latentRank, int ropeWidth, int indexKeyWidth, KvOptions? options = null)
    {
        options ??= new KvOptions();
        options.Validate();
        LayerCount = layerCount;
        LatentRank = latentRank;
        RopeWidth = ropeWidth;
        IndexKeyWidth = indexKeyWidth;
        Type = options.Type;
        PageTokens = options.PageTokens;
        var size = Type switch { KvType.F32 => sizeof(float), KvType.BF16 => sizeof(ushort), _ => 1 };
        RopeOffset = Type == KvType.FP8 ? LatentScaleOffset + (ScalesOf(latentRank) * sizeof(float)) : latentRank * size;
        LatentRowSizeBytes = RopeOffset + (ropeWidth * (Type == KvType.F32 ? sizeof(float) : sizeof(ushort)));
        IndexBlockSizeBytes = indexKeyWidth == 0 ? 0 : (indexKeyWidth * BlockTokens * size) + (Type == KvType.FP8 ? BlockTokens * sizeof(float) : 0);
        LatentAreaSizeBytes = Align((long)PageTokens * LatentRowSizeBytes);
        IndexAreaSizeBytes = Align((long)PageTokens / BlockTokens * IndexBlockSizeBytes);
        PageSizeBytes = LayerCount * (LatentAreaSizeBytes + IndexAreaSizeBytes);
    }

    /// <summary>Main layers plus MTP layers.</summary>
    public int LayerCount { get; }

    /// <summary><c>kv_lora_rank</c>.</summary>
    public int LatentRank { get; }

    /// <summary><c>qk_rope_head_dim</c>.</summary>
    public int RopeWidth { get; }

    /// <summary><c>kv_lora_rank + qk_rope_head_dim</c>: values of a latent row.</summary>
    public int LatentWidth => LatentRank + RopeWidth;

    /// <summary><c>index_head_dim</c>, 0 without an indexer.</summary>
    public int IndexKeyWidth { get; }

    /// <summary>Stored type.</summary>
    public KvType Type { get; }

    /// <summary>Tokens a page holds; also the granularity of the prefix cache that the API reports.</summary>
    public int PageTokens { get; }

    /// <summary>Bytes of one latent row.</summary>
    public int LatentRowSizeBytes { get; }

    /// <summary>Bytes of a block of indexer keys.</summary>
    public int IndexBlockSizeBytes { get; }

    /// <summary>Bytes of one page.</summary>
    public long PageSizeBytes { get; }

    /// <summary>Bytes one token takes, all layers; the little that aligns a page's areas is spread over its tokens and rounded up.</summary>
    public long TokenSizeBytes => (PageSizeBytes + PageTokens - 1) / PageTokens;

    /// <summary>FP8: bytes from a latent row's start to its scales.</summary>
    internal int LatentScaleOffset => (LatentRank + 3) / 4 * 4;

    /// <summary>Bytes from a latent row's start to its rotated key.</summary>
    internal int RopeOffset { get; }

    private long LatentAreaSizeBytes { get; }

    private long IndexAreaSizeBytes { get; }

    /// <summary>The layout that <paramref name="config"/> needs.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The options are out of range.</exception>
    public static KvLayout For(ModelConfig config, KvOptions? options = null) =>
        new(config.LayerCount + config.NextTokenPredictLayers, config.KvLoraRank, config.QkRopeHeadDim, config.IndexHeadDim, options);

    /// <summary>Pages that <paramref name="tokenCount"/> tokens take.</summary>
    public int PagesFor(long tokenCount) => checked((int)((tokenCount + PageTokens - 1) / PageTokens));

    /// <summary>Bytes from the page's start to the latent rows of <paramref name="layer"/>.</summary>
    public long LatentOffset(int layer) => layer * LatentAreaSizeBytes;

    /// <summary>Bytes from the page's start to the indexer keys of <paramref name="layer"/>.</summary>
    public long IndexKeyOffset(int layer) => (LayerCount * LatentAreaSizeBytes) + (layer * IndexAreaSizeBytes);

    /// <summary>Sets latents and indexer keys of one layer at positions <paramref name="start"/>... to zeros.</summary>
    internal unsafe void Clear(KvPageTable pages, int layer, int start, int count)
    {
        for (var position = start; position < start + count; position++)
        {
            new Span<byte>(pages.LatentRow(this, layer, position), LatentRowSizeBytes).Clear();
            KvRows.ClearIndexKey(this, pages.IndexBlock(this, layer, position), position % BlockTokens);
        }
    }

    /// <summary>Whether the latents of one layer at <paramref name="position"/> are all zeros, which those of a token are not: they come from a norm.</summary>
    internal unsafe bool IsClear(KvPageTable pages, int layer, int position) =>
        !new ReadOnlySpan<byte>(pages.LatentRow(this, layer, position), LatentRowSizeBytes).ContainsAnyExcept((byte)0);

    /// <summary>What pages must have in common to be understood by another engine: type, page size, bytes.</summary>
    public override string ToString() => $"{PageTokens} tokens as {Type} ({PageSizeBytes} bytes)";

    private static int ScalesOf(int width) => (width + Fp8.ActivationBlock - 1) / Fp8.ActivationBlock;

    private static long Align(long sizeBytes) => (sizeBytes + Alignment - 1) / Alignment * Alignment;
}

/// <summary>
/// The KV pages of one sequence, in order. It does not own the memory: the engine's page pool does. Not thread-safe; only the
/// thread that runs the step may touch it while a step runs.
/// </summary>
/// <param name="maxPages">The most pages the sequence can ever have; the table never grows, so decoding allocates nothing.</param>
/// <param name="pageTokens">Tokens of a page: <see cref="KvLayout.PageTokens"/>.</param>
public sealed unsafe class KvPageTable(int maxPages, int pageTokens)
{
    private readonly nint[] _pages = new nint[maxPages];

    /// <summary>Tokens of a page.</summary>
    public int PageTokens => pageTokens;

    /// <summary>Pages held.</summary>
    public int PageCount { get; private set; }

    /// <summary>Tokens stored; the next token's position. <see cref="Transformer.Forward"/> advances it.</summary>
    public int Length { get; set; }

    /// <summary>Tokens for which pages are held.</summary>
    public int Capacity => PageCount * pageTokens;

    /// <summary>Start of page <paramref name="index"/>.</summary>
    public byte* Page(int index) => (byte*)_pages[index];

    /// <summary>Pages that <paramref name="tokenCount"/> tokens take.</summary>
    public int PagesFor(long tokenCount) => checked((int)((tokenCount + pageTokens - 1) / pageTokens));

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

    /// <summary>The latent row of <paramref name="position"/> in <paramref name="layer"/>; the rows of a page follow each other.</summary>
    internal byte* LatentRow(KvLayout layout, int layer, int position) =>
        Page(position / pageTokens) + layout.LatentOffset(layer) + ((long)(position % pageTokens) * layout.LatentRowSizeBytes);

    /// <summary>The block of indexer keys in <paramref name="layer"/> that <paramref name="position"/> belongs to.</summary>
    internal byte* IndexBlock(KvLayout layout, int layer, int position) =>
        Page(position / pageTokens) + layout.IndexKeyOffset(layer) + ((long)(position % pageTokens / KvLayout.BlockTokens) * layout.IndexBlockSizeBytes);
}
