using Conclave.Model.Checkpoints;

namespace Conclave.Model.Tests.Checkpoints;

public sealed unsafe class SafetensorsWriterTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void What_is_written_in_pieces_is_read_back()
    {
        var path = _directory.PathTo("out.safetensors");
        using (var writer = new SafetensorsWriter(path, [new("logits ｜\"x\"", DType.F32, 2, 3), new("none", DType.BF16, 0, 7), new("ids", DType.I32, 2), new("one", DType.F32)]))
        {
            writer.Write<float>([1, 2, 3, 4]);
            writer.Write<float>([5, 6]);
            writer.Write<int>([-1, 7]);
            writer.Write<float>([0.5f]);
            writer.Complete();
        }
        using var file = SafetensorsFile.Open(path);

        Assert.Equal(4, file.Tensors.Count);
        Assert.Equal([1f, 2, 3, 4, 5, 6], new ReadOnlySpan<float>((void*)file.Tensors["logits ｜\"x\""].Data, 6).ToArray());
        Assert.Equal([0L, 7], file.Tensors["none"].Shape);
        Assert.Equal([-1, 7], new ReadOnlySpan<int>((void*)file.Tensors["ids"].Data, 2).ToArray());
        Assert.Equal(0.5f, *(float*)file.Tensors["one"].Data);
        Assert.Equal(0, file.Tensors["logits ｜\"x\""].Data % 64);
    }

    [Fact]
    public void Too_much_too_little_and_two_of_a_name_are_refused()
    {
        using var writer = new SafetensorsWriter(_directory.PathTo("out.safetensors"), [new("w", DType.F32, 2)]);
        writer.Write<float>([1]);

        Assert.Contains("4 of the 8", Assert.Throws<InvalidOperationException>(writer.Complete).Message, StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => writer.Write<float>([2, 3]));
        Assert.Throws<ArgumentException>(() => new SafetensorsWriter(_directory.PathTo("two"), [new("w", DType.F32, 2), new("w", DType.I32, 2)]));
    }

    [Fact]
    public void A_file_left_off_is_found_truncated()
    {
        var path = _directory.PathTo("out.safetensors");
        using (var writer = new SafetensorsWriter(path, [new("w", DType.F32, 2)]))
            writer.Write<float>([1]);

        Assert.Contains("tensor w", Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(path)).Message, StringComparison.Ordinal);
    }
}
