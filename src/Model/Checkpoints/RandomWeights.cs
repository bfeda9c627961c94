using System.Runtime.InteropServices;
using System.Text;

namespace Conclave.Model.Checkpoints;

/// <summary>
/// Random weights, a pure function of seed, tensor name and position, so that they are the same in whatever order and pieces they are made.
/// Values are quantiles of the logistic distribution: bell-shaped like trained weights, and known in closed form.
/// </summary>
internal sealed class RandomWeights
{
    /// <summary>Values that share one random draw of 64 bits; pieces must begin at a multiple of it.</summary>
    public const int GroupElements = 8;

    private const ulong Gamma = 0x9E3779B97F4A7C15;
    private const int TableBits = 12;
    private const float LargestE4M3 = 448;

    private static readonly float[] Quantiles = LogisticQuantiles(1 << TableBits);
    private static readonly byte[] Codes = E4M3Quantiles(out CodeDeviation);
    private static readonly float CodeDeviation;

    private readonly ulong _key;

    /// <summary>The stream of the tensor <paramref name="name"/> under <paramref name="seed"/>.</summary>
    public RandomWeights(ulong seed, string name)
    {
        var hash = 0xCBF29CE484222325; // FNV-1a: must not change between runs, unlike string.GetHashCode
        foreach (var octet in Encoding.UTF8.GetBytes(name))
            hash = (hash ^ octet) * 0x100000001B3;
        _key = Mix(Mix(seed) ^ hash);
    }

    /// <summary>Values of <paramref name="mean"/> and standard deviation <paramref name="deviation"/>.</summary>
    /// <param name="first">Position of the first one in the tensor, a multiple of <see cref="GroupElements"/>.</param>
    /// <param name="destination">Filled.</param>
    /// <param name="mean">Mean.</param>
    /// <param name="deviation">Standard deviation.</param>
    public void Fill(long first, Span<float> destination, float mean, float deviation)
    {
        for (var i = 0; i < destination.Length; i++)
            destination[i] = mean + (deviation * Quantiles[Index(Draw((first + i) / 4), (int)((first + i) % 4))]);
    }

    /// <summary>As above, in bfloat16.</summary>
    public void FillBFloat16(long first, Span<ushort> destination, float mean, float deviation)
    {
        Span<ushort> table = stackalloc ushort[1 << TableBits];
        for (var i = 0; i < table.Length; i++)
            table[i] = (ushort)(BitConverter.SingleToUInt32Bits(mean + (deviation * Quantiles[i])) >> 16);
        var whole = destination.Length / 4 * 4;
        var groups = MemoryMarshal.Cast<ushort, ulong>(destination[..whole]);
        for (var i = 0; i < groups.Length; i++)
        {
            var draw = Draw((first / 4) + i);
            groups[i] = table[Index(draw, 0)] | ((ulong)table[Index(draw, 1)] << 16) | ((ulong)table[Index(draw, 2)] << 32) | ((ulong)table[Index(draw, 3)] << 48);
        }
        for (var i = whole; i < destination.Length; i++)
            destination[i] = table[Index(Draw((first + i) / 4), (int)((first + i) % 4))];
    }

    /// <summary>E4M3 codes that use the whole range; <see cref="BlockScale"/> gives them their size.</summary>
    public void FillE4M3(long first, Span<byte> destination)
    {
        var whole = destination.Length / GroupElements * GroupElements;
        var groups = MemoryMarshal.Cast<byte, ulong>(destination[..whole]);
        for (var i = 0; i < groups.Length; i++)
        {
            var draw = Draw((first / GroupElements) + i);
            groups[i] = Code(draw, 0) | Code(draw, 1) | Code(draw, 2) | Code(draw, 3) | Code(draw, 4) | Code(draw, 5) | Code(draw, 6) | Code(draw, 7);
        }
        if (whole == destination.Length)
            return;
        var last = Draw((first + whole) / GroupElements);
        for (var lane = 0; whole + lane < destination.Length; lane++)
            destination[whole + lane] = Codes[(byte)(last >> (8 * lane))];
    }

    /// <summary>Scale by which E4M3 codes get the standard deviation <paramref name="deviation"/>.</summary>
    public static float BlockScale(float deviation) => deviation / CodeDeviation;

    private static ulong Code(ulong draw, int lane) => (ulong)Codes[(byte)(draw >> (8 * lane))] << (8 * lane);

    private static int Index(ulong draw, int lane) => (int)(draw >> (16 * lane)) & ((1 << TableBits) - 1);

    private ulong Draw(long counter) => Mix(_key + ((ulong)counter * Gamma));

    /// <summary>The finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).</summary>
    private static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }

    /// <summary>Equally likely values of mean 0 and, nearly, variance 1.</summary>
    private static float[] LogisticQuantiles(int count)
    {
        var table = new float[count];
        for (var i = 0; i < count; i++)
        {
            var probability = (i + 0.5) / count;
            table[i] = (float)(Math.Log(probability / (1 - probability)) * Math.Sqrt(3) / Math.PI);
        }
        return table;
    }

    /// <summary>256 equally likely codes, the outermost at the largest magnitude, and the standard deviation of their values.</summary>
    private static byte[] E4M3Quantiles(out float deviation)
    {
        var quantiles = LogisticQuantiles(256);
        var codes = new byte[256];
        var squares = 0.0;
        for (var i = 0; i < codes.Length; i++)
        {
            var target = quantiles[i] / quantiles[^1] * LargestE4M3;
            var magnitude = (byte)Enumerable.Range(0, 0x7F).MinBy(code => Math.Abs(Magnitude(code) - Math.Abs(target)));
            codes[i] = (byte)(magnitude | (target < 0 ? 0x80 : 0));
            squares += Magnitude(magnitude) * Magnitude(magnitude);
        }
        deviation = (float)Math.Sqrt(squares / codes.Length);
        return codes;
    }

    /// <summary>Value of an E4M3FN code without sign: 4 exponent bits of bias 7, 3 mantissa bits.</summary>
    private static double Magnitude(int code) => code >> 3 == 0 ? Math.ScaleB(code, -9) : Math.ScaleB(8 + (code & 7), (code >> 3) - 10);
}
