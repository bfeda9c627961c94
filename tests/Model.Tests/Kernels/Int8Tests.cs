using System.Runtime.InteropServices;
using Conclave.Model.Checkpoints;
using Conclave.Model.Kernels;
using Conclave.Model.Tests.Checkpoints;
using Conclave.Model.Tests.Numerics;

namespace Conclave.Model.Tests.Kernels;

/// <summary>Products in 8 bits: near the exact ones, and the same bits in every tier, batch and slice.</summary>
public sealed unsafe class Int8Tests
{
    [Theory]
    [InlineData(DType.BF16, 1, 1, 1)]
    [InlineData(DType.F32, 7, 130, 2)]
    [InlineData(DType.BF16, 33, 384, 5)]
    [InlineData(DType.F8E4M3, 140, 200, 7)]
    [InlineData(DType.F16, 10, 640, 80)]
    public void Products_are_near_and_have_the_same_bits_in_every_tier_batch_and_slice(DType type, int rows, int columns, int inputs)
    {
        using var stored = new StoredMatrix(type, rows, columns, seed: rows);
        using var memory = new GuardedBuffer((Int8Matrix.SizeBytes(rows, columns) + 63) / 64 * 64);
        var weight = stored.Weight.With(Int8Matrix.Make(stored.Weight, memory.Data));
        var x = RandomValues.Floats(inputs * columns, 9);
        var reference = Run(KernelTier.Scalar, weight, x, inputs);
        for (var i = 0; i < reference.Length; i++)
        {
            var expected = Enumerable.Range(0, columns).Sum(c => (double)x[(i / rows * columns) + c] * stored.Values[(i % rows * columns) + c]);
            // Each factor is off by at most half a step of 1/127 of its block's largest value.
            Assert.Equal(expected, reference[i], (columns * stored.Magnitude / 127) + 1e-6);
            Assert.Equal(expected, reference[i], (6 * Math.Sqrt(columns) * stored.Magnitude / 127) + 1e-6);
        }

        foreach (var tier in Enum.GetValues<KernelTier>())
        {
            Assert.Equal(Bits(reference), Bits(Run(tier, weight, x, inputs)));
            for (var r = 0; r < Math.Min(inputs, 4); r++)
                Assert.Equal(Bits(reference.AsSpan(r * rows, rows)), Bits(Run(tier, weight, x.AsSpan(r * columns, columns), 1)));
        }

        var start = rows / 3;
        var slice = Run(KernelTier.Vector256, weight.Slice(start, rows - start), x, inputs);
        for (var r = 0; r < inputs; r++)
            Assert.Equal(Bits(reference.AsSpan((r * rows) + start, rows - start)), Bits(slice.AsSpan(r * (rows - start), rows - start)));
    }

    [Fact]
    public void Codes_are_the_nearest_of_their_block_and_a_block_of_zeros_has_scale_0()
    {
        var x = RandomValues.Floats(128, 3, magnitude: 20);
        var codes = new sbyte[128];
        fixed (float* p = x)
        fixed (sbyte* c = codes)
        {
            var scale = Int8Matrix.Quantize(p, (byte*)c, 0);
            Assert.Equal(x.Max(MathF.Abs) / 127, scale);
            for (var i = 0; i < 128; i++)
                Assert.Equal(x[i], codes[i] * scale, scale * 0.501f);
            Assert.Contains(codes, code => Math.Abs((int)code) == 127);
            Array.Clear(x);
            Assert.Equal(0, Int8Matrix.Quantize(p, (byte*)c, 0));
            Assert.All(codes, code => Assert.Equal(0, code));
            x[7] = float.NaN;
            Assert.True(float.IsNaN(Int8Matrix.Quantize(p, (byte*)c, 0)));
        }
    }

    [Theory]
    [InlineData("tiny-f32")]
    [InlineData("fp8-aligned")]
    public void A_model_opened_for_w8a8_gives_logits_near_those_of_its_weights(string name)
    {
        var directory = Repository.PathTo("tests", "goldens", name);
        float[] exact = Logits(directory, ComputeType.F32), rounded = Logits(directory, ComputeType.W8A8), again = Logits(directory, ComputeType.W8A8);
        Assert.Equal(Bits(rounded), Bits(again));
        Assert.NotEqual(Bits(exact), Bits(rounded));
        double dot = 0, first = 0, second = 0;
        for (var i = 0; i < exact.Length; i++)
            (dot, first, second) = (dot + ((double)exact[i] * rounded[i]), first + ((double)exact[i] * exact[i]), second + ((double)rounded[i] * rounded[i]));
        Assert.InRange(dot / Math.Sqrt(first * second), 0.98, 1);
    }

    private static float[] Logits(string directory, ComputeType compute)
    {
        using var model = new TestModel(directory, compute: compute);
        Assert.Equal(compute == ComputeType.W8A8, model.Checkpoint.Int8?.SizeBytes > 0);
        return model.Run(model.NewSequence(7), [1, 2, 3, 4, 5, 6, 7]).Logits;
    }

    private static float[] Run(KernelTier tier, in Weight weight, ReadOnlySpan<float> x, int inputs)
    {
        using var input = GuardedBuffer.Of(x);
        using var output = new GuardedBuffer((long)inputs * weight.Rows * sizeof(float));
        using var arranged = new GuardedBuffer(Linear.InputFloats(weight.Columns, inputs) * sizeof(float));
        using var scratch = new GuardedBuffer(Linear.ScratchFloats(weight.Columns) * sizeof(float));
        var middle = weight.Rows / 2;
        var (from, to) = (new RowSet(input.Floats, weight.Columns), new RowSet(output.Floats, weight.Rows));
        Linear.Arrange(weight, from, inputs, 0, Linear.Tiles(inputs), arranged.Floats);
        KernelSet.For(tier).Linear(weight, 0, middle, arranged.Floats, inputs, to, scratch.Floats);
        KernelSet.For(tier).Linear(weight, middle, weight.Rows, arranged.Floats, inputs, to, scratch.Floats);
        return output.ToFloats();
    }

    private static int[] Bits(ReadOnlySpan<float> values) => MemoryMarshal.Cast<float, int>(values).ToArray();
}
