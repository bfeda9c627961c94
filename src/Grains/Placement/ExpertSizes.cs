using Conclave.Model;
using Conclave.Model.Checkpoints;

namespace Conclave.Grains;

/// <summary>Bytes of one routed expert in each layer, MTP layers last; 0 for a layer without routed experts.</summary>
public static class ExpertSizes
{
    /// <summary>As <paramref name="checkpoint"/> stores them, block scales included.</summary>
    public static IReadOnlyList<long> Of(Checkpoint checkpoint) => Of(checkpoint.Config, tensor => checkpoint.Tensors[tensor.Name].DType);

    /// <summary>As a checkpoint of <paramref name="config"/> with matrices in <paramref name="weights"/> stores them, block scales included.</summary>
    public static IReadOnlyList<long> Of(ModelConfig config, DType weights) => Of(config, tensor => TensorCatalog.StoredType(tensor.Role, weights));

    private static long[] Of(ModelConfig config, Func<ExpectedTensor, DType> type) =>
        [.. Enumerable.Range(0, config.LayerCount + config.NextTokenPredictLayers).Select(layer => config.IsMoeLayer(layer) ? OfLayer(config, layer, type) : 0)];

    // All experts of a layer have the same shapes: the first stands for all.
    private static long OfLayer(ModelConfig config, int layer, Func<ExpectedTensor, DType> type)
    {
        string first = $"{TensorCatalog.LayerPrefix(layer)}mlp.experts.0.";
        return TensorCatalog.OfLayer(config, layer)
            .Where(tensor => tensor.Name.StartsWith(first, StringComparison.Ordinal))
            .Sum(tensor => TensorCatalog.StoredSizeBytes(tensor, type(tensor)));
    }
}
