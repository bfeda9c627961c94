using Conclave.Model.Attention;
using Conclave.Model.Checkpoints;
using Conclave.Model.Kernels;
using Conclave.Model.Tests.Checkpoints;
using Conclave.Model.Tests.Numerics;

namespace Conclave.Model.Tests.Kernels;

/// <summary>Single operations against tests/goldens/ops.</summary>
public sealed unsafe class Fp8Tests
{
    [Fact]
    public void All_256_codes_decode_to_the_table_in_every_tier()
    {
        using var ops = Open("fp8_ops");
        var table = GoldenCase.Read<float>(ops, "e4m3.table");
        byte[] codes = [.. Enumerable.Range(0, 256).Select(i => (byte)i)];
        Assert.Equal(table, codes.Select(Fp8.Decode));
        using var data = GuardedBuffer.Of<byte>(codes);
        using var scale = GuardedBuffer.Of<float>([1f, 1f]);
        foreach (var tier in Enum.GetValues<KernelTier>())
        {
            using var widened = new GuardedBuffer(256 * sizeof(float));
            KernelSet.For(tier).Widen(new Weight(data.Data, DType.F8E4M3, 1, 256, scale.Floats), 0, 1, widened.Floats);
            Assert.Equal(table, widened.ToFloats());
        }
    }

    [Fact]
    public void All_binary16_and_bfloat16_values_widen_exactly_in_every_tier()
    {
        ushort[] codes = [.. Enumerable.Range(0, 65536).Select(i => (ushort)i)];
        using var data = GuardedBuffer.Of<ushort>(codes);
        foreach (var tier in Enum.GetValues<KernelTier>())
        {
            using var widened = new GuardedBuffer(65536 * sizeof(float));
            KernelSet.For(tier).Widen(new Weight(data.Data, DType.F16, 1, 65536), 0, 1, widened.Floats);
            Assert.Equal(codes.Select(c => (float)BitConverter.UInt16BitsToHalf(c)), widened.ToFloats());
            KernelSet.For(tier).Widen(new Weight(data.Data, DType.BF16, 1, 65536), 0, 1, widened.Floats);
            Assert.Equal(codes.Select(c => BitConverter.UInt32BitsToSingle((uint)c << 16)), widened.ToFloats());
        }
    }

    [Fact]
    public void Encoding_rounds_to_nearest_even_and_saturates()
    {
        using var ops = Open("fp8_ops");
        var codes = Bytes(ops, "encode.code");
        Assert.Equal(codes, GoldenCase.Read<float>(ops, "encode.x").Select(Fp8.Encode));
        for (var code = 0; code < 256; code++)
            Assert.Equal(code, Fp8.Encode(Fp8.Decode((byte)code)));
    }

    [Fact]
    public void Rows_encode_as_single_values_do()
    {
        // Random bits, all codes, what lies half way between two of them and a little beside, and what is no number.
        var random = new Random(5);
        var codes = Enumerable.Range(0, 256).Select(code => Fp8.Decode((byte)code)).Where(float.IsFinite).ToArray();
        var halves = codes.Zip(codes.Skip(1), (a, b) => (a + b) / 2).ToArray();
        float[] values =
        [
            .. codes, .. halves, .. halves.Select(MathF.BitIncrement), .. halves.Select(MathF.BitDecrement), 448, 464, 1e30f, float.MaxValue, float.PositiveInfinity, float.NegativeInfinity,
            float.NaN, -float.NaN, float.Epsilon, -0f, .. Enumerable.Range(0, 4099).Select(_ => BitConverter.Int32BitsToSingle(random.Next() ^ (random.Next() << 31))), .. RandomValues.Floats(1000, 4, 500),
        ];
        using var x = GuardedBuffer.Of<float>(values);
        using var bytes = new GuardedBuffer(values.Length);
        using var words = new GuardedBuffer(values.Length * sizeof(ushort));
        Fp8.Encode(x.Floats, 0.5f, values.Length, bytes.Data);
        Bf16.Encode(x.Floats, values.Length, (ushort*)words.Data);
        for (var i = 0; i < values.Length; i++)
        {
            Assert.Equal(Fp8.Encode(values[i] / 0.5f), bytes.Data[i]);
            Assert.Equal(Bf16.Encode(values[i]), ((ushort*)words.Data)[i]);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(40)]
    [InlineData(256)]
    [InlineData(300)]
    public void Codes_unpack_alike_in_every_tier(int count)
    {
        byte[] codes = [.. Enumerable.Range(0, count).Select(i => (byte)(i + (i / 256 * 77)))];
        using var source = GuardedBuffer.Of<byte>(codes);
        var size = (count + 63) / 64 * 64 * sizeof(ushort);
        using GuardedBuffer expected = new(size), half = new(size), whole = new(size);
        ScalarLanes.UnpackE4M3(source.Data, count, (ushort*)expected.Data);
        Vector256Lanes.UnpackE4M3(source.Data, count, (ushort*)half.Data);
        Vector512Lanes.UnpackE4M3(source.Data, count, (ushort*)whole.Data);
        Assert.Equal(new Span<byte>(expected.Data, size).ToArray(), new Span<byte>(half.Data, size).ToArray());
        Assert.Equal(new Span<byte>(expected.Data, size).ToArray(), new Span<byte>(whole.Data, size).ToArray());
    }

    [Fact]
    public void Blocks_of_odd_shapes_dequantize()
    {
        using var ops = Open("fp8_ops");
        var codes = ops.Tensors["weight"];
        var widened = new float[300 * 200];
        fixed (float* y = widened)
            KernelSet.Best.Widen(new Weight((byte*)codes.Data, DType.F8E4M3, 300, 200, (float*)ops.Tensors["weight_scale_inv"].Data), 0, 300, y);
        Assert.Equal(GoldenCase.Read<float>(ops, "weight.dequant"), widened);
    }

    [Theory]
    [InlineData("act", false)]
    [InlineData("act_ue8m0", true)]
    public void Activations_quantize_and_multiply(string prefix, bool powerOfTwoScales)
    {
        using var ops = Open("fp8_ops");
        const int Rows = 7, Columns = 384, Outputs = 256;
        var x = GoldenCase.Read<float>(ops, prefix + ".x");
        var (codes, scales, y) = (new byte[Rows * Columns], new float[Rows * 3], new float[Rows * Outputs]);
        var weight = new Weight((byte*)ops.Tensors["gemm.weight"].Data, DType.F8E4M3, Outputs, Columns, (float*)ops.Tensors["gemm.weight_scale_inv"].Data);
        fixed (float* source = x, s = scales, product = y)
        fixed (byte* c = codes)
        {
            var restored = stackalloc float[Columns];
            for (var row = 0; row < Rows; row++)
            {
                Fp8.QuantizeRow(source + (row * Columns), Columns, c + (row * Columns), s + (row * 3), powerOfTwoScales);
                Fp8.ScaledProduct(c + (row * Columns), s + (row * 3), weight, product + (row * Outputs));
                Fp8.DequantizeRow(c + (row * Columns), s + (row * 3), Columns, restored);
                for (var i = 0; i < Columns; i++)
                    Assert.Equal(x[(row * Columns) + i], restored[i], (MathF.Abs(x[(row * Columns) + i]) / 16) + s[(row * 3) + (i / 128)]);
            }
        }

        Assert.Equal(Bytes(ops, prefix + ".q"), codes);
        Assert.Equal(GoldenCase.Read<float>(ops, prefix + ".scale"), scales);
        GoldenCase.Close(GoldenCase.Read<float>(ops, prefix + ".gemm_y"), y, 2e-3, 1e-4);
    }

    [Fact]
    public void Unquantized_activations_multiply_with_FP8_weights()
    {
        using var ops = Open("fp8_ops");
        const int Rows = 7, Columns = 384, Outputs = 256;
        var y = new float[Rows * Outputs];
        using var arranged = new GuardedBuffer(Linear.InputFloats(Columns, Rows) * sizeof(float));
        using var scratch = new GuardedBuffer(Linear.ScratchFloats(Columns) * sizeof(float));
        var weight = new Weight((byte*)ops.Tensors["gemm.weight"].Data, DType.F8E4M3, Outputs, Columns, (float*)ops.Tensors["gemm.weight_scale_inv"].Data);
        fixed (float* x = GoldenCase.Read<float>(ops, "act.x"), product = y)
        {
            Linear.Arrange(weight, new RowSet(x, Columns), Rows, 0, Linear.Tiles(Rows), arranged.Floats);
            KernelSet.Best.Linear(weight, 0, Outputs, arranged.Floats, Rows, new RowSet(product, Outputs), scratch.Floats);
        }

        GoldenCase.Close(GoldenCase.Read<float>(ops, "gemm.y_unquantized_activations"), y, 2e-3, 1e-4);
    }

    [Fact]
    public void The_real_rotary_table_is_met_up_to_the_last_position()
    {
        using var ops = Open("rope_real_config");
        var config = ModelConfig.Load(Repository.PathTo("tests", "goldens", "fp8-aligned")) with { QkRopeHeadDim = 64 };
        var table = new RopeTable(config);
        // The reference's float32 power function is one unit off in the last place here and there; at the last position that makes 5e-3 radians.
        var frequencies = GoldenCase.Read<float>(ops, "angle_step");
        for (var i = 0; i < frequencies.Length; i++)
            Assert.InRange(table.Frequencies[i], MathF.BitDecrement(frequencies[i]), MathF.BitIncrement(frequencies[i]));
        var positions = GoldenCase.Read<int>(ops, "positions");
        float[] cosines = new float[positions.Length * 32], sines = new float[positions.Length * 32], x = GoldenCase.Read<float>(ops, "x");
        fixed (float* c = cosines, s = sines, v = x)
        {
            for (var i = 0; i < positions.Length; i++)
            {
                table.Fill(positions[i], c + (i * 32), s + (i * 32));
                for (var head = 0; head < 3; head++)
                    RopeTable.RotateInterleaved(v + (((i * 3) + head) * 64), c + (i * 32), s + (i * 32), 32);
            }
        }

        float[] expectedCosines = GoldenCase.Read<float>(ops, "cos"), expectedSines = GoldenCase.Read<float>(ops, "sin"), rotated = GoldenCase.Read<float>(ops, "x_rotated");
        for (var i = 0; i < cosines.Length; i++)
        {
            var tolerance = 3e-7 + (1.01 * positions[i / 32] * Math.Abs((double)frequencies[i % 32] - table.Frequencies[i % 32]));
            Assert.Equal(expectedCosines[i], cosines[i], tolerance);
            Assert.Equal(expectedSines[i], sines[i], tolerance);
            for (var head = 0; head < 3; head++)
            {
                var pair = (((i / 32 * 3) + head) * 64) + (i % 32 * 2);
                Assert.Equal(rotated[pair], x[pair], 6 * tolerance);
                Assert.Equal(rotated[pair + 1], x[pair + 1], 6 * tolerance);
            }
        }
    }

    private static SafetensorsFile Open(string name) => SafetensorsFile.Open(Repository.PathTo("tests", "goldens", "ops", name + ".safetensors"));

    private static byte[] Bytes(SafetensorsFile file, string tensor)
    {
        if (file.Tensors.ContainsKey(tensor))
            return GoldenCase.Read<byte>(file, tensor);
        // U8 is no weight type: read straight from the file.
        var all = File.ReadAllBytes(file.Path);
        var headerSize = (int)BitConverter.ToInt64(all);
        using var header = System.Text.Json.JsonDocument.Parse(all.AsMemory(8, headerSize));
        var offsets = header.RootElement.GetProperty(tensor).GetProperty("data_offsets");
        return all[(8 + headerSize + offsets[0].GetInt32())..(8 + headerSize + offsets[1].GetInt32())];
    }
}
