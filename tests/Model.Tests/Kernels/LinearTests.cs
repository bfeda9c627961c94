using System.Runtime.InteropServices;
using Conclave.Model.Checkpoints;
using Conclave.Model.Kernels;

namespace Conclave.Model.Tests.Kernels;

/// <summary>Matrix kernels at ragged sizes, against sums in float64, bit for bit across tiers and row counts, in memory with nothing behind it.</summary>
public sealed unsafe class LinearTests
{
    private static readonly KernelTier[] Tiers = Enum.GetValues<KernelTier>();

    public static TheoryData<DType, int, int, int> Shapes()
    {
        var data = new TheoryData<DType, int, int, int>();
        foreach (var type in new[] { DType.F32, DType.F16, DType.BF16, DType.F8E4M3 })
        {
            foreach (var (rows, columns, inputs) in new[] { (1, 1, 1), (3, 5, 2), (17, 16, 1), (16, 31, 4), (21, 128, 5), (40, 129, 3), (35, 200, 9), (300, 200, 6), (130, 383, 2), (130, 64, 1), (6, 1100, 8), (5, 2080, 13), (9, 24, 40), (140, 192, 3), (36, 1088, 80) })
                data.Add(type, rows, columns, inputs);
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Linear_is_right_and_has_the_same_bits_in_every_tier_and_batch(DType type, int rows, int columns, int inputs)
    {
        using var stored = new StoredMatrix(type, rows, columns, seed: rows + columns);
        var x = RandomValues.Floats(inputs * columns, 5);
        var expected = new double[inputs * rows];
        for (var r = 0; r < inputs; r++)
        {
            for (var o = 0; o < rows; o++)
                expected[(r * rows) + o] = Enumerable.Range(0, columns).Sum(i => (double)x[(r * columns) + i] * stored.Values[(o * columns) + i]);
        }

        var reference = Run(KernelSet.For(KernelTier.Scalar), stored.Weight, x, inputs);
        for (var i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], reference[i], 1e-5 * Math.Sqrt(columns) * stored.Magnitude);
        foreach (var tier in Tiers)
        {
            var kernels = KernelSet.For(tier);
            Assert.Equal(Bits(reference), Bits(Run(kernels, stored.Weight, x, inputs)));
            for (var r = 0; r < inputs; r++)
                Assert.Equal(Bits(reference.AsSpan(r * rows, rows)), Bits(Run(kernels, stored.Weight, x.AsSpan(r * columns, columns), 1)));
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void A_slice_of_rows_and_a_part_of_the_outputs_have_the_bits_of_the_whole(DType type, int rows, int columns, int inputs)
    {
        using var stored = new StoredMatrix(type, rows, columns, seed: 3);
        var x = RandomValues.Floats(inputs * columns, 6);
        var start = rows / 3;
        var whole = Run(KernelSet.Best, stored.Weight, x, inputs);
        var slice = Run(KernelSet.Best, stored.Weight.Slice(start, rows - start), x, inputs);
        for (var r = 0; r < inputs; r++)
            Assert.Equal(Bits(whole.AsSpan((r * rows) + start, rows - start)), Bits(slice.AsSpan(r * (rows - start), rows - start)));
    }

    /// <summary>In a checkpoint a row begins anywhere; and what is asked for ahead changes nothing.</summary>
    [Theory]
    [InlineData(DType.F32, 30)]
    [InlineData(DType.BF16, 5)]
    [InlineData(DType.BF16, 30)]
    [InlineData(DType.BF16, 80)]
    [InlineData(DType.F8E4M3, 30)]
    public void Where_weights_lie_and_what_comes_next_changes_no_bits(DType type, int inputs)
    {
        const int Rows = 70, Columns = 1088;
        using var stored = new StoredMatrix(type, Rows, Columns, seed: 8);
        var x = RandomValues.Floats(inputs * Columns, 9);
        var expected = Bits(Run(KernelSet.Best, stored.Weight, x, inputs));
        var sizeBytes = Rows * Columns * stored.Weight.ElementSizeBytes;
        using var memory = new Arena();
        var place = (byte*)memory.Bytes(sizeBytes + 64);
        foreach (var offset in new[] { 0, 8, 40 })
        {
            Buffer.MemoryCopy(stored.Weight.Row(0), place + offset, sizeBytes, sizeBytes);
            var moved = new Weight(place + offset, type, Rows, Columns, stored.Weight.RowScales(0));
            Assert.Equal(expected, Bits(Run(KernelSet.Best, moved, x, inputs)));
            Assert.Equal(expected, Bits(Run(KernelSet.Best, moved, x, inputs, next: stored.Weight.Slice(Rows - 1, 1))));
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Widening_gives_the_stored_values_exactly(DType type, int rows, int columns, int inputs)
    {
        _ = inputs;
        using var stored = new StoredMatrix(type, rows, columns, seed: 4);
        foreach (var tier in Tiers)
        {
            using var widened = new GuardedBuffer((long)rows * columns * sizeof(float));
            KernelSet.For(tier).Widen(stored.Weight, 0, rows, widened.Floats);
            Assert.Equal(Bits(stored.Values), Bits(widened.ToFloats()));
        }
    }

    private static float[] Run(KernelSet kernels, in Weight weight, ReadOnlySpan<float> x, int inputs, in Weight next = default)
    {
        using var input = GuardedBuffer.Of(x);
        using var output = new GuardedBuffer((long)inputs * weight.Rows * sizeof(float));
        using var arranged = new GuardedBuffer(Linear.InputFloats(weight.Columns, inputs) * sizeof(float));
        using var scratch = new GuardedBuffer(Linear.ScratchFloats(weight.Columns) * sizeof(float));
        var middle = weight.Rows / 2;
        var (from, to) = (new RowSet(input.Floats, weight.Columns), new RowSet(output.Floats, weight.Rows));
        Linear.Arrange(weight, from, inputs, 0, Linear.Tiles(inputs), arranged.Floats);
        kernels.Linear(weight, 0, middle, arranged.Floats, inputs, to, scratch.Floats, next);
        kernels.Linear(weight, middle, weight.Rows, arranged.Floats, inputs, to, scratch.Floats, next);
        return output.ToFloats();
    }

    private static int[] Bits(ReadOnlySpan<float> values) => MemoryMarshal.Cast<float, int>(values).ToArray();
}
