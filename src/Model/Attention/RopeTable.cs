using System.Runtime.Intrinsics;

namespace Conclave.Model.Attention;

/// <summary>
/// Rotary position embedding (arXiv 2104.09864) with YaRN (arXiv 2309.00071). Angles are float32, position times frequency, as in DeepSeek's own program;
/// their cosine and sine come from basic IEEE operations in float64, the same on every host. Nothing is tabulated beyond the rows of a pass.
/// </summary>
public sealed unsafe class RopeTable
{
    private readonly float[] _frequencies;
    private readonly float _magnitude;

    /// <summary>Frequencies for <paramref name="config"/>.</summary>
    public RopeTable(ModelConfig config)
    {
        _frequencies = new float[config.QkRopeHeadDim / 2];
        for (var i = 0; i < _frequencies.Length; i++)
            _frequencies[i] = 1f / (float)Math.Pow(config.RopeTheta, 2f * i / config.QkRopeHeadDim);
        var scaling = config.RopeScaling;
        _magnitude = scaling is null ? 1 : (float)(Mscale(scaling.Factor, scaling.Mscale) / Mscale(scaling.Factor, scaling.MscaleAllDim));
        if (scaling is not null && config.MaxPositions > scaling.OriginalMaxPositions)
            Interpolate(config, scaling);
    }

    /// <summary>Radians per position of each pair of dimensions, <c>qk_rope_head_dim / 2</c> values.</summary>
    public ReadOnlySpan<float> Frequencies => _frequencies;

    /// <summary>Writes cosines and sines <c>[qk_rope_head_dim / 2]</c> of <paramref name="position"/>.</summary>
    public void Fill(int position, float* cosines, float* sines)
    {
        for (var i = 0; i < _frequencies.Length; i++)
        {
            var (sine, cosine) = SineCosine(position * _frequencies[i]);
            cosines[i] = (float)cosine * _magnitude;
            sines[i] = (float)sine * _magnitude;
        }
    }

    /// <summary>Rotates pairs (2i, 2i+1) of <paramref name="x"/>, as the main attention's q_pe and k_pe lie in the checkpoint.</summary>
    public static void RotateInterleaved(float* x, float* cosines, float* sines, int pairs)
    {
        var i = 0;
        for (; i + 4 <= pairs; i += 4)
        {
            // Four pairs: each times its cosine, plus each the other way round times its sine, whose sign is changed for the first of a pair.
            var twice = Vector256.Create(0, 0, 1, 1, 2, 2, 3, 3);
            var cosine = Vector256.Shuffle(Vector128.Load(cosines + i).ToVector256(), twice);
            var sine = Vector256.Shuffle(Vector128.Load(sines + i).ToVector256(), twice) ^ Vector256.Create(-0f, 0, -0f, 0, -0f, 0, -0f, 0);
            var pair = Vector256.Load(x + (2 * i));
            ((pair * cosine) + (Vector256.Shuffle(pair, Vector256.Create(1, 0, 3, 2, 5, 4, 7, 6)) * sine)).Store(x + (2 * i));
        }

        for (; i < pairs; i++)
        {
            float a = x[2 * i], b = x[(2 * i) + 1];
            x[2 * i] = (a * cosines[i]) - (b * sines[i]);
            x[(2 * i) + 1] = (a * sines[i]) + (b * cosines[i]);
        }
    }

    /// <summary>Rotates pairs (i, i + pairs) of <paramref name="x"/>, as the lightning indexer does.</summary>
    public static void RotateHalves(float* x, float* cosines, float* sines, int pairs)
    {
        var i = 0;
        for (; i + 8 <= pairs; i += 8)
        {
            Vector256<float> a = Vector256.Load(x + i), b = Vector256.Load(x + i + pairs), cosine = Vector256.Load(cosines + i), sine = Vector256.Load(sines + i);
            ((a * cosine) - (b * sine)).Store(x + i);
            ((a * sine) + (b * cosine)).Store(x + i + pairs);
        }

        for (; i < pairs; i++)
        {
            float a = x[i], b = x[i + pairs];
            x[i] = (a * cosines[i]) - (b * sines[i]);
            x[i + pairs] = (a * sines[i]) + (b * cosines[i]);
        }
    }

    /// <summary>The factor on attention scores: <c>(qk_nope_head_dim + qk_rope_head_dim)^-0.5</c>, with YaRN times <c>(0.1 mscale_all_dim ln(factor) + 1)^2</c>.</summary>
    public static float SoftmaxScale(ModelConfig config)
    {
        var scale = 1 / Math.Sqrt(config.QkNopeHeadDim + config.QkRopeHeadDim);
        if (config.RopeScaling is { } scaling && config.MaxPositions > scaling.OriginalMaxPositions)
        {
            var mscale = Mscale(scaling.Factor, scaling.MscaleAllDim);
            scale *= mscale * mscale;
        }

        return (float)scale;
    }

    /// <summary>Sine and cosine by reduction to |r| &lt;= pi/4 and Taylor polynomials; good to about 1e-15 for |x| below 1e6.</summary>
    internal static (double Sine, double Cosine) SineCosine(double x)
    {
        // pi/2 in three parts; the first two have enough trailing zeros for an exact product with quadrant.
        var quadrant = Math.Round(x * 0.63661977236758134);
        var r = x - (quadrant * 1.5707963267341256);
        r -= quadrant * 6.077100506303966e-11;
        r -= quadrant * 2.0222662487959506e-21;
        var z = r * r;
        var sine = r * (1 + (z * ((-1d / 6) + (z * ((1d / 120) + (z * ((-1d / 5040) + (z * ((1d / 362880) + (z * ((-1d / 39916800) + (z * (1d / 6227020800)))))))))))));
        var cosine = 1 + (z * (-0.5 + (z * ((1d / 24) + (z * ((-1d / 720) + (z * ((1d / 40320) + (z * ((-1d / 3628800) + (z * ((1d / 479001600) - (z * (1d / 87178291200))))))))))))));
        return ((long)quadrant & 3) switch
        {
            0 => (sine, cosine),
            1 => (cosine, -sine),
            2 => (-sine, -cosine),
            _ => (-cosine, sine),
        };
    }

    private static double Mscale(double factor, double mscale) => factor <= 1 ? 1 : (0.1 * mscale * Math.Log(factor)) + 1;

    /// <summary>YaRN: slow frequencies are divided by the factor, fast ones kept, a linear ramp between.</summary>
    private void Interpolate(ModelConfig config, YarnScaling scaling)
    {
        var dimensions = config.QkRopeHeadDim;
        double Dimension(double rotations) =>
            dimensions * Math.Log(scaling.OriginalMaxPositions / (rotations * 2 * Math.PI)) / (2 * Math.Log(config.RopeTheta));
        var low = (float)Math.Max(Math.Floor(Dimension(scaling.BetaFast)), 0);
        var high = (float)Math.Min(Math.Ceiling(Dimension(scaling.BetaSlow)), dimensions - 1);
        if (low == high)
            high += 0.001f;
        for (var i = 0; i < _frequencies.Length; i++)
        {
            var kept = 1 - Math.Clamp((i - low) / (high - low), 0, 1);
            _frequencies[i] = (_frequencies[i] / (float)scaling.Factor * (1 - kept)) + (_frequencies[i] * kept);
        }
    }
}
