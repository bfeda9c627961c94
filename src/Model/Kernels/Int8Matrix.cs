using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Conclave.Model.Kernels;

/// <summary>
/// A matrix in 8 bits: row-major codes -127 to 127, filled up with zeros to whole blocks of 128 columns and to a multiple of four rows, and a scale for every row and block. Rows and columns are
/// those of the <see cref="Weight"/> that it was made from.
/// </summary>
public unsafe struct Int8Matrix
{
    /// <summary>Columns that share a scale, of weights and of inputs.</summary>
    public const int Block = 128;

    /// <summary>Outputs whose scales lie together.</summary>
    public const int Outputs = 4;

    /// <summary>Codes of the first row.</summary>
    public sbyte* Codes;

    /// <summary>For every four rows and every block: four scales, then four corrections, -128 times the sum of a row's codes as 32-bit integers.</summary>
    public float* Scales;

    /// <summary>Blocks of a row.</summary>
    public int Blocks;

    /// <summary>Bytes that a matrix takes, its description included.</summary>
    public static long SizeBytes(int rows, int columns)
    {
        long blocks = BlocksOf(columns), padded = (rows + Outputs - 1) / Outputs * Outputs;
        return 64 + (padded * blocks * (Block + (2 * sizeof(float))));
    }

    /// <summary>Blocks of a row of <paramref name="columns"/> columns.</summary>
    public static int BlocksOf(int columns) => (columns + Block - 1) / Block;

    /// <summary>Rounds <paramref name="w"/> into <paramref name="memory"/> of <see cref="SizeBytes"/> zeroed bytes, which begins with the description.</summary>
    public static Int8Matrix* Make(in Weight w, byte* memory)
    {
        var blocks = BlocksOf(w.Columns);
        var padded = (w.Rows + Outputs - 1) / Outputs * Outputs;
        var matrix = (Int8Matrix*)memory;
        *matrix = new Int8Matrix { Codes = (sbyte*)memory + 64, Blocks = blocks };
        matrix->Scales = (float*)(matrix->Codes + ((long)padded * blocks * Block));
        var row = (float*)NativeMemory.AllocZeroed((nuint)(blocks * Block), sizeof(float));
        for (var r = 0; r < w.Rows; r++)
        {
            KernelSet.Best.Widen(w, r, 1, row);
            for (var b = 0; b < blocks; b++)
            {
                var codes = matrix->Codes + (((long)r * blocks) + b) * Block;
                var place = matrix->Scales + ((((long)(r / Outputs) * blocks) + b) * 2 * Outputs) + (r % Outputs);
                *place = Quantize(row + (b * Block), (byte*)codes, 0);
                var sum = 0;
                for (var i = 0; i < Block; i++)
                    sum += codes[i];
                ((int*)place)[Outputs] = -128 * sum;
            }
        }

        NativeMemory.Free(row);
        return matrix;
    }

    /// <summary>
    /// Rounds 128 floats to codes -127 to 127 of <c>max |x| / 127</c>, to the nearest, ties to even, and writes each plus <paramref name="offset"/>. Returns the scale: 0 if all are zero, NaN if one is.
    /// </summary>
    public static float Quantize(float* x, byte* codes, int offset)
    {
        var largest = Vector256<float>.Zero;
        for (var i = 0; i < Block; i += 8)
            largest = Vector256.Max(largest, Vector256.Abs(Vector256.Load(x + i)));
        var most = 0f;
        for (var i = 0; i < 8; i++)
            most = MathF.Max(most, largest[i]);
        // So small a block would not have a finite factor; to all that follows it is zero.
        if (most < 1e-35f)
        {
            new Span<byte>(codes, Block).Fill((byte)offset);
            return 0;
        }

        // Adding 1.5 * 2^23 rounds to an integer, which then lies in the lowest bits.
        Vector256<float> factor = Vector256.Create(127 / most), magic = Vector256.Create(12582912f);
        var zero = Vector256.Create(0x4B400000 - offset);
        for (var i = 0; i < Block; i += 32)
        {
            var a = ((Vector256.Load(x + i) * factor) + magic).AsInt32() - zero;
            var b = ((Vector256.Load(x + i + 8) * factor) + magic).AsInt32() - zero;
            var c = ((Vector256.Load(x + i + 16) * factor) + magic).AsInt32() - zero;
            var d = ((Vector256.Load(x + i + 24) * factor) + magic).AsInt32() - zero;
            Vector256.Narrow(Vector256.Narrow(a, b), Vector256.Narrow(c, d)).AsByte().Store(codes + i);
        }

        return most / 127;
    }
}
