using System.Runtime.InteropServices;
using Conclave.Model.Kernels;

namespace Conclave.Model.Tests.Kernels;

/// <summary>Row kernels against float64, bit for bit across tiers, in memory with nothing behind it.</summary>
public sealed unsafe class ElementwiseTests
{
    public static TheoryData<int> Widths => [1, 2, 15, 16, 17, 31, 40, 64, 100, 257];

    private delegate void Kernel(KernelSet kernels, float* data, float* second);

    [Theory]
    [MemberData(nameof(Widths))]
    public void Sigmoid_and_silu(int n)
    {
        var x = RandomValues.Floats(n, n, 30);
        var up = RandomValues.Floats(n, n + 1);
        Check(x, up, (k, a, _) => k.Sigmoid(a, n), i => 1 / (1 + Math.Exp(-x[i])), 3e-7);
        Check(x, up, (k, a, b) => k.SiluMultiply(a, b, n), i => x[i] / (1 + Math.Exp(-x[i])) * up[i], 6e-7);
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void Sums_and_scales(int n)
    {
        float[] x = RandomValues.Floats(n, 1), y = RandomValues.Floats(n, 2);
        Check(x, y, (k, a, b) => k.Add(a, b, n), i => (double)x[i] + y[i], 1e-6);
        Check(x, y, (k, a, _) => k.Scale(a, 0.3f, n), i => x[i] * 0.3, 1e-6);
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void Norms(int n)
    {
        float[] x = RandomValues.Floats(n, 1, 4), w = RandomValues.Floats(n, 2);
        var rms = Math.Sqrt(x.Average(v => (double)v * v) + 1e-6);
        Check(x, w, (k, a, b) => k.RmsNorm(a, b, 1e-6f, a, n), i => x[i] / rms * w[i], 2e-6);
        var mean = x.Average(v => (double)v);
        var deviation = Math.Sqrt(x.Average(v => (v - mean) * (v - mean)) + 1e-6);
        Check(x, w, (k, a, b) => k.LayerNorm(a, b, b, 1e-6f, n), i => ((x[i] - mean) / deviation * w[i]) + w[i], n == 1 ? 1e-3 : 1e-5);
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void Softmax_whole_and_in_blocks(int n)
    {
        var x = RandomValues.Floats(n, 3, 20);
        var largest = x.Max();
        var total = x.Sum(v => Math.Exp((double)v - largest));
        Check(x, x, (k, a, _) => k.Softmax(a, n), i => Math.Exp((double)x[i] - largest) / total, 1e-6);
        Check(x, x, (k, a, _) => InBlocks(k, a, n), i => Math.Exp((double)x[i] - largest) / total, 1e-6);
    }

    [Fact]
    public void Exp_is_exact_at_zero_vanishes_below_and_follows_the_true_function()
    {
        float[] x = [0, float.NegativeInfinity, -88, -87, -1e-8f, 1e-8f, 1, -1, 10, -10, 50, -50, 0.3466f, -0.3466f, 87, -0.0f];
        foreach (var tier in Enum.GetValues<KernelTier>())
        {
            // sigmoid(-x) = 1 / (1 + e^x) shows e^x through the public kernels; softmax of (x, 0) shows it directly.
            foreach (var value in x.Where(v => v <= 0))
            {
                float maximum = 0, sum = 0;
                var score = value;
                KernelSet.For(tier).SoftmaxBlock(&score, 1, 1, ref maximum, ref sum);
                Assert.Equal(Math.Exp(value), score, Math.Exp(value) * 2.4e-7 + 1e-38);
                if (value == 0)
                    Assert.Equal(1f, score);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Widths))]
    public void Expert_outputs_combine_in_order(int n)
    {
        float[] rows = RandomValues.Floats(3 * n, 1), weights = [0.3f, -0.7f, 1.1f], y = RandomValues.Floats(n, 2), shared = RandomValues.Floats(n, 3);
        foreach (var tier in Enum.GetValues<KernelTier>())
        {
            using var data = GuardedBuffer.Of<float>(rows);
            using var factors = GuardedBuffer.Of<float>(weights);
            using var residual = GuardedBuffer.Of<float>(y);
            using var common = GuardedBuffer.Of<float>(shared);
            KernelSet.For(tier).CombineExperts(residual.Floats, data.Floats, factors.Floats, 3, common.Floats, n);
            for (var i = 0; i < n; i++)
            {
                float sum = 0;
                for (var h = 0; h < 3; h++)
                    sum = MathF.FusedMultiplyAdd(rows[(h * n) + i], weights[h], sum);
                Assert.Equal(y[i] + (sum + shared[i]), residual.Floats[i]);
            }
        }
    }

    [Theory]
    [InlineData(1, 16)]
    [InlineData(8, 33)]
    [InlineData(19, 128)]
    public void Indexer_heads_combine_in_order(int heads, int width)
    {
        const int Keys = KvLayout.BlockTokens;
        float[] keys = RandomValues.Floats(Keys * width, 1), queries = RandomValues.Floats(heads * width, 2), weights = RandomValues.Floats(heads, 3), scales = RandomValues.Floats(Keys, 4);
        foreach (var tier in Enum.GetValues<KernelTier>())
        {
            using var block = GuardedBuffer.Of<float>(keys);
            using var query = GuardedBuffer.Of<float>(queries);
            using var factors = GuardedBuffer.Of<float>(weights);
            using var perKey = GuardedBuffer.Of<float>(scales);
            using var scores = new GuardedBuffer(Keys * sizeof(float));
            KernelSet.For(tier).Attention.IndexScores(block.Floats, perKey.Floats, query.Floats, factors.Floats, heads, width, scores.Floats);
            for (var t = 0; t < Keys; t++)
            {
                float sum = 0;
                for (var h = 0; h < heads; h++)
                {
                    float product = 0;
                    for (var i = 0; i < width; i++)
                        product = MathF.FusedMultiplyAdd(queries[(h * width) + i], keys[(i * Keys) + t], product);
                    sum = MathF.FusedMultiplyAdd(MathF.Max(product, 0), weights[h], sum);
                }

                Assert.Equal(sum * scales[t], scores.Floats[t]);
            }
        }
    }

    [Fact]
    public void The_best_k_are_chosen_with_ties_to_the_lower_index()
    {
        var random = new Random(3);
        for (var round = 0; round < 200; round++)
        {
            var n = random.Next(2, 300);
            var k = random.Next(1, n);
            var values = Enumerable.Range(0, n).Select(_ => random.Next(-5, 5) * 0.25f).ToArray();
            // Few different values, or many of all sizes, or many in a narrow range; and a NaN, which is the smallest.
            if (round % 4 == 0)
                values[random.Next(n)] = -0.0f;
            else if (round % 4 == 1)
                values = [.. values.Select(_ => BitConverter.Int32BitsToSingle(random.Next() ^ (random.Next() << 31))).Select(value => float.IsFinite(value) ? value : 1)];
            else if (round % 4 == 2)
                values = [.. values.Select(_ => 1 + (random.NextSingle() * 1e-4f))];
            if (round % 8 == 1)
                values[random.Next(n)] = float.NaN;
            var expected = Enumerable.Range(0, n).OrderByDescending(i => float.IsNaN(values[i]) ? float.NegativeInfinity : values[i]).ThenBy(i => i).Take(k).Order();
            var chosen = new int[k];
            fixed (float* v = values)
            fixed (int* c = chosen)
                TopK.Select(v, n, k, c);
            Assert.Equal(expected, chosen);
        }
    }

    private static void InBlocks(KernelSet kernels, float* x, int n)
    {
        const int Block = 16;
        float maximum = float.NegativeInfinity, sum = 0;
        for (var start = 0; start < n; start += Block)
        {
            var correction = kernels.SoftmaxBlock(x + start, Math.Min(Block, n - start), 1, ref maximum, ref sum);
            for (var i = 0; i < start; i++)
                x[i] *= correction;
        }

        kernels.Scale(x, 1 / sum, n);
    }

    private static void Check(float[] x, float[] second, Kernel kernel, Func<int, double> expected, double tolerance)
    {
        int[]? reference = null;
        foreach (var tier in Enum.GetValues<KernelTier>())
        {
            using var data = GuardedBuffer.Of<float>(x);
            using var other = GuardedBuffer.Of<float>(second);
            kernel(KernelSet.For(tier), data.Floats, other.Floats);
            var result = data.ToFloats();
            for (var i = 0; i < x.Length; i++)
                Assert.Equal(expected(i), result[i], tolerance * Math.Max(1, Math.Abs(expected(i))));
            var bits = MemoryMarshal.Cast<float, int>(result).ToArray();
            reference ??= bits;
            Assert.Equal(reference, bits);
        }
    }
}
