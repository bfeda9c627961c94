using Conclave.Model.Kernels;

namespace Conclave.Model.Attention;

/// <summary>Intermediate values of attention, for the most rows of a pass; shared by all layers.</summary>
internal sealed unsafe class AttentionBuffers
{
    private const long MostScores = 1 << 20;
    private readonly float* _slots;
    private readonly float* _tileStates;
    private readonly long _slotFloats;

    /// <summary>Buffers for passes of at most <paramref name="maxRows"/> rows on <paramref name="threads"/> threads.</summary>
    public AttentionBuffers(ModelConfig c, int maxRows, int threads, Arena arena)
    {
        QueryLatents = arena.Floats((long)maxRows * c.QLoraRank);
        Queries = arena.Floats((long)maxRows * c.HeadCount * (c.QkNopeHeadDim + c.QkRopeHeadDim));
        Latents = arena.Floats((long)maxRows * c.LatentWidth);
        LatentQueries = arena.Floats((long)maxRows * c.HeadCount * Padded(c.LatentWidth));
        LatentOutputs = arena.Floats((long)maxRows * c.HeadCount * Padded(c.KvLoraRank));
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

        TileStarts = arena.Ints(maxRows + 1);
        // Split tiles number fewer than four a thread, so that each has at least four slots.
        SlotCount = 16 * threads;
        _slotFloats = LatentAttention.TileQueries * (Padded(c.KvLoraRank) + 2L);
        _slots = arena.Floats(SlotCount * _slotFloats);
        _tileStates = arena.Floats(4L * threads * 2 * LatentAttention.TileQueries);
    }

    /// <summary>Normalized low-rank queries <c>[rows, q_lora_rank]</c>.</summary>
    public float* QueryLatents { get; }

    /// <summary>Queries <c>[rows, heads, qk_nope_head_dim + qk_rope_head_dim]</c>.</summary>
    public float* Queries { get; }

    /// <summary>Latents and shared keys before norm and rotation <c>[rows, kv_lora_rank + qk_rope_head_dim]</c>.</summary>
    public float* Latents { get; }

    /// <summary>Absorbed queries <c>[rows, heads, kv_lora_rank + qk_rope_head_dim]</c>, filled up with zeros to whole vectors.</summary>
    public float* LatentQueries { get; }

    /// <summary>Weighted latents <c>[rows, heads, kv_lora_rank]</c>, filled up to whole vectors with values of no account.</summary>
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

    /// <summary>First rows of the tiles that attention cuts a pass into, and behind them the number of rows.</summary>
    public int* TileStarts { get; }

    /// <summary>Places for segments of tiles under way.</summary>
    public int SlotCount { get; }

    /// <summary><paramref name="width"/> rounded up to whole vectors.</summary>
    public static int Padded(int width) => (width + Lanes.Count - 1) / Lanes.Count * Lanes.Count;

    /// <summary>A segment's outputs, then its maxima and sums.</summary>
    public float* Slot(int index) => _slots + (index * _slotFloats);

    /// <summary>Maxima and sums of a tile's segments so far.</summary>
    public float* TileState(int index) => _tileStates + (index * 2L * LatentAttention.TileQueries);
}
