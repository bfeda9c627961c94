namespace Conclave.Model.Checkpoints;

/// <summary>Names and shapes within one decoder layer, main or MTP.</summary>
internal sealed class LayerTensors(ModelConfig config, int layer)
{
    private readonly string _prefix = TensorCatalog.LayerPrefix(layer);
    private readonly long _hidden = config.HiddenSize;

    /// <summary>Every tensor of the layer in the order of computation.</summary>
    public IEnumerable<ExpectedTensor> All()
    {
        var isMtp = layer >= config.LayerCount;
        var tensors = Attention().Concat(config.IsMoeLayer(layer) ? Moe() : Mlp("mlp", TensorKind.DenseMlp, config.IntermediateSize));
        return isMtp ? tensors.Concat(Mtp()) : tensors;
    }

    private IEnumerable<ExpectedTensor> Attention()
    {
        long heads = config.HeadCount, queryWidth = heads * (config.QkNopeHeadDim + config.QkRopeHeadDim);
        yield return Norm("input_layernorm", _hidden);
        if (config.QLoraRank == 0)
        {
            yield return Linear("self_attn.q_proj", TensorKind.Attention, queryWidth, _hidden);
        }
        else
        {
            yield return Linear("self_attn.q_a_proj", TensorKind.Attention, config.QLoraRank, _hidden);
            yield return Norm("self_attn.q_a_layernorm", config.QLoraRank);
            yield return Linear("self_attn.q_b_proj", TensorKind.Attention, queryWidth, config.QLoraRank);
        }
        yield return Linear("self_attn.kv_a_proj_with_mqa", TensorKind.Attention, config.LatentWidth, _hidden);
        yield return Norm("self_attn.kv_a_layernorm", config.KvLoraRank);
        yield return Linear("self_attn.kv_b_proj", TensorKind.Attention, heads * (config.QkNopeHeadDim + config.VHeadDim), config.KvLoraRank);
        yield return Linear("self_attn.o_proj", TensorKind.Attention, _hidden, heads * config.VHeadDim);
        if (config.IndexHeadCount > 0)
        {
            yield return Linear("self_attn.indexer.wq_b", TensorKind.Indexer, (long)config.IndexHeadCount * config.IndexHeadDim, config.QLoraRank);
            yield return Linear("self_attn.indexer.wk", TensorKind.Indexer, config.IndexHeadDim, _hidden);
            yield return Norm("self_attn.indexer.k_norm", config.IndexHeadDim);
            yield return Of("self_attn.indexer.k_norm.bias", TensorKind.Norms, TensorRole.Bias, config.IndexHeadDim);
            yield return Of("self_attn.indexer.weights_proj.weight", TensorKind.Indexer, TensorRole.Matrix, config.IndexHeadCount, _hidden);
        }
        yield return Norm("post_attention_layernorm", _hidden);
    }

    private IEnumerable<ExpectedTensor> Mlp(string name, TensorKind kind, long width)
    {
        yield return Linear(name + ".gate_proj", kind, width, _hidden);
        yield return Linear(name + ".up_proj", kind, width, _hidden);
        yield return Linear(name + ".down_proj", kind, _hidden, width);
    }

    private IEnumerable<ExpectedTensor> Moe()
    {
        yield return Of("mlp.gate.weight", TensorKind.Gate, TensorRole.Matrix, config.RoutedExpertCount, _hidden);
        if (config.TopKMethod == TopKMethod.NoAuxTc)
            yield return Of("mlp.gate.e_score_correction_bias", TensorKind.Gate, TensorRole.Bias, config.RoutedExpertCount);
        for (var expert = 0; expert < config.RoutedExpertCount; expert++)
        {
            foreach (var tensor in Mlp($"mlp.experts.{expert}", TensorKind.RoutedExperts, config.MoeIntermediateSize))
                yield return tensor;
        }
        if (config.SharedExpertCount == 0)
            yield break;
        foreach (var tensor in Mlp("mlp.shared_experts", TensorKind.SharedExperts, (long)config.SharedExpertCount * config.MoeIntermediateSize))
            yield return tensor;
    }

    /// <summary>What an MTP layer has besides a decoder layer. Embedding and head repeat the main model's, so conversions leave them out.</summary>
    private IEnumerable<ExpectedTensor> Mtp()
    {
        yield return Of("embed_tokens.weight", TensorKind.Mtp, TensorRole.Matrix, config.VocabularySize, _hidden) with { SharedWith = TensorCatalog.Embedding };
        yield return Norm("enorm", _hidden);
        yield return Norm("hnorm", _hidden);
        yield return Of("eh_proj.weight", TensorKind.Mtp, TensorRole.Matrix, _hidden, 2 * _hidden);
        yield return Norm("shared_head.norm", _hidden);
        yield return Of("shared_head.head.weight", TensorKind.Mtp, TensorRole.Matrix, config.VocabularySize, _hidden) with { SharedWith = TensorCatalog.Head };
    }

    private ExpectedTensor Linear(string name, TensorKind kind, long rows, long columns) =>
        Of(name + ".weight", kind, TensorRole.QuantizableMatrix, rows, columns);

    private ExpectedTensor Norm(string name, long width) => Of(name + ".weight", TensorKind.Norms, TensorRole.Scale, width);

    private ExpectedTensor Of(string name, TensorKind kind, TensorRole role, params long[] shape) => new(_prefix + name, kind, layer, role, shape);
}
