using Conclave.Model.Kernels;

namespace Conclave.Model.Attention;

/// <summary>Intermediate values of attention, for the most rows of a pass; shared by all layers.</summary>
internal sealed unsafe class AttentionBuffers
{
    private const long MostScores = 1 << 20;
    private const int MostWindowRows = 128;
    private readonly float* _slots;
    private readonly int _valueWidth;

    /// <summary>Buffers for passes of at most <paramref name="maxRows"/> rows on <paramref name="threads"/> threads.</summary>
    public AttentionBuffers(ModelConfig c, int maxRows, int threads, Arena arena)
    {
        QueryLatents = arena.Floats((long)maxRows * c.QLoraRank);
        Queries = arena.Floats((long)maxRows * c.HeadCount * (c.QkNopeHeadDim + c.QkRopeHeadDim));
        Latents = arena.Floats((long)maxRows * c.LatentWidth);
        WindowRows = Math.Min(maxRows, MostWindowRows);
        LatentQueries = arena.Floats((long)WindowRows * c.HeadCount * Padded(c.LatentWidth));
        LatentOutputs = arena.Floats((long)WindowRows * c.HeadCount * Padded(c.KvLoraRank));
        HeadOutputs = arena.Floats((long)maxRows * c.HeadCount * c.VHeadDim);
        IndexQueries = arena.Floats((long)maxRows * c.IndexHeadCount * c.IndexHeadDim);
        IndexWeights = arena.Floats((long)maxRows * c.IndexHeadCount);
        IndexKeys = arena.Floats((long)maxRows * c.IndexHeadDim);
        Selection = arena.Ints((long)maxRows * c.IndexTopK);
        if (c.IndexTopK > 0)
        {
            // Enough for one row at the end of the context; more rows share what a few megabytes hold.
            var longest = (long)(c.MaxPositions + KvLayout.BlockTokens - 1) / KvLayout.BlockTokens * KvLayout.BlockTokens;
            ScoreFloats = Math.Max(longest, Math.Min(maxRows * longest, MostScores));
            IndexScores = arena.Floats(ScoreFloats);
            ScoreStarts = (long*)arena.Bytes((long)maxRows * sizeof(long));
            ScoreTiles = arena.Ints(2L * maxRows);
        }

        TileStarts = arena.Ints(WindowRows + 1);
        TileOrder = arena.Ints(WindowRows);
        // Tiles that are shared by threads number fewer than LargeItems a thread, so that each has at least two slots.
        SlotCount = 2 * LatentAttention.LargeItems * threads;
        _valueWidth = c.KvLoraRank;
        _slots = arena.Floats((SlotCount + (LatentAttention.LargeItems * threads)) * TilePart.Floats(_valueWidth));
    }

    /// <summary>Normalized low-rank queries <c>[rows, q_lora_rank]</c>.</summary>
    public float* QueryLatents { get; }

    /// <summary>Queries <c>[rows, heads, qk_nope_head_dim + qk_rope_head_dim]</c>.</summary>
    public float* Queries { get; }

    /// <summary>Latents and shared keys before norm and rotation <c>[rows, kv_lora_rank + qk_rope_head_dim]</c>.</summary>
    public float* Latents { get; }

    /// <summary>Rows that are in latent space at a time.</summary>
    public int WindowRows { get; }

    /// <summary>Absorbed queries <c>[window rows, heads, kv_lora_rank + qk_rope_head_dim]</c>, filled up with zeros to whole vectors.</summary>
    public float* LatentQueries { get; }

    /// <summary>Weighted latents <c>[window rows, heads, kv_lora_rank]</c>, filled up to whole vectors with values of no account.</summary>
    public float* LatentOutputs { get; }

    /// <summary>Head outputs <c>[rows, heads, v_head_dim]</c>.</summary>
    public float* HeadOutputs { get; }

    /// <summary>Indexer queries <c>[rows, index_n_heads, index_head_dim]</c>.</summary>
    public float* IndexQueries { get; }

    /// <summary>Indexer head weights <c>[rows, index_n_heads]</c>.</summary>
    public float* IndexWeights { get; }

    /// <summary>Indexer keys before norm and rotation <c>[rows, index_head_dim]</c>.</summary>
    public float* IndexKeys { get; }

    /// <summary>Chosen key positions <c>[rows, index_topk]</c> of rows that see more keys than are kept.</summary>
    public int* Selection { get; }

    /// <summary>Floats of <see cref="IndexScores"/>.</summary>
    public long ScoreFloats { get; }

    /// <summary>The indexer's scores of the rows under way, one row behind the other.</summary>
    public float* IndexScores { get; }

    /// <summary>Where each row's scores begin.</summary>
    public long* ScoreStarts { get; }

    /// <summary>First row and number of rows of the tiles that are scored together.</summary>
    public int* ScoreTiles { get; }

    /// <summary>First rows of the tiles that attention cuts a window into, and behind them the window's end.</summary>
    public int* TileStarts { get; }

    /// <summary>Tiles in the order in which they are handed out.</summary>
    public int* TileOrder { get; }

    /// <summary>Places for segments of tiles under way.</summary>
    public int SlotCount { get; }

    /// <summary><paramref name="width"/> rounded up to whole vectors.</summary>
    public static int Padded(int width) => (width + Lanes.Count - 1) / Lanes.Count * Lanes.Count;

    /// <summary>A segment of a tile that threads share.</summary>
    public TilePart Slot(int index) => new(_slots + (index * TilePart.Floats(_valueWidth)), _valueWidth);

    /// <summary>The segments so far of a tile that threads share.</summary>
    public TilePart Total(int index) => Slot(SlotCount + index);
}
