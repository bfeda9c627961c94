namespace Conclave.Model.Checkpoints;

/// <summary>Figures of all tensors of one kind.</summary>
/// <param name="Kind">The kind.</param>
/// <param name="TensorCount">Tensors, block scales not counted.</param>
/// <param name="ParameterCount">Elements, block scales not counted.</param>
/// <param name="SizeBytes">Bytes on disk, block scales included.</param>
/// <param name="TensorCountByType">Tensors of each element type, most frequent first.</param>
public sealed record KindSummary(TensorKind Kind, int TensorCount, long ParameterCount, long SizeBytes, IReadOnlyList<(DType Type, int Count)> TensorCountByType);

/// <summary>What a checkpoint holds and what it costs to serve.</summary>
/// <param name="Config">Its architecture.</param>
/// <param name="Kinds">Figures by kind, in the order of <see cref="TensorKind"/>; kinds without a tensor are left out.</param>
/// <param name="ActiveParameterCount">Parameters that one token's pass through the main model multiplies with: the chosen experts only, one row of the embedding.</param>
/// <param name="KvSizeBytesPerToken">Bytes that one token takes in the KV cache as this program stores it, all layers.</param>
/// <param name="UnusedTensorCount">Tensors in the files that the configuration does not call for.</param>
public sealed record CheckpointSummary(ModelConfig Config, IReadOnlyList<KindSummary> Kinds, long ActiveParameterCount, long KvSizeBytesPerToken, int UnusedTensorCount)
{
    /// <summary>Parameters of the main model.</summary>
    public long MainParameterCount => Kinds.Where(kind => kind.Kind != TensorKind.Mtp).Sum(kind => kind.ParameterCount);

    /// <summary>Parameters of the MTP layers, their copies of embedding and head included where stored.</summary>
    public long MtpParameterCount => Kinds.Where(kind => kind.Kind == TensorKind.Mtp).Sum(kind => kind.ParameterCount);

    /// <summary>Bytes on disk of all tensors in use.</summary>
    public long SizeBytes => Kinds.Sum(kind => kind.SizeBytes);

    /// <summary>The figures of an open checkpoint.</summary>
    public static CheckpointSummary Of(Checkpoint checkpoint)
    {
        var tensors = checkpoint.Tensors;
        // A name that leads to another tensor takes no bytes of its own.
        var stored = TensorCatalog.All(checkpoint.Config).Where(expected => tensors[expected.Name].Name == expected.Name)
            .Select(expected => (Expected: expected, Type: tensors[expected.Name].DType)).ToList();
        var used = stored.Count + stored.Count(tensor => tensor.Type == DType.F8E4M3);
        return Of(checkpoint.Config, stored, checkpoint.StoredTensorCount - used);
    }

    /// <summary>The figures of a checkpoint of <paramref name="config"/> as it would be published with matrices in <paramref name="weights"/>.</summary>
    public static CheckpointSummary Of(ModelConfig config, DType weights) =>
        Of(config, TensorCatalog.Stored(config).Select(expected => (expected, TensorCatalog.StoredType(expected.Role, weights))), 0);

    /// <summary>See <see cref="ActiveParameterCount"/>. For V3 36.7 billion, published as 37B.</summary>
    public static long ActiveParameters(ModelConfig config) =>
        TensorCatalog.All(config).Where(tensor => tensor.Kind != TensorKind.Mtp).GroupBy(tensor => tensor.Kind).Sum(kind => kind.Key switch
        {
            TensorKind.Embedding => config.HiddenSize,
            TensorKind.RoutedExperts => kind.Sum(tensor => tensor.ElementCount) / config.RoutedExpertCount * config.ExpertsPerToken,
            _ => kind.Sum(tensor => tensor.ElementCount),
        });

    private static CheckpointSummary Of(ModelConfig config, IEnumerable<(ExpectedTensor Expected, DType Type)> stored, int unused)
    {
        var kinds = stored.GroupBy(tensor => tensor.Expected.Kind).OrderBy(group => group.Key).Select(group => new KindSummary(
            group.Key,
            group.Count(),
            group.Sum(tensor => tensor.Expected.ElementCount),
            group.Sum(tensor => TensorCatalog.StoredSizeBytes(tensor.Expected, tensor.Type)),
            [.. group.CountBy(tensor => tensor.Type).OrderByDescending(count => count.Value).Select(count => (count.Key, count.Value))]));
        return new CheckpointSummary(config, [.. kinds], ActiveParameters(config), KvLayout.For(config).TokenSizeBytes, unused);
    }
}
