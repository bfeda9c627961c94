using Conclave.Model.Checkpoints;
using Conclave.Model.Kernels;

namespace Conclave.Model.Tests.Numerics;

/// <summary>
/// The model written down plainly in float64, every token at once and no cache: keys and values of every head are made from the latents (no
/// absorption). The oracle for configurations that no golden case covers.
/// </summary>
internal sealed unsafe class NaiveModel(Checkpoint checkpoint)
{
    private readonly ModelConfig _c = checkpoint.Config;
    private readonly Dictionary<string, double[][]> _matrices = [];

    /// <summary>Logits [T][V].</summary>
    public double[][] Logits(int[] ids)
    {
        var embedding = Matrix("model.embed_tokens.weight");
        var x = ids.Select(id => (double[])embedding[id].Clone()).ToArray();
        for (var layer = 0; layer < _c.LayerCount; layer++)
        {
            var prefix = $"model.layers.{layer}.";
            Add(x, Attention(prefix + "self_attn.", Norm(x, prefix + "input_layernorm.weight")));
            var h = Norm(x, prefix + "post_attention_layernorm.weight");
            Add(x, _c.IsMoeLayer(layer) ? MixtureOfExperts(prefix + "mlp.", h) : Mlp(prefix + "mlp.", h));
        }

        return Multiply(Norm(x, "model.norm.weight"), Matrix("lm_head.weight"));
    }

    private double[][] Attention(string prefix, double[][] x)
    {
        int nope = _c.QkNopeHeadDim, rope = _c.QkRopeHeadDim, v = _c.VHeadDim;
        var query = x;
        if (_c.QLoraRank > 0)
            query = Norm(Multiply(x, Matrix(prefix + "q_a_proj.weight")), prefix + "q_a_layernorm.weight");
        var q = Multiply(query, Matrix(prefix + (_c.QLoraRank > 0 ? "q_b_proj.weight" : "q_proj.weight")));
        var compressed = Multiply(x, Matrix(prefix + "kv_a_proj_with_mqa.weight"));
        var latents = Norm([.. compressed.Select(row => row[.._c.KvLoraRank])], prefix + "kv_a_layernorm.weight");
        var kv = Multiply(latents, Matrix(prefix + "kv_b_proj.weight"));
        var sharedKeys = compressed.Select((row, t) => Rotate(row[_c.KvLoraRank..], t, halves: false)).ToArray();
        var visible = _c.IndexHeadCount > 0 ? Select(prefix + "indexer.", x, query) : [.. x.Select((_, t) => Enumerable.Range(0, t + 1).ToArray())];

        var scale = 1 / Math.Sqrt(nope + rope);
        if (_c.RopeScaling is { } yarn)
            scale *= Math.Pow((0.1 * yarn.MscaleAllDim * Math.Log(yarn.Factor)) + 1, 2);
        var heads = x.Select(_ => new double[_c.HeadCount * v]).ToArray();
        for (var t = 0; t < x.Length; t++)
        {
            for (var head = 0; head < _c.HeadCount; head++)
            {
                var own = q[t].AsSpan(head * (nope + rope), nope + rope).ToArray();
                var rotated = Rotate(own[nope..], t, halves: false);
                var scores = visible[t].Select(s =>
                    scale * (Dot(own[..nope], kv[s].AsSpan(head * (nope + v), nope)) + Dot(rotated, sharedKeys[s]))).ToArray();
                var weights = Softmax(scores);
                for (var i = 0; i < visible[t].Length; i++)
                {
                    for (var d = 0; d < v; d++)
                        heads[t][(head * v) + d] += weights[i] * kv[visible[t][i]][(head * (nope + v)) + nope + d];
                }
            }
        }

        return Multiply(heads, Matrix(prefix + "o_proj.weight"));
    }

    private int[][] Select(string prefix, double[][] x, double[][] queryLatents)
    {
        int rope = _c.QkRopeHeadDim, width = _c.IndexHeadDim;
        var q = Multiply(queryLatents, Matrix(prefix + "wq_b.weight"));
        var k = Multiply(x, Matrix(prefix + "wk.weight"));
        var headWeights = Multiply(x, Matrix(prefix + "weights_proj.weight"));
        double[] weight = Vector(prefix + "k_norm.weight"), bias = Vector(prefix + "k_norm.bias");
        for (var t = 0; t < x.Length; t++)
        {
            var mean = k[t].Average();
            var deviation = Math.Sqrt(k[t].Average(value => (value - mean) * (value - mean)) + 1e-6);
            k[t] = [.. k[t].Select((value, i) => ((value - mean) / deviation * weight[i]) + bias[i])];
            k[t] = [.. Rotate(k[t][..rope], t, halves: true), .. k[t][rope..]];
        }

        return [.. x.Select((_, t) =>
        {
            var scores = new double[t + 1];
            for (var head = 0; head < _c.IndexHeadCount; head++)
            {
                var own = q[t].AsSpan(head * width, width).ToArray();
                own = [.. Rotate(own[..rope], t, halves: true), .. own[rope..]];
                for (var s = 0; s <= t; s++)
                    scores[s] += headWeights[t][head] * Math.Max(Dot(own, k[s]), 0);
            }

            return scores.Select((score, s) => (score, s)).OrderByDescending(e => e.score).Take(_c.IndexTopK).Select(e => e.s).Order().ToArray();
        })];
    }

    private double[][] MixtureOfExperts(string prefix, double[][] x)
    {
        var logits = Multiply(x, Matrix(prefix + "gate.weight"));
        var bias = _c.TopKMethod == TopKMethod.NoAuxTc ? Vector(prefix + "gate.e_score_correction_bias") : new double[_c.RoutedExpertCount];
        var output = _c.SharedExpertCount > 0 ? Mlp(prefix + "shared_experts.", x) : [.. x.Select(_ => new double[_c.HiddenSize])];
        for (var t = 0; t < x.Length; t++)
        {
            var scores = _c.ScoringFunction == ScoringFunction.Sigmoid ? [.. logits[t].Select(l => 1 / (1 + Math.Exp(-l)))] : Softmax(logits[t]);
            var biased = scores.Zip(bias, (s, b) => s + b).ToArray();
            var size = _c.RoutedExpertCount / _c.GroupCount;
            var groups = Enumerable.Range(0, _c.GroupCount);
            if (_c.TopKMethod != TopKMethod.Greedy)
                groups = groups.OrderByDescending(g => biased.Skip(g * size).Take(size).OrderDescending().Take(_c.TopKMethod == TopKMethod.NoAuxTc ? 2 : 1).Sum()).Take(_c.GroupsKept).ToArray();
            var chosen = groups.SelectMany(g => Enumerable.Range(g * size, size)).OrderByDescending(e => biased[e]).Take(_c.ExpertsPerToken).ToArray();
            var total = _c.ScoringFunction == ScoringFunction.Sigmoid ? chosen.Sum(e => scores[e]) : 1;
            foreach (var e in chosen)
            {
                var row = Mlp($"{prefix}experts.{e}.", [x[t]])[0];
                for (var i = 0; i < row.Length; i++)
                    output[t][i] += row[i] * scores[e] / total * _c.RoutedScalingFactor;
            }
        }

        return output;
    }

    private double[][] Mlp(string prefix, double[][] x)
    {
        var gate = Multiply(x, Matrix(prefix + "gate_proj.weight"));
        var up = Multiply(x, Matrix(prefix + "up_proj.weight"));
        return Multiply([.. gate.Zip(up, (g, u) => g.Zip(u, (a, b) => a / (1 + Math.Exp(-a)) * b).ToArray())], Matrix(prefix + "down_proj.weight"));
    }

    private double[] Rotate(double[] x, int position, bool halves)
    {
        var pairs = x.Length / 2;
        var y = new double[x.Length];
        for (var i = 0; i < pairs; i++)
        {
            var (first, second) = halves ? (i, i + pairs) : (2 * i, (2 * i) + 1);
            var angle = position * Frequency(i);
            y[first] = (x[first] * Math.Cos(angle)) - (x[second] * Math.Sin(angle));
            y[second] = (x[first] * Math.Sin(angle)) + (x[second] * Math.Cos(angle));
        }

        return y;
    }

    private double Frequency(int pair)
    {
        double dimensions = _c.QkRopeHeadDim;
        var frequency = Math.Pow(_c.RopeTheta, -2 * pair / dimensions);
        if (_c.RopeScaling is not { } yarn)
            return frequency;
        double Bound(double beta) => dimensions * Math.Log(yarn.OriginalMaxPositions / (beta * 2 * Math.PI)) / (2 * Math.Log(_c.RopeTheta));
        var low = Math.Max(Math.Floor(Bound(yarn.BetaFast)), 0);
        var high = Math.Min(Math.Ceiling(Bound(yarn.BetaSlow)), dimensions - 1);
        var ramp = Math.Clamp((pair - low) / Math.Max(high - low, 0.001), 0, 1);
        return (frequency * (1 - ramp)) + (frequency / yarn.Factor * ramp);
    }

    private double[][] Norm(double[][] x, string name)
    {
        var weight = Vector(name);
        return [.. x.Select(row =>
        {
            var rms = Math.Sqrt(row.Average(v => v * v) + _c.RmsNormEpsilon);
            return row.Select((v, i) => v / rms * weight[i]).ToArray();
        })];
    }

    private double[] Vector(string name)
    {
        var tensor = checkpoint.Tensors[name];
        return Values(new Weight((byte*)tensor.Data, tensor.DType, 1, (int)tensor.Shape[0]))[0];
    }

    private double[][] Matrix(string name)
    {
        if (_matrices.TryGetValue(name, out var known))
            return known;
        var shape = checkpoint.Tensors[name].Shape;
        return _matrices[name] = Values(Weight.Bind(checkpoint, name, (int)shape[0], (int)shape[1]));
    }

    private static double[][] Values(Weight weight)
    {
        var row = new float[weight.Columns];
        var result = new double[weight.Rows][];
        for (var i = 0; i < weight.Rows; i++)
        {
            fixed (float* destination = row)
                KernelSet.For(KernelTier.Scalar).Widen(weight, i, 1, destination);
            result[i] = [.. row.Select(v => (double)v)];
        }

        return result;
    }

    private static double[][] Multiply(double[][] x, double[][] w) => [.. x.Select(row => w.Select(weights => Dot(row, weights)).ToArray())];

    private static double Dot(ReadOnlySpan<double> a, ReadOnlySpan<double> b)
    {
        var sum = 0d;
        for (var i = 0; i < a.Length; i++)
            sum += a[i] * b[i];
        return sum;
    }

    private static double[] Softmax(double[] x)
    {
        var largest = x.Max();
        var exponentials = x.Select(v => Math.Exp(v - largest)).ToArray();
        var sum = exponentials.Sum();
        return [.. exponentials.Select(e => e / sum)];
    }

    private static void Add(double[][] x, double[][] y)
    {
        for (var t = 0; t < x.Length; t++)
            x[t] = [.. x[t].Zip(y[t], (a, b) => a + b)];
    }
}
