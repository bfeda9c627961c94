using Conclave.Model.Checkpoints;

namespace Conclave.Model.Tests.Checkpoints;

public sealed class CheckpointSummaryTests
{
    [Fact]
    public void V3_has_the_published_parameter_counts()
    {
        var summary = CheckpointSummary.Of(ModelConfig.LoadFile(Repository.PathTo("bench/deepseek-v3.config.json")), DType.F8E4M3);

        Assert.InRange(summary.MainParameterCount, 671_020_000_000, 671_030_000_000);
        Assert.InRange(summary.MtpParameterCount, 13_400_000_000, 13_500_000_000); // 11.5 billion of its own, and copies of embedding and head
        Assert.InRange(summary.ActiveParameterCount, 36_500_000_000, 37_499_999_999);
        Assert.Equal(62 * (512 + 64) * 4, summary.KvSizeBytesPerToken);
        Assert.Equal(58 * 256 * 3, Kind(summary, TensorKind.RoutedExperts).TensorCount);
        Assert.InRange(summary.SizeBytes, 685_000_000_000, 692_000_000_000); // the published shards take 688.6 GB
    }

    [Fact]
    public void V32_adds_the_indexer()
    {
        var config = ModelConfig.LoadFile(Repository.PathTo("bench/deepseek-v32.config.json"));
        var summary = CheckpointSummary.Of(config, DType.F8E4M3);

        Assert.Equal(61L * ((64 * 128 * 1536) + (128 * 7168) + (64 * 7168)), Kind(summary, TensorKind.Indexer).ParameterCount);
        Assert.Equal(62 * (512 + 64 + 128) * 4, summary.KvSizeBytesPerToken);
    }

    [Fact]
    public void A_tied_head_counts_as_active_but_is_not_stored()
    {
        var config = ModelConfig.LoadFile(Repository.PathTo("bench/bench-v3-1b.config.json"));
        var tied = config with { TieWordEmbeddings = true };
        var head = (long)config.VocabularySize * config.HiddenSize;

        Assert.Equal(CheckpointSummary.ActiveParameters(config), CheckpointSummary.ActiveParameters(tied));
        Assert.Equal(head, CheckpointSummary.Of(config, DType.BF16).MainParameterCount - CheckpointSummary.Of(tied, DType.BF16).MainParameterCount);
    }

    [Fact]
    public void An_open_checkpoint_is_counted_by_kind_and_type()
    {
        using var checkpoint = Checkpoint.Open(Repository.PathTo("tests/goldens/fp8-aligned"));
        var summary = CheckpointSummary.Of(checkpoint);

        Assert.Equal([TensorKind.Embedding, TensorKind.Attention, TensorKind.DenseMlp, TensorKind.Gate, TensorKind.RoutedExperts, TensorKind.SharedExperts, TensorKind.Norms, TensorKind.Head], summary.Kinds.Select(kind => kind.Kind));
        Assert.Equal(2 * 8 * 3, Kind(summary, TensorKind.RoutedExperts).TensorCount);
        Assert.Equal(2L * 8 * 3 * ((128 * 256) + (2 * 4)), Kind(summary, TensorKind.RoutedExperts).SizeBytes);
        Assert.Equal([(DType.F32, 2), (DType.BF16, 2)], Kind(summary, TensorKind.Gate).TensorCountByType.Order());
        Assert.Equal(0, summary.UnusedTensorCount);
        Assert.Equal(checkpoint.Tensors.Values.Sum(tensor => tensor.SizeBytes), summary.SizeBytes);
    }

    private static KindSummary Kind(CheckpointSummary summary, TensorKind kind) => summary.Kinds.Single(entry => entry.Kind == kind);
}
