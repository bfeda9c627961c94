using Conclave.Model.Checkpoints;

namespace Conclave.Model.Tests.Checkpoints;

public sealed class CheckpointTests
{
    [Theory]
    [InlineData("tiny-f32")]
    [InlineData("fp8-aligned")]
    [InlineData("mtp")]
    [InlineData("dsa")]
    public void Opens_the_golden_checkpoints(string name)
    {
        using var checkpoint = Checkpoint.Open(Repository.PathTo("tests/goldens", name));

        Assert.Equal(0, checkpoint.MissingPredictLayers);
        Assert.All(TensorCatalog.All(checkpoint.Config), expected => Assert.Equal(expected.Name, checkpoint.Require(expected.Name, expected.Shape).Name));
        Assert.Equal(checkpoint.Tensors.Count(tensor => tensor.Value.DType == DType.F8E4M3), checkpoint.Tensors.Keys.Count(key => key.EndsWith("_scale_inv", StringComparison.Ordinal)));
    }
}
