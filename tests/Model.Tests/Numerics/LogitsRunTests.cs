using Conclave.Model.Checkpoints;
using Conclave.Model.Tests.Checkpoints;

namespace Conclave.Model.Tests.Numerics;

public sealed class LogitsRunTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    [Theory]
    [InlineData("tiny-f32")]
    [InlineData("mtp")]
    [InlineData("dsa")]
    public void The_file_holds_the_reference_values(string name)
    {
        using var golden = new GoldenCase(name);
        using var checkpoint = Checkpoint.Open(golden.Directory);
        using var run = new LogitsRun(checkpoint, 2);
        run.Write(golden.InputIds, 64, _directory.PathTo("out.safetensors"));
        using var output = SafetensorsFile.Open(_directory.PathTo("out.safetensors"));
        GoldenCase.Close(golden.Floats("logits"), GoldenCase.Read<float>(output, "logits"));
        Assert.Equal(golden.GreedyTokens, GoldenCase.Read<int>(output, "greedy_tokens"));
        Assert.Equal(golden.Has("mtp_logits"), output.Tensors.ContainsKey("mtp_logits"));
        if (golden.Has("mtp_logits"))
            GoldenCase.Close(golden.Floats("mtp_logits"), GoldenCase.Read<float>(output, "mtp_logits"));
    }

    [Fact]
    public void Bad_input_is_found_before_any_work()
    {
        using var golden = new GoldenCase("tiny-f32");
        using var checkpoint = Checkpoint.Open(golden.Directory);
        using var run = new LogitsRun(checkpoint, 1);
        var path = _directory.PathTo("out.safetensors");
        Assert.Contains("400", Assert.Throws<ArgumentException>(() => run.Write([1, 400], 0, path)).Message, StringComparison.Ordinal);
        Assert.Contains("-1", Assert.Throws<ArgumentException>(() => run.Write([1, -1], 0, path)).Message, StringComparison.Ordinal);
        Assert.Contains("context", Assert.Throws<ArgumentException>(() => run.Write([1], 4096, path)).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => run.Write([], 0, path));
        Assert.False(File.Exists(path));
    }

    public void Dispose() => _directory.Dispose();
}
