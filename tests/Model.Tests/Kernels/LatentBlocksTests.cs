using System.Runtime.InteropServices;
using Conclave.Model.Attention;
using Conclave.Model.Kernels;

namespace Conclave.Model.Tests.Kernels;

/// <summary>The kernels of attention against sums written out, bit for bit in every tier, in memory with nothing behind it.</summary>
public sealed unsafe class LatentBlocksTests
{
    private const int Block = KvLayout.BlockTokens;
    private static readonly KernelTier[] Tiers = Enum.GetValues<KernelTier>();

    [Theory]
    [InlineData(1, 1, 16)]
    [InlineData(1, 13, 48)]
    [InlineData(2, 12, 16)]
    [InlineData(3, 50, 32)]
    [InlineData(4, 64, 80)]
    public void Scores_add_their_products_in_ascending_column(int vectors, int keyCount, int width)
    {
        var stride = width + 16;
        float[] queries = RandomValues.Floats(vectors * width * 16, 1), keys = RandomValues.Floats(((keyCount - 1) * stride) + width, 2);
        using var x = GuardedBuffer.Of<float>(queries);
        using var k = GuardedBuffer.Of<float>(keys);
        foreach (var tier in Tiers)
        {
            using var scores = new GuardedBuffer(vectors * Block * 16 * sizeof(float));
            KernelSet.For(tier).Attention.Scores(x.Floats, vectors, k.Floats, stride, keyCount, width, scores.Floats);
            for (var i = 0; i < vectors * keyCount * 16; i++)
            {
                int vector = i / (keyCount * 16), key = i / 16 % keyCount, lane = i % 16;
                float sum = 0;
                for (var c = 0; c < width; c++)
                    sum = MathF.FusedMultiplyAdd(queries[(((vector * width) + c) * 16) + lane], keys[(key * stride) + c], sum);
                Assert.Equal(sum, scores.Floats[(((vector * Block) + key) * 16) + lane]);
            }
        }
    }

    [Theory]
    [InlineData(1, 1, 16, true)]
    [InlineData(7, 5, 64, false)]
    [InlineData(9, 64, 48, true)]
    [InlineData(20, 33, 112, true)]
    [InlineData(64, 64, 32, false)]
    public void Values_add_their_products_in_ascending_key_onto_what_was_there(int queries, int rowCount, int columns, bool isContinued)
    {
        int stride = columns + 16, vectors = (queries + 15) / 16;
        float[] rows = RandomValues.Floats(((rowCount - 1) * stride) + columns, 1), before = RandomValues.Floats(((queries - 1) * stride) + columns, 2);
        float[] weights = RandomValues.Floats(vectors * Block * 16, 3), factors = RandomValues.Floats(vectors * 16, 4);
        for (var lane = queries; lane < vectors * 16; lane++)
        {
            factors[lane] = factors[queries - 1];
            for (var key = 0; key < rowCount; key++)
                weights[Place(lane, key)] = weights[Place(queries - 1, key)];
        }

        using var w = GuardedBuffer.Of<float>(weights);
        using var f = GuardedBuffer.Of<float>(factors);
        using var v = GuardedBuffer.Of<float>(rows);
        foreach (var tier in Tiers)
        {
            using var outputs = GuardedBuffer.Of<float>(before);
            KernelSet.For(tier).Attention.Values(w.Floats, Block * 16, queries, v.Floats, stride, rowCount, isContinued ? f.Floats : null, outputs.Floats, stride, columns);
            for (var i = 0; i < queries * columns; i++)
            {
                int query = i / columns, column = i % columns;
                var sum = isContinued ? before[(query * stride) + column] * factors[query] : 0;
                for (var key = 0; key < rowCount; key++)
                    sum = MathF.FusedMultiplyAdd(weights[Place(query, key)], rows[(key * stride) + column], sum);
                Assert.Equal(sum, outputs.Floats[(query * stride) + column]);
            }
        }
    }

    [Fact]
    public void Softmaxes_run_in_lanes_over_as_many_keys_as_each_sees()
    {
        const int Keys = 40;
        var scores = RandomValues.Floats(2 * Keys * 16, 5, 12);
        var limits = Enumerable.Range(0, 16).Select(lane => lane * 5f).ToArray();
        int[]? reference = null;
        foreach (var tier in Tiers)
        {
            using var y = GuardedBuffer.Of<float>(scores);
            using var limit = GuardedBuffer.Of<float>(limits);
            using var state = GuardedBuffer.Of<float>([.. Enumerable.Repeat(float.NegativeInfinity, 16), .. new float[32]]);
            float* maxima = state.Floats, sums = maxima + 16, factors = sums + 16;
            var kernels = KernelSet.For(tier).Attention;
            // First a block of which each lane sees a part, perhaps nothing, then one that all see.
            kernels.SoftmaxLanes(y.Floats, Keys, limit.Floats, maxima, sums, factors);
            Assert.Equal((float.NegativeInfinity, 0f, 0f), (maxima[0], sums[0], factors[0]));
            kernels.SoftmaxLanes(y.Floats + (Keys * 16), Keys, null, maxima, sums, factors);
            for (var lane = 0; lane < 16; lane++)
            {
                var seen = Enumerable.Range(0, 2 * Keys).Where(key => key >= Keys || key < limits[lane]).ToArray();
                var largest = seen.Max(key => scores[(key * 16) + lane]);
                Assert.Equal(largest, maxima[lane]);
                Assert.Equal(seen.Sum(key => Math.Exp((double)scores[(key * 16) + lane] - largest)), sums[lane], 1e-5);
                for (var key = 0; key < 2 * Keys; key++)
                {
                    var weight = seen.Contains(key) ? Math.Exp((double)scores[(key * 16) + lane] - largest) : 0;
                    Assert.Equal(weight, y.Floats[(key * 16) + lane] * (key < Keys ? factors[lane] : 1), 1e-6);
                }
            }

            var bits = MemoryMarshal.Cast<float, int>(y.ToFloats().Concat(state.ToFloats()).ToArray()).ToArray();
            reference ??= bits;
            Assert.Equal(reference, bits);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(18)]
    [InlineData(64)]
    public void Rows_are_put_into_lanes(int width)
    {
        var values = RandomValues.Floats(16 * width, 6);
        using var data = GuardedBuffer.Of<float>(values);
        using var result = new GuardedBuffer(16 * width * sizeof(float));
        var rows = stackalloc float*[16];
        for (var lane = 0; lane < 16; lane++)
            rows[lane] = data.Floats + (lane * width);
        LaneRows.Interleave(rows, width, 0.3f, result.Floats);
        for (var i = 0; i < 16 * width; i++)
            Assert.Equal(values[i] * 0.3f, result.Floats[(i % width * 16) + (i / width)]);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(32)]
    public void Rotations_of_many_pairs_are_those_of_each(int pairs)
    {
        float[] x = RandomValues.Floats(2 * pairs, 7), cosines = RandomValues.Floats(pairs, 8), sines = RandomValues.Floats(pairs, 9);
        using var c = GuardedBuffer.Of<float>(cosines);
        using var s = GuardedBuffer.Of<float>(sines);
        using var interleaved = GuardedBuffer.Of<float>(x);
        using var halves = GuardedBuffer.Of<float>(x);
        RopeTable.RotateInterleaved(interleaved.Floats, c.Floats, s.Floats, pairs);
        RopeTable.RotateHalves(halves.Floats, c.Floats, s.Floats, pairs);
        for (var i = 0; i < pairs; i++)
        {
            Assert.Equal((x[2 * i] * cosines[i]) - (x[(2 * i) + 1] * sines[i]), interleaved.Floats[2 * i]);
            Assert.Equal((x[2 * i] * sines[i]) + (x[(2 * i) + 1] * cosines[i]), interleaved.Floats[(2 * i) + 1]);
            Assert.Equal((x[i] * cosines[i]) - (x[i + pairs] * sines[i]), halves.Floats[i]);
            Assert.Equal((x[i] * sines[i]) + (x[i + pairs] * cosines[i]), halves.Floats[i + pairs]);
        }
    }

    private static int Place(int query, int key) => (((query / 16 * Block) + key) * 16) + (query % 16);
}
