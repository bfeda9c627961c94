using Conclave.Model.Checkpoints;

namespace Conclave.Model.Tests.Numerics;

/// <summary>Configurations beyond the golden cases, against the plain model without absorption in float64.</summary>
public sealed class OracleTests
{
    [Theory]
    [InlineData("v2-lite")]
    [InlineData("v2-groups")]
    [InlineData("odd")]
    [InlineData("odd-fp8")]
    [InlineData("experts-256")]
    [InlineData("sparse-fp8")]
    [InlineData("dense")]
    public void Logits_are_those_of_the_plain_model(string name)
    {
        using var checkpoint = RandomCheckpoint.Named(name);
        using var model = new TestModel(checkpoint.Directory, threads: 2, shards: 3);
        var ids = RandomCheckpoint.Tokens(40, model.Config.VocabularySize, 11);
        var expected = new NaiveModel(model.Checkpoint).Logits(ids);
        var (logits, _) = model.Run(model.NewSequence(ids.Length), ids, chunk: 13);
        GoldenCase.Close([.. expected.SelectMany(row => row.Select(v => (float)v))], logits);
    }

    [Fact]
    public void Contexts_of_several_segments_are_those_of_the_plain_model()
    {
        using var checkpoint = new RandomCheckpoint("tiny-f32", DType.BF16, 12, ("num_hidden_layers", 1), ("first_k_dense_replace", 1), ("num_attention_heads", 2), ("num_key_value_heads", 2));
        using var model = new TestModel(checkpoint.Directory, threads: 2);
        var ids = RandomCheckpoint.Tokens(1060, model.Config.VocabularySize, 11);
        var expected = new NaiveModel(model.Checkpoint).Logits(ids);
        var (logits, _) = model.Run(model.NewSequence(ids.Length), ids, chunk: 251);
        GoldenCase.Close([.. expected.SelectMany(row => row.Select(v => (float)v))], logits);
    }
}
