using Conclave.Model.Checkpoints;
using Conclave.Model.Kernels;

namespace Conclave.Model.Tests.Kernels;

/// <summary>Seeded test values.</summary>
internal static class RandomValues
{
    public static float[] Floats(int count, int seed, float magnitude = 1)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)((random.NextDouble() * 2) - 1) * magnitude)];
    }
}

/// <summary>A random matrix in one of the stored types, in guarded memory, and the values that it stands for.</summary>
internal sealed unsafe class StoredMatrix : IDisposable
{
    private readonly GuardedBuffer _data;
    private readonly GuardedBuffer? _scales;

    public StoredMatrix(DType type, int rows, int columns, int seed)
    {
        var values = RandomValues.Floats(rows * columns, seed);
        switch (type)
        {
            case DType.F32:
                _data = GuardedBuffer.Of<float>(values);
                break;
            case DType.BF16:
                _data = GuardedBuffer.Of<ushort>([.. values.Select(v => (ushort)(BitConverter.SingleToUInt32Bits(v) >> 16))]);
                values = [.. values.Select(v => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(v) & 0xFFFF0000))];
                break;
            case DType.F16:
                // Small ones too, so that subnormals occur.
                values = [.. values.Select((v, i) => (float)(Half)(i % 3 == 0 ? v * 1e-6f : v))];
                _data = GuardedBuffer.Of<Half>([.. values.Select(v => (Half)v)]);
                break;
            default:
                var scaleColumns = (columns + 127) / 128;
                var scales = RandomValues.Floats((rows + 127) / 128 * scaleColumns, seed + 1).Select(s => MathF.Abs(s) + 0.01f).ToArray();
                var codes = values.Select((v, i) => Fp8.Encode(v * (i % 5 == 0 ? 0.02f : 100))).ToArray();
                values = [.. codes.Select((code, i) => Fp8.Decode(code) * scales[(i / columns / 128 * scaleColumns) + (i % columns / 128)])];
                _data = GuardedBuffer.Of<byte>(codes);
                _scales = GuardedBuffer.Of<float>(scales);
                break;
        }

        Values = values;
        Weight = new Weight(_data.Data, type, rows, columns, _scales is null ? null : _scales.Floats);
    }

    public float[] Values { get; }

    public Weight Weight { get; }

    public double Magnitude => Values.Max(v => Math.Abs((double)v)) + 1e-6;

    public void Dispose()
    {
        _data.Dispose();
        _scales?.Dispose();
    }
}
