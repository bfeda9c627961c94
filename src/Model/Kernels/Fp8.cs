using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Conclave.Model.Kernels;

/// <summary>E4M3FN: sign, four exponent bits (bias 7), three mantissa bits; no infinity, maximum 448, NaN 0x7F and 0xFF.</summary>
public static unsafe class Fp8
{
    /// <summary>Columns that share one activation scale.</summary>
    public const int ActivationBlock = 128;

    /// <summary>The largest finite value.</summary>
    public const float MaxValue = 448;

    /// <summary>Exact value of <paramref name="code"/>.</summary>
    public static float Decode(byte code)
    {
        var exponent = (code >> 3) & 15;
        var mantissa = code & 7;
        float magnitude;
        if ((code & 0x7F) == 0x7F)
            magnitude = BitConverter.Int32BitsToSingle(0x7FC00000);
        else if (exponent == 0)
            magnitude = mantissa * 0.001953125f;
        else
            magnitude = BitConverter.Int32BitsToSingle(((exponent + 120) << 23) | (mantissa << 20));
        return (code & 0x80) != 0 ? -magnitude : magnitude;
    }

    /// <summary>The nearest code, ties to even; beyond 448 saturated, NaN stays NaN.</summary>
    public static byte Encode(float value)
    {
        var bits = BitConverter.SingleToUInt32Bits(value);
        var sign = (byte)((bits >> 24) & 0x80);
        var magnitude = MathF.Abs(value);
        if (float.IsNaN(value))
            return (byte)(sign | 0x7F);
        if (magnitude >= MaxValue)
            return (byte)(sign | 0x7E);
        if (magnitude < 0.015625f)
        {
            // Subnormal codes count 2^-9; adding 1.5 * 2^23 rounds to the nearest integer, ties to even. 8 is the smallest normal code.
            return (byte)(sign | (int)((magnitude * 512f) + 12582912f - 12582912f));
        }

        var rounded = (bits & 0x7FFFFFFF) + 0x7FFFF + ((bits >> 20) & 1);
        return (byte)(sign | Math.Min((rounded >> 20) - (120 << 3), 0x7E));
    }

    /// <summary>
    /// Quantizes a row as DeepSeek's FP8 recipe does for activations: every <see cref="ActivationBlock"/> columns share <c>scale = max(|x|, 1e-4) / 448</c>, rounded
    /// up to a power of two if <paramref name="powerOfTwoScales"/> (ue8m0); codes are those of <c>x / scale</c>.
    /// </summary>
    /// <param name="x">Row of <paramref name="count"/> floats.</param>
    /// <param name="count">Columns.</param>
    /// <param name="codes">Receives <paramref name="count"/> codes.</param>
    /// <param name="scales">Receives <c>ceil(count / 128)</c> scales.</param>
    /// <param name="powerOfTwoScales">Whether scales are powers of two.</param>
    public static void QuantizeRow(float* x, int count, byte* codes, float* scales, bool powerOfTwoScales)
    {
        for (var start = 0; start < count; start += ActivationBlock)
        {
            var end = Math.Min(start + ActivationBlock, count);
            var scale = Scale(x + start, end - start, powerOfTwoScales);
            *scales++ = scale;
            Encode(x + start, scale, end - start, codes + start);
        }
    }

    /// <summary>The codes of <c>x[i] / scale</c>, as <see cref="Encode(float)"/> makes them one by one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Encode(float* x, float scale, int count, byte* codes)
    {
        var i = 0;
        for (var divisor = Vector256.Create(scale); i + 16 <= count; i += 16)
        {
            var halves = Vector256.Narrow(Encode(Vector256.Load(x + i) / divisor), Encode(Vector256.Load(x + i + 8) / divisor));
            Vector128.Narrow(halves.GetLower(), halves.GetUpper()).Store(codes + i);
        }

        for (; i < count; i++)
            codes[i] = Encode(x[i] / scale);
    }

    /// <summary>The scale that <paramref name="count"/> columns share: <c>max(|x|, 1e-4) / 448</c>, rounded up to a power of two if wanted.</summary>
    public static float Scale(float* x, int count, bool powerOfTwo)
    {
        // Without their signs the bits of floats are ordered as their values are.
        var largest = BitConverter.SingleToInt32Bits(1e-4f);
        var i = 0;
        if (count >= 8)
        {
            var most = Vector256<int>.Zero;
            for (; i + 8 <= count; i += 8)
                most = Vector256.Max(most, Vector256.Load((int*)x + i) & Vector256.Create(int.MaxValue));
            for (var lane = 0; lane < 8; lane++)
                largest = Math.Max(largest, most[lane]);
        }

        for (; i < count; i++)
            largest = Math.Max(largest, ((int*)x)[i] & int.MaxValue);
        var scale = BitConverter.Int32BitsToSingle(largest) / MaxValue;
        return powerOfTwo ? RoundUpToPowerOfTwo(scale) : scale;
    }

    /// <summary>Codes times scales: the inverse of <see cref="QuantizeRow"/> up to rounding.</summary>
    public static void DequantizeRow(byte* codes, float* scales, int count, float* x)
    {
        for (var i = 0; i < count; i++)
            x[i] = Decode(codes[i]) * scales[i / ActivationBlock];
    }

    /// <summary>
    /// The scaled FP8 product of one quantized row with FP8 weights: for each 128-wide block of the inner dimension the sum of code products (in
    /// float32), times both scales.
    /// </summary>
    public static void ScaledProduct(byte* codes, float* scales, in Weight w, float* y)
    {
        for (var o = 0; o < w.Rows; o++)
        {
            var row = w.Row(o);
            var rowScales = w.RowScales(o);
            var sum = 0f;
            for (var start = 0; start < w.Columns; start += ActivationBlock)
            {
                var block = 0f;
                for (var i = start; i < Math.Min(start + ActivationBlock, w.Columns); i++)
                    block = MathF.FusedMultiplyAdd(Decode(codes[i]), Decode(row[i]), block);
                sum += block * (scales[start / ActivationBlock] * rowScales[start / Weight.BlockSize]);
            }

            y[o] = sum;
        }
    }

    /// <summary>Eight codes, one in each lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Encode(Vector256<float> value)
    {
        var bits = value.AsUInt32();
        var magnitude = bits & Vector256.Create(0x7FFFFFFFu);
        var normal = ((magnitude + Vector256.Create(0x7FFFFu) + ((bits >> 20) & Vector256<uint>.One)) >> 20) - Vector256.Create(120u << 3);
        // Adding 1.5 * 2^23 leaves the nearest integer in the lowest bits.
        var rounder = Vector256.Create(12582912f);
        var subnormal = ((magnitude.AsSingle() * Vector256.Create(512f)) + rounder).AsUInt32() - rounder.AsUInt32();
        var ordered = magnitude.AsInt32();
        var code = Vector256.ConditionalSelect(Vector256.LessThan(ordered, Vector256.Create(0.015625f).AsInt32()).AsUInt32(), subnormal, normal);
        code = Vector256.ConditionalSelect(Vector256.GreaterThanOrEqual(ordered, Vector256.Create(MaxValue).AsInt32()).AsUInt32(), Vector256.Create(0x7Eu), code);
        code = Vector256.ConditionalSelect(Vector256.GreaterThan(ordered, Vector256.Create(0x7F800000)).AsUInt32(), Vector256.Create(0x7Fu), code);
        return code | ((bits >> 24) & Vector256.Create(0x80u));
    }

    private static float RoundUpToPowerOfTwo(float value)
    {
        var bits = BitConverter.SingleToUInt32Bits(value);
        return BitConverter.UInt32BitsToSingle((bits + 0x7FFFFF) & 0xFF800000);
    }
}
