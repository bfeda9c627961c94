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
}
