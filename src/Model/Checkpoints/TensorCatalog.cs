namespace Conclave.Model.Checkpoints;

/// <summary>What a tensor belongs to, for summaries.</summary>
public enum TensorKind
{
    /// <summary>Token embedding of the main model.</summary>
    Embedding,

    /// <summary>Projections of latent attention.</summary>
    Attention,

    /// <summary>Projections of the sparse attention's lightning indexer.</summary>
    Indexer,

    /// <summary>MLP of the leading dense layers.</summary>
    DenseMlp,

    /// <summary>Router weights and correction biases.</summary>
    Gate,

    /// <summary>Experts chosen by the gate.</summary>
    RoutedExperts,

    /// <summary>Experts that see every token.</summary>
    SharedExperts,

    /// <summary>Every normalization weight.</summary>
    Norms,

    /// <summary>Output head of the main model.</summary>
    Head,

    /// <summary>Everything in the multi-token prediction layers.</summary>
    Mtp,
}

/// <summary>The part a tensor plays, which decides how it is stored and initialized.</summary>
public enum TensorRole
{
    /// <summary>A matrix kept in the checkpoint's main floating-point type even where others are FP8.</summary>
    Matrix,

    /// <summary>A matrix that FP8 checkpoints store as 128 x 128 blocks with a <c>weight_scale_inv</c>.</summary>
    QuantizableMatrix,

    /// <summary>A normalization weight, around one.</summary>
    Scale,

    /// <summary>An additive bias, around zero, float32 in the published checkpoints.</summary>
    Bias,
}

/// <summary>One tensor that a configuration calls for.</summary>
/// <param name="Name">Official name.</param>
/// <param name="Kind">For summaries.</param>
/// <param name="Layer">Layer index, MTP layers after the main ones; -1 outside layers.</param>
/// <param name="Role">How it is stored.</param>
/// <param name="Shape">[out, in] of a matrix, one dimension of a vector.</param>
/// <param name="SharedWith">The tensor that stands in where a checkpoint leaves this one out; null if it is required.</param>
public sealed record ExpectedTensor(string Name, TensorKind Kind, int Layer, TensorRole Role, long[] Shape, string? SharedWith = null)
{
    /// <summary>Elements.</summary>
    public long ElementCount => Shape.Length == 1 ? Shape[0] : Shape[0] * Shape[1];
}

/// <summary>
/// Official names and shapes of every tensor a configuration calls for, in the order of the model. The one source for validating, summarizing
/// and synthesizing checkpoints (names as in the published <c>model.safetensors.index.json</c> files and README_WEIGHTS.md).
/// </summary>
public static class TensorCatalog
{
    /// <summary>Rows and columns of an FP8 block that shares one scale.</summary>
    public const int QuantizationBlock = 128;

    /// <summary>Name of the embedding.</summary>
    public const string Embedding = "model.embed_tokens.weight";

    /// <summary>Name of the output head.</summary>
    public const string Head = "lm_head.weight";

    /// <summary>Every tensor of <paramref name="config"/>, without block scales; lazily, since large models have tens of thousands.</summary>
    public static IEnumerable<ExpectedTensor> All(ModelConfig config)
    {
        long hidden = config.HiddenSize, vocabulary = config.VocabularySize;
        yield return new(Embedding, TensorKind.Embedding, -1, TensorRole.Matrix, [vocabulary, hidden]);
        for (var layer = 0; layer < config.LayerCount + config.NextTokenPredictLayers; layer++)
        {
            foreach (var tensor in OfLayer(config, layer))
                yield return tensor;
        }
        yield return new("model.norm.weight", TensorKind.Norms, -1, TensorRole.Scale, [hidden]);
        yield return new(Head, TensorKind.Head, -1, TensorRole.Matrix, [vocabulary, hidden], config.TieWordEmbeddings ? Embedding : null);
    }

    /// <summary>The tensors of one layer; from <see cref="ModelConfig.LayerCount"/> on an MTP layer.</summary>
    public static IEnumerable<ExpectedTensor> OfLayer(ModelConfig config, int layer)
    {
        var tensors = new LayerTensors(config, layer).All();
        return layer < config.LayerCount ? tensors : tensors.Select(tensor => tensor with { Kind = TensorKind.Mtp });
    }

    /// <summary>Those of <see cref="All"/> that a published checkpoint holds: not a head that is tied to the embedding, but an MTP layer's copies.</summary>
    public static IEnumerable<ExpectedTensor> Stored(ModelConfig config) =>
        All(config).Where(tensor => tensor.SharedWith is null || tensor.Kind == TensorKind.Mtp);

    /// <summary>Type in which published checkpoints store a tensor, where large matrices are in <paramref name="weights"/>.</summary>
    public static DType StoredType(TensorRole role, DType weights) => role switch
    {
        TensorRole.Bias => DType.F32,
        TensorRole.QuantizableMatrix => weights,
        _ => DType.BF16,
    };

    /// <summary>Bytes of a tensor stored in <paramref name="type"/>, with its block scales.</summary>
    public static long StoredSizeBytes(ExpectedTensor tensor, DType type)
    {
        var size = tensor.ElementCount * type.SizeBytes();
        if (type != DType.F8E4M3)
            return size;
        var scales = ScaleShape(tensor.Shape);
        return size + (scales[0] * scales[1] * sizeof(float));
    }

    /// <summary>Start of the names in <paramref name="layer"/>.</summary>
    public static string LayerPrefix(int layer) => $"model.layers.{layer}.";

    /// <summary>Name of the float32 block scales of the FP8 matrix <paramref name="weight"/>.</summary>
    public static string ScaleName(string weight) => weight + "_scale_inv";

    /// <summary>Shape of the block scales of a matrix: edge blocks, cut short, have one too.</summary>
    public static long[] ScaleShape(ReadOnlySpan<long> matrix) =>
        [CeilingDivide(matrix[0], QuantizationBlock), CeilingDivide(matrix[1], QuantizationBlock)];

    private static long CeilingDivide(long value, long divisor) => (value + divisor - 1) / divisor;
}
