namespace Conclave.Model.Attention;

/// <summary>Intermediate values of attention, for the most rows of a pass; shared by all layers.</summary>
internal sealed unsafe class AttentionBuffers(ModelConfig config, int maxRows, Arena arena)
{
    /// <summary>Normalized low-rank queries <c>[rows, q_lora_rank]</c>.</summary>
    public float* QueryLatents { get; } = arena.Floats((long)maxRows * config.QLoraRank);

    /// <summary>Queries <c>[rows, heads, qk_nope_head_dim + qk_rope_head_dim]</c>.</summary>
    public float* Queries { get; } = arena.Floats((long)maxRows * config.HeadCount * (config.QkNopeHeadDim + config.QkRopeHeadDim));

    /// <summary>Latents and shared keys before norm and rotation <c>[rows, kv_lora_rank + qk_rope_head_dim]</c>.</summary>
    public float* Latents { get; } = arena.Floats((long)maxRows * config.LatentWidth);

    /// <summary>Absorbed queries <c>[rows, heads, kv_lora_rank + qk_rope_head_dim]</c>.</summary>
    public float* LatentQueries { get; } = arena.Floats((long)maxRows * config.HeadCount * config.LatentWidth);

    /// <summary>Weighted latents <c>[rows, heads, kv_lora_rank]</c>.</summary>
    public float* LatentOutputs { get; } = arena.Floats((long)maxRows * config.HeadCount * config.KvLoraRank);

    /// <summary>Head outputs <c>[rows, heads, v_head_dim]</c>.</summary>
    public float* HeadOutputs { get; } = arena.Floats((long)maxRows * config.HeadCount * config.VHeadDim);

    /// <summary>Indexer queries <c>[rows, index_n_heads, index_head_dim]</c>.</summary>
    public float* IndexQueries { get; } = arena.Floats((long)maxRows * config.IndexHeadCount * config.IndexHeadDim);

    /// <summary>Indexer head weights <c>[rows, index_n_heads]</c>.</summary>
    public float* IndexWeights { get; } = arena.Floats((long)maxRows * config.IndexHeadCount);

    /// <summary>Indexer keys before norm and rotation <c>[rows, index_head_dim]</c>.</summary>
    public float* IndexKeys { get; } = arena.Floats((long)maxRows * config.IndexHeadDim);

    /// <summary>Chosen key positions <c>[rows, index_topk]</c> of rows that see more keys than are kept.</summary>
    public int* Selection { get; } = arena.Ints((long)maxRows * config.IndexTopK);

    /// <summary>
    /// The key positions that <paramref name="row"/> attends to, and their number in <paramref name="keyCount"/>, which comes in as all it may see; null if those are all.
    /// </summary>
    public int* Selected(int row, ref int keyCount)
    {
        if (keyCount <= config.IndexTopK)
            return null;
        keyCount = config.IndexTopK;
        return Selection + ((long)row * config.IndexTopK);
    }
}
