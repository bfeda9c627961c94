using Conclave.Model.Checkpoints;

namespace Conclave.Model;

/// <summary>The three published architectures of the family (<c>model_type</c>).</summary>
public enum ModelType
{
    /// <summary><c>deepseek_v2</c>.</summary>
    DeepSeekV2,

    /// <summary><c>deepseek_v3</c>: V3, V3-0324, V3.1.</summary>
    DeepSeekV3,

    /// <summary><c>deepseek_v32</c>: V3.2, with the lightning indexer.</summary>
    DeepSeekV32,
}

/// <summary>How gate logits become scores (<c>scoring_func</c>).</summary>
public enum ScoringFunction
{
    /// <summary>Softmax over all routed experts (V2).</summary>
    Softmax,

    /// <summary>An independent sigmoid per expert (V3).</summary>
    Sigmoid,
}

/// <summary>How experts are chosen (<c>topk_method</c>).</summary>
public enum TopKMethod
{
    /// <summary>The k best scores of all experts.</summary>
    Greedy,

    /// <summary>Groups scored by their maximum, the k best of the groups kept (V2).</summary>
    GroupLimitedGreedy,

    /// <summary>Correction bias for choosing only, groups scored by their two best (V3, auxiliary-loss-free).</summary>
    NoAuxTc,
}

/// <summary>YaRN context extension (<c>rope_scaling</c> of type <c>yarn</c>; arXiv 2309.00071).</summary>
/// <param name="Factor">Extension factor, at least 1.</param>
/// <param name="OriginalMaxPositions">Positions of the pre-training, <c>original_max_position_embeddings</c>.</param>
/// <param name="BetaFast">Rotations above which a frequency is kept.</param>
/// <param name="BetaSlow">Rotations below which a frequency is divided by the factor.</param>
/// <param name="Mscale">Scale of cos and sin relative to <paramref name="MscaleAllDim"/>.</param>
/// <param name="MscaleAllDim">Scale that enters the softmax scale squared.</param>
public sealed record YarnScaling(double Factor, int OriginalMaxPositions, double BetaFast, double BetaSlow, double Mscale, double MscaleAllDim);

/// <summary>The immutable, validated architecture of a checkpoint, read from its <c>config.json</c>. Names in doc comments are the file's keys.</summary>
public sealed record ModelConfig
{
    /// <summary><c>model_type</c>.</summary>
    public required ModelType ModelType { get; init; }

    /// <summary><see cref="ModelType"/> as <c>config.json</c> writes it.</summary>
    public string ModelTypeName => ModelType switch
    {
        ModelType.DeepSeekV2 => "deepseek_v2",
        ModelType.DeepSeekV3 => "deepseek_v3",
        _ => "deepseek_v32",
    };

    /// <summary><c>vocab_size</c>: rows of the embedding and the head.</summary>
    public required int VocabularySize { get; init; }

    /// <summary><c>hidden_size</c>: width of the residual stream.</summary>
    public required int HiddenSize { get; init; }

    /// <summary><c>intermediate_size</c>: width of the dense layers' MLP.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary><c>moe_intermediate_size</c>: width of one routed expert.</summary>
    public required int MoeIntermediateSize { get; init; }

    /// <summary><c>num_hidden_layers</c>: main layers, without MTP modules.</summary>
    public required int LayerCount { get; init; }

    /// <summary><c>first_k_dense_replace</c>: leading layers with a dense MLP.</summary>
    public required int FirstDenseLayers { get; init; }

    /// <summary><c>moe_layer_freq</c>: of the later layers every n-th is MoE.</summary>
    public required int MoeLayerFrequency { get; init; }

    /// <summary><c>num_attention_heads</c>.</summary>
    public required int HeadCount { get; init; }

    /// <summary><c>q_lora_rank</c>; 0 where the query projection is direct.</summary>
    public required int QLoraRank { get; init; }

    /// <summary><c>kv_lora_rank</c>: width of the cached latent without its rope part.</summary>
    public required int KvLoraRank { get; init; }

    /// <summary><c>qk_nope_head_dim</c>.</summary>
    public required int QkNopeHeadDim { get; init; }

    /// <summary><c>qk_rope_head_dim</c>, even.</summary>
    public required int QkRopeHeadDim { get; init; }

    /// <summary><c>v_head_dim</c>.</summary>
    public required int VHeadDim { get; init; }

    /// <summary><c>n_routed_experts</c>; 0 for an all-dense model.</summary>
    public required int RoutedExpertCount { get; init; }

    /// <summary><c>n_shared_experts</c>: the shared MLP is this many experts wide; 0 for none.</summary>
    public required int SharedExpertCount { get; init; }

    /// <summary><c>num_experts_per_tok</c>.</summary>
    public required int ExpertsPerToken { get; init; }

    /// <summary><c>n_group</c>, at least 1; 1 where <see cref="TopKMethod"/> is greedy and groups do not matter.</summary>
    public required int GroupCount { get; init; }

    /// <summary><c>topk_group</c>: groups kept, 1 to <see cref="GroupCount"/>.</summary>
    public required int GroupsKept { get; init; }

    /// <summary><c>scoring_func</c>.</summary>
    public required ScoringFunction ScoringFunction { get; init; }

    /// <summary><c>topk_method</c>.</summary>
    public required TopKMethod TopKMethod { get; init; }

    /// <summary><c>norm_topk_prob</c>.</summary>
    public required bool NormalizeTopK { get; init; }

    /// <summary><c>routed_scaling_factor</c>.</summary>
    public required float RoutedScalingFactor { get; init; }

    /// <summary><c>rms_norm_eps</c>.</summary>
    public required float RmsNormEpsilon { get; init; }

    /// <summary><c>rope_theta</c>.</summary>
    public required double RopeTheta { get; init; }

    /// <summary>
    /// <c>rope_scaling</c> or <c>rope_parameters</c>; null where positions are not extended, also where <see cref="MaxPositions"/> does
    /// not exceed the original context (DeepSeek's reference program extends only beyond it).
    /// </summary>
    public required YarnScaling? RopeScaling { get; init; }

    /// <summary><c>max_position_embeddings</c>: the context length in tokens.</summary>
    public required int MaxPositions { get; init; }

    /// <summary><c>num_nextn_predict_layers</c>: MTP modules, stored as layers after the main ones; 0 once opened from a checkpoint that lacks them.</summary>
    public required int NextTokenPredictLayers { get; init; }

    /// <summary><c>index_n_heads</c> of the lightning indexer; 0 without one.</summary>
    public required int IndexHeadCount { get; init; }

    /// <summary><c>index_head_dim</c>; 0 without an indexer.</summary>
    public required int IndexHeadDim { get; init; }

    /// <summary><c>index_topk</c>: keys each query keeps; 0 without an indexer.</summary>
    public required int IndexTopK { get; init; }

    /// <summary><c>quantization_config.weight_block_size</c> of FP8 checkpoints (always 128 x 128); null where weights are not quantized.</summary>
    public required int? QuantizationBlockSize { get; init; }

    /// <summary><c>bos_token_id</c>.</summary>
    public required int? BosTokenId { get; init; }

    /// <summary><c>eos_token_id</c>, one or several.</summary>
    public required IReadOnlyList<int> EosTokenIds { get; init; }

    /// <summary><c>tie_word_embeddings</c>: the head is the embedding.</summary>
    public required bool TieWordEmbeddings { get; init; }

    /// <summary>Floats of one token's cache row in one layer: the normalized latent, then the rotated shared key.</summary>
    public int LatentWidth => KvLoraRank + QkRopeHeadDim;

    /// <summary>Whether <paramref name="layer"/> (MTP layers included, counted after the main ones) has routed experts.</summary>
    public bool IsMoeLayer(int layer) =>
        RoutedExpertCount > 0 && layer >= FirstDenseLayers && (layer >= LayerCount || layer % MoeLayerFrequency == 0);

    /// <summary>Reads and validates <c>config.json</c> in <paramref name="directory"/>.</summary>
    /// <exception cref="CheckpointException">A key is missing, unknown in value or contradicts another; the message names it.</exception>
    public static ModelConfig Load(string directory) => LoadFile(Path.Combine(directory, "config.json"));

    /// <summary>Reads and validates the configuration file <paramref name="path"/>.</summary>
    /// <exception cref="CheckpointException">A key is missing, unknown in value or contradicts another; the message names it.</exception>
    public static ModelConfig LoadFile(string path) => ConfigParser.Read(path);
}
