using System.Text.Json;

namespace Conclave.Model.Checkpoints;

/// <summary>
/// Turns a <c>config.json</c> of the family into a <see cref="ModelConfig"/>. Sizes are required; where a key may be absent its default is
/// that of the published configuration class of the model type (<c>configuration_deepseek.py</c>). Keys that do not concern inference are ignored.
/// </summary>
internal static class ConfigParser
{
    /// <summary>Far above any real file; guards memory.</summary>
    private const long MaxFileSizeBytes = 16 << 20;

    // Bounds far above any published model that keep every product of two or three sizes inside an int.
    private const int MaxWidth = 1 << 20;
    private const int MaxHeadDim = 4096;
    private const int MaxRank = 16384;

    private static readonly Dictionary<string, ModelType> ModelTypes = new()
    {
        ["deepseek_v2"] = ModelType.DeepSeekV2,
        ["deepseek_v3"] = ModelType.DeepSeekV3,
        ["deepseek_v32"] = ModelType.DeepSeekV32,
    };

    private static readonly Dictionary<string, ScoringFunction> ScoringFunctions = new()
    {
        ["softmax"] = ScoringFunction.Softmax,
        ["sigmoid"] = ScoringFunction.Sigmoid,
    };

    private static readonly Dictionary<string, TopKMethod> TopKMethods = new()
    {
        ["greedy"] = TopKMethod.Greedy,
        ["gready"] = TopKMethod.Greedy, // the published V2 class spells its default so
        ["group_limited_greedy"] = TopKMethod.GroupLimitedGreedy,
        ["noaux_tc"] = TopKMethod.NoAuxTc,
    };

    /// <summary>Reads and validates <paramref name="path"/>.</summary>
    public static ModelConfig Read(string path)
    {
        try
        {
            var file = new FileInfo(path);
            if (file.Exists && file.Length > MaxFileSizeBytes)
                throw new CheckpointException($"{path}: {file.Length} bytes are too many for a configuration; is it another file?");
            using var document = JsonDocument.Parse(File.ReadAllBytes(path));
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                throw new CheckpointException($"{path}: not a JSON object; take the config.json published with the model.");
            return Parse(new ConfigSection(document.RootElement, path));
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            throw new CheckpointException($"{path}: not valid JSON: {error.Message}", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            throw new CheckpointException($"{path}: cannot be read: {error.Message} A model directory holds config.json next to its safetensors files.", error);
        }
    }

    private static ModelConfig Parse(ConfigSection section)
    {
        var type = section.OneOf("model_type", ModelTypes);
        var isV2 = type == ModelType.DeepSeekV2;
        RefuseUnsupported(section);
        var vocabulary = section.Integer("vocab_size", 1, 1 << 24);
        var maxPositions = section.Integer("max_position_embeddings", 1, 1 << 27);
        var layers = section.Integer("num_hidden_layers", 1, 1024);
        var hasIndexer = type == ModelType.DeepSeekV32;
        var experts = section.Integer("n_routed_experts", 0, 8192, isV2 || section.IsWritten("n_routed_experts") ? 0 : null);
        var hasExperts = experts > 0;
        var config = new ModelConfig
        {
            ModelType = type,
            VocabularySize = vocabulary,
            HiddenSize = section.Integer("hidden_size", 1, MaxWidth),
            IntermediateSize = section.Integer("intermediate_size", 1, MaxWidth),
            MoeIntermediateSize = hasExperts ? section.Integer("moe_intermediate_size", 1, MaxWidth) : 0,
            LayerCount = layers,
            FirstDenseLayers = hasExperts ? section.Integer("first_k_dense_replace", 0, layers) : layers,
            MoeLayerFrequency = section.Integer("moe_layer_freq", 1, 1024, 1),
            HeadCount = section.Integer("num_attention_heads", 1, 1024),
            QLoraRank = QueryRank(section),
            KvLoraRank = section.Integer("kv_lora_rank", 1, MaxRank),
            QkNopeHeadDim = section.Integer("qk_nope_head_dim", 1, MaxHeadDim),
            QkRopeHeadDim = section.Integer("qk_rope_head_dim", 2, MaxHeadDim),
            VHeadDim = section.Integer("v_head_dim", 1, MaxHeadDim),
            RoutedExpertCount = experts,
            SharedExpertCount = hasExperts ? section.Integer("n_shared_experts", 0, 256, 0) : 0,
            ExpertsPerToken = hasExperts ? section.Integer("num_experts_per_tok", 1, experts) : 0,
            GroupCount = 1,
            GroupsKept = 1,
            ScoringFunction = section.OneOf("scoring_func", ScoringFunctions, isV2 ? "softmax" : "sigmoid"),
            TopKMethod = section.OneOf("topk_method", TopKMethods, isV2 ? "greedy" : "noaux_tc"),
            NormalizeTopK = section.Boolean("norm_topk_prob", !isV2),
            RoutedScalingFactor = (float)section.Number("routed_scaling_factor", 1e-6, 1e6, isV2 ? 1.0 : 2.5),
            RmsNormEpsilon = (float)section.Number("rms_norm_eps", 1e-12, 1, 1e-6),
            RopeTheta = RopeParser.Theta(section),
            RopeScaling = RopeParser.Scaling(section, maxPositions),
            MaxPositions = maxPositions,
            NextTokenPredictLayers = section.Integer("num_nextn_predict_layers", 0, 16, 0),
            IndexHeadCount = hasIndexer ? section.Integer("index_n_heads", 1, 1024) : 0,
            IndexHeadDim = hasIndexer ? section.Integer("index_head_dim", 1, MaxHeadDim) : 0,
            IndexTopK = hasIndexer ? section.Integer("index_topk", 1, int.MaxValue) : 0,
            QuantizationBlockSize = QuantizationBlockSize(section),
            BosTokenId = section.Has("bos_token_id") ? section.Integer("bos_token_id", 0, vocabulary - 1) : null,
            EosTokenIds = section.Integers("eos_token_id", 0, vocabulary - 1),
            TieWordEmbeddings = section.Boolean("tie_word_embeddings", false),
        };
        CheckAttention(config, section);
        return hasExperts && config.TopKMethod != TopKMethod.Greedy ? WithGroups(config, section) : config;
    }

    /// <summary>Values under which the model would compute something else than this program does.</summary>
    private static void RefuseUnsupported(ConfigSection section)
    {
        section.OneOf("hidden_act", new Dictionary<string, bool> { ["silu"] = true }, "silu");
        if (section.Boolean("attention_bias", false))
            throw section.Wrong("attention_bias", "only attention without biases is supported: no published model of the family has them");
        if (!section.Boolean("rope_interleave", true))
            throw section.Wrong("rope_interleave", "only the family's interleaved rope is supported: set it to true if the weights are the published ones");
    }

    private static int QueryRank(ConfigSection section)
    {
        if (!section.IsWritten("q_lora_rank"))
            throw section.Wrong("q_lora_rank", "set it to the rank, or to null where q_proj is a single matrix");
        return section.Integer("q_lora_rank", 1, MaxRank, 0);
    }

    private static void CheckAttention(ModelConfig config, ConfigSection section)
    {
        if (config.QkRopeHeadDim % 2 != 0)
            throw section.Wrong("qk_rope_head_dim", "it must be even: rotation works on pairs");
        if (section.Integer("num_key_value_heads", 1, 1024, config.HeadCount) != config.HeadCount)
            throw section.Wrong("num_key_value_heads", $"latent attention has as many as num_attention_heads ({config.HeadCount})");
        if (config.IndexHeadCount == 0)
            return;
        if (config.QLoraRank == 0)
            throw section.Wrong("q_lora_rank", "deepseek_v32 needs a rank: its indexer reads the compressed query");
        if (config.IndexHeadDim < config.QkRopeHeadDim)
            throw section.Wrong("index_head_dim", $"it must be at least qk_rope_head_dim ({config.QkRopeHeadDim}), the part that is rotated");
    }

    /// <summary>Expert groups: equal in size, and the kept ones hold enough experts (and two each where a group's score is the sum of two).</summary>
    private static ModelConfig WithGroups(ModelConfig config, ConfigSection section)
    {
        var experts = config.RoutedExpertCount;
        var groups = section.Integer("n_group", 1, experts, 1);
        var kept = section.Integer("topk_group", 1, groups, groups == 1 ? 1 : null);
        if (experts % groups != 0)
            throw section.Wrong("n_group", $"it must divide n_routed_experts ({experts})");
        if (config.ExpertsPerToken > experts / groups * kept)
            throw section.Wrong("num_experts_per_tok", $"the {kept} kept groups of {experts / groups} hold fewer: raise topk_group or lower it");
        if (config.TopKMethod == TopKMethod.NoAuxTc && groups > 1 && experts / groups < 2)
            throw section.Wrong("n_group", $"noaux_tc scores a group by its two best experts, so at most {experts / 2} groups fit {experts} experts");
        return config with { GroupCount = groups, GroupsKept = kept };
    }

    private static int? QuantizationBlockSize(ConfigSection section)
    {
        if (section.Section("quantization_config") is not { } quantization)
            return null;
        quantization.OneOf("quant_method", new Dictionary<string, bool> { ["fp8"] = true });
        quantization.OneOf("fmt", new Dictionary<string, bool> { ["e4m3"] = true }, "e4m3");
        quantization.OneOf("activation_scheme", new Dictionary<string, bool> { ["dynamic"] = true }, "dynamic");
        if (quantization.Integers("weight_block_size", 1, MaxWidth) is not [TensorCatalog.QuantizationBlock, TensorCatalog.QuantizationBlock])
            throw quantization.Wrong("weight_block_size", "only [128, 128] is supported, the block of the published FP8 checkpoints");
        return TensorCatalog.QuantizationBlock;
    }
}
