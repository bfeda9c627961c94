using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Conclave.Model.Kernels;

/// <summary>
/// Matrix products in 8 bits: inputs are rounded per row and 128 columns, the products of 128 codes are summed as integers, which is exact in any order, and the blocks' sums times both scales are
/// added in float32 in ascending order. So every way to compute the integer sums gives the same bits.
/// </summary>
internal static unsafe class Int8Linear
{
    private const int Block = Int8Matrix.Block;
    private const int Outputs = Int8Matrix.Outputs;
    private const int TileRows = 3;

    /// <summary>Rows that stay near while the outputs pass.</summary>
    private const int RowsAtOnce = 48 * TileRows;

    /// <summary>Rounds rows <paramref name="first"/> to <paramref name="end"/> of <paramref name="rowCount"/>: codes of all rows, then their scales, go to <paramref name="inputs"/>.</summary>
    /// <param name="w">Weights in 8 bits.</param>
    /// <param name="columns">Columns of the rows.</param>
    /// <param name="x">Input rows.</param>
    /// <param name="first">First row.</param>
    /// <param name="end">Behind the last row.</param>
    /// <param name="rowCount">All rows.</param>
    /// <param name="inputs">As <see cref="Linear.InputFloats"/> says.</param>
    public static void Arrange(in Int8Matrix w, int columns, RowSet x, int first, int end, int rowCount, float* inputs)
    {
        for (var r = first; r < end; r++)
            QuantizeRow(x.Row(r), columns, (byte*)inputs + ((long)r * w.Blocks * Block), Scales(inputs, rowCount, w.Blocks) + ((long)r * w.Blocks));
    }

    /// <summary>Computes outputs <paramref name="start"/> to <paramref name="end"/>, rows of the whole matrix, as <see cref="Linear.Run"/> does.</summary>
    /// <param name="w">Weights in 8 bits.</param>
    /// <param name="start">First output.</param>
    /// <param name="end">Behind the last output.</param>
    /// <param name="inputs">Rounded rows.</param>
    /// <param name="rowCount">Rows.</param>
    /// <param name="y">Output rows; the first output goes to <c>y[0]</c>.</param>
    /// <param name="vectors">Whether vector instructions may be used.</param>
    public static void Run(in Int8Matrix w, int start, int end, float* inputs, int rowCount, RowSet y, bool vectors)
    {
        long padded = w.Blocks * Block;
        var scales = Scales(inputs, rowCount, w.Blocks);
        var sums = stackalloc float[TileRows * Outputs];
        for (int row = 0, stop; row < rowCount; row = stop)
        {
            stop = Math.Min(rowCount, row + RowsAtOnce);
            for (var o = start / Outputs * Outputs; o < end; o += Outputs)
            {
                var rowCodes = w.Codes + (o * padded);
                var rowScales = w.Scales + ((long)o / Outputs * w.Blocks * 2 * Outputs);
                int first = Math.Max(o, start), last = Math.Min(o + Outputs, end);
                for (int r = row, count; r < stop; r += count)
                {
                    count = stop - r >= TileRows ? TileRows : 1;
                    Tile((byte*)inputs + (r * padded), scales + ((long)r * w.Blocks), rowCodes, rowScales, w.Blocks, count, sums, vectors);
                    for (var i = 0; i < count; i++)
                        new ReadOnlySpan<float>(sums + (i * Outputs) + first - o, last - first).CopyTo(new Span<float>(y.Row(r + i) + first - start, last - first));
                }
            }
        }
    }

    private static float* Scales(float* inputs, int rowCount, int blocks) => (float*)((byte*)inputs + ((long)rowCount * blocks * Block));

    private static void QuantizeRow(float* x, int columns, byte* codes, float* scales)
    {
        var i = 0;
        for (; i + Block <= columns; i += Block)
            *scales++ = Int8Matrix.Quantize(x + i, codes + i, 128);
        if (i == columns)
            return;
        var padded = stackalloc float[Block];
        new ReadOnlySpan<float>(x + i, columns - i).CopyTo(new Span<float>(padded, Block));
        new Span<float>(padded + (columns - i), Block - (columns - i)).Clear();
        *scales = Int8Matrix.Quantize(padded, codes + i, 128);
    }

    private static void Tile(byte* x, float* xScales, sbyte* w, float* wScales, int blocks, int rows, float* sums, bool vectors)
    {
        if (!vectors || !Avx2.IsSupported)
            Scalar(x, xScales, w, wScales, blocks, rows, sums);
        else if (rows == 1)
            Tile1(x, xScales, w, wScales, blocks, sums);
        else
            Tile3(x, xScales, w, wScales, blocks, sums);
    }

    private static void Scalar(byte* x, float* xScales, sbyte* w, float* wScales, int blocks, int rows, float* sums)
    {
        for (var r = 0; r < rows; r++)
        {
            for (var o = 0; o < Outputs; o++)
            {
                var sum = 0f;
                for (var b = 0; b < blocks; b++)
                {
                    var exact = ((int*)wScales)[(b * 2 * Outputs) + Outputs + o];
                    for (var i = b * Block; i < (b + 1) * Block; i++)
                        exact += x[((long)r * blocks * Block) + i] * w[((long)o * blocks * Block) + i];
                    sum = MathF.FusedMultiplyAdd(exact, xScales[(r * blocks) + b] * wScales[(b * 2 * Outputs) + o], sum);
                }

                sums[(r * Outputs) + o] = sum;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile1(byte* x, float* xScales, sbyte* w, float* wScales, int blocks, float* sums)
    {
        nint stride = (nint)blocks * Block;
        sbyte* w1 = w + stride, w2 = w1 + stride, w3 = w2 + stride;
        var sum = Vector128<float>.Zero;
        for (nint b = 0; b < blocks; b++, wScales += 2 * Outputs)
        {
            Vector256<int> a0 = default, a1 = default, a2 = default, a3 = default;
            for (nint i = b * Block; i < (b + 1) * Block; i += 32)
            {
                Sse.Prefetch0(w + (4 * stride) + (4 * i));
                Sse.Prefetch0(w + (4 * stride) + (4 * i) + 64);
                var u = Vector256.Load(x + i);
                a0 = Dot(a0, u, Vector256.Load(w + i));
                a1 = Dot(a1, u, Vector256.Load(w1 + i));
                a2 = Dot(a2, u, Vector256.Load(w2 + i));
                a3 = Dot(a3, u, Vector256.Load(w3 + i));
            }

            sum = AddBlock(sum, a0, a1, a2, a3, wScales, xScales[b]);
        }

        sum.Store(sums);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile3(byte* x, float* xScales, sbyte* w, float* wScales, int blocks, float* sums)
    {
        nint stride = (nint)blocks * Block;
        sbyte* w1 = w + stride, w2 = w1 + stride, w3 = w2 + stride;
        byte* x1 = x + stride, x2 = x1 + stride;
        Vector128<float> sum0 = default, sum1 = default, sum2 = default;
        for (nint b = 0; b < blocks; b++, wScales += 2 * Outputs)
        {
            Vector256<int> a00 = default, a01 = default, a02 = default, a03 = default, a10 = default, a11 = default, a12 = default, a13 = default;
            Vector256<int> a20 = default, a21 = default, a22 = default, a23 = default;
            for (nint i = b * Block; i < (b + 1) * Block; i += 32)
            {
                Vector256<byte> u0 = Vector256.Load(x + i), u1 = Vector256.Load(x1 + i), u2 = Vector256.Load(x2 + i);
                a00 = Dot(a00, u0, Vector256.Load(w + i));
                a10 = Dot(a10, u1, Vector256.Load(w + i));
                a20 = Dot(a20, u2, Vector256.Load(w + i));
                a01 = Dot(a01, u0, Vector256.Load(w1 + i));
                a11 = Dot(a11, u1, Vector256.Load(w1 + i));
                a21 = Dot(a21, u2, Vector256.Load(w1 + i));
                a02 = Dot(a02, u0, Vector256.Load(w2 + i));
                a12 = Dot(a12, u1, Vector256.Load(w2 + i));
                a22 = Dot(a22, u2, Vector256.Load(w2 + i));
                a03 = Dot(a03, u0, Vector256.Load(w3 + i));
                a13 = Dot(a13, u1, Vector256.Load(w3 + i));
                a23 = Dot(a23, u2, Vector256.Load(w3 + i));
            }

            sum0 = AddBlock(sum0, a00, a01, a02, a03, wScales, xScales[b]);
            sum1 = AddBlock(sum1, a10, a11, a12, a13, wScales, xScales[blocks + b]);
            sum2 = AddBlock(sum2, a20, a21, a22, a23, wScales, xScales[(2 * blocks) + b]);
        }

        sum0.Store(sums);
        sum1.Store(sums + Outputs);
        sum2.Store(sums + (2 * Outputs));
    }

    /// <summary>Adds the products of four neighbours to each lane. Without AVX-VNNI on 16-bit numbers, where nothing saturates.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Dot(Vector256<int> sum, Vector256<byte> x, Vector256<sbyte> w)
    {
        if (AvxVnni.IsSupported)
            return AvxVnni.MultiplyWideningAndAdd(sum, x, w);
        Vector256<short> evenX = x.AsInt16() & Vector256.Create((short)0xFF), oddX = (x.AsUInt16() >> 8).AsInt16();
        Vector256<short> evenW = (w.AsInt16() << 8) >> 8, oddW = w.AsInt16() >> 8;
        return sum + (Avx2.MultiplyAddAdjacent(evenX, evenW) + Avx2.MultiplyAddAdjacent(oddX, oddW));
    }

    /// <summary>The block's exact sums of four outputs, corrected for the offset of the inputs' codes, times both scales.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> AddBlock(Vector128<float> sum, Vector256<int> a0, Vector256<int> a1, Vector256<int> a2, Vector256<int> a3, float* wScales, float xScale)
    {
        var first = Avx2.UnpackLow(a0, a1) + Avx2.UnpackHigh(a0, a1);
        var second = Avx2.UnpackLow(a2, a3) + Avx2.UnpackHigh(a2, a3);
        var all = Avx2.UnpackLow(first.AsInt64(), second.AsInt64()).AsInt32() + Avx2.UnpackHigh(first.AsInt64(), second.AsInt64()).AsInt32();
        var exact = all.GetLower() + all.GetUpper() + Vector128.Load((int*)wScales + Outputs);
        return Vector128.FusedMultiplyAdd(Vector128.ConvertToSingle(exact), Vector128.Create(xScale) * Vector128.Load(wScales), sum);
    }
}
