using Conclave.Model.Kernels;

namespace Conclave.Grains.Tests.Experts;

/// <summary>Rows as they travel, against slow and obvious rounding.</summary>
public sealed unsafe class RowFormatTests
{
    [Theory]
    [InlineData(DispatchType.F32)]
    [InlineData(DispatchType.BF16)]
    [InlineData(DispatchType.FP8)]
    public void Rows_are_rounded_to_the_nearest_and_only_once(DispatchType type)
    {
        var random = new Random(1);
        foreach (int columns in new[] { 1, 2, 3, 127, 128, 129, 200, 1024 })
        {
            float[] row = [.. Enumerable.Range(0, columns).Select(i => (float)((random.NextDouble() - 0.5) * Math.Pow(10, random.Next(-6, 3))))], decoded = new float[columns], again = new float[columns];
            if (columns > 5) (row[1], row[2], row[3], row[4]) = (0, -0f, 1.00390625f, 1.01171875f);
            var wire = new byte[RowFormat.RowSizeBytes(type, columns) + 1];
            wire[^1] = 77;
            RoundTrip(type, row, wire, decoded);
            for (int i = 0; i < columns; i++) Assert.Equal(Expected(type, row, i), decoded[i]);
            RoundTrip(type, decoded, wire, again);
            if (type != DispatchType.FP8) Assert.Equal(decoded, again);
            Assert.Equal(77, wire[^1]);
        }
    }

    [Fact]
    public void Rows_take_what_they_must()
    {
        Assert.Equal(28672, RowFormat.RowSizeBytes(DispatchType.F32, 7168));
        Assert.Equal(14336, RowFormat.RowSizeBytes(DispatchType.BF16, 7168));
        Assert.Equal(7168 + (56 * 4), RowFormat.RowSizeBytes(DispatchType.FP8, 7168));
    }

    [Fact]
    public void What_is_no_number_stays_none()
    {
        float[] row = [float.NaN, float.PositiveInfinity, float.NegativeInfinity, BitConverter.UInt32BitsToSingle(0x7F800001), float.MaxValue], decoded = new float[5];
        RoundTrip(DispatchType.BF16, row, new byte[10], decoded);
        Assert.Equal([float.NaN, float.PositiveInfinity, float.NegativeInfinity, float.NaN, float.PositiveInfinity], decoded);
    }

    private static void RoundTrip(DispatchType type, float[] row, byte[] wire, float[] decoded)
    {
        fixed (float* from = row, to = decoded)
        {
            fixed (byte* bytes = wire)
            {
                RowFormat.Encode(type, from, row.Length, bytes);
                RowFormat.Decode(type, bytes, row.Length, to);
            }
        }
    }

    private static float Expected(DispatchType type, float[] row, int i)
    {
        if (type == DispatchType.F32) return row[i];
        if (type == DispatchType.BF16)
        {
            // The two neighbours with eight bits of mantissa, in double precision.
            double lower = BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(row[i]) & 0xFFFF0000);
            double upper = BitConverter.UInt32BitsToSingle((BitConverter.SingleToUInt32Bits(row[i]) & 0xFFFF0000) + 0x10000);
            double below = Math.Abs(row[i] - lower), above = Math.Abs(upper - row[i]);
            bool isLowerEven = (BitConverter.SingleToUInt32Bits((float)lower) & 0x10000) == 0;
            return (float)(below < above || (below == above && isLowerEven) ? lower : upper);
        }

        float scale = row.Skip(i / 128 * 128).Take(128).Select(Math.Abs).Append(1e-4f).Max() / 448;
        float scaled = row[i] / scale;
        byte nearest = Enumerable.Range(0, 256).Select(code => (byte)code).Where(code => (code & 0x7F) != 0x7F && (code < 128) == !float.IsNegative(scaled))
            .OrderBy(code => Math.Abs((double)Fp8.Decode(code) - scaled)).ThenBy(code => code & 1).First();
        return Fp8.Decode(nearest) * scale;
    }
}
