using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Conclave.Model.Checkpoints;

namespace Conclave.Model.Kernels;

/// <summary>
/// <c>y[r, o] = sum over i of x[r, i] w[o, i]</c>. Element i adds to partial sum i mod 16 by one fused multiply-add, in ascending i, and the sixteen
/// are summed in the order of <see cref="Lanes.Sum"/>: the bits depend on nothing but the inner dimension and the values.
/// </summary>
public static unsafe class Linear
{
    /// <summary>Weight rows that are widened at a time for several input rows.</summary>
    public const int PanelRows = 16;

    private const int TileRows = 4;
    private const int TailSizeBytes = Lanes.Count * sizeof(float);

    /// <summary>Floats of scratch memory that <see cref="Run"/> needs for weights of <paramref name="columns"/> columns.</summary>
    public static long PanelFloats(int columns) => (PanelRows + TileRows) * (long)Padded(columns);

    /// <summary>Computes outputs <paramref name="start"/> to <paramref name="end"/> of <paramref name="rowCount"/> rows; output o of a row goes to <c>y[o]</c>.</summary>
    /// <param name="w">Weights.</param>
    /// <param name="start">First output.</param>
    /// <param name="end">Behind the last output.</param>
    /// <param name="x">Input rows of <c>w.Columns</c>.</param>
    /// <param name="y">Output rows of at least <paramref name="end"/>.</param>
    /// <param name="rowCount">Rows.</param>
    /// <param name="panel">Scratch of <see cref="PanelFloats"/>.</param>
    public static void Run<TLanes, TVector>(in Weight w, int start, int end, RowSet x, RowSet y, int rowCount, float* panel)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        switch (w.Type)
        {
            case DType.F32: Run<TLanes, TVector, F32Format>(w, start, end, x, y, rowCount, panel); break;
            case DType.BF16: Run<TLanes, TVector, Bf16Format>(w, start, end, x, y, rowCount, panel); break;
            case DType.F16: Run<TLanes, TVector, F16Format>(w, start, end, x, y, rowCount, panel); break;
            default: Run<TLanes, TVector, E4M3Format>(w, start, end, x, y, rowCount, panel); break;
        }
    }

    private static void Run<TLanes, TVector, TFormat>(in Weight w, int start, int end, RowSet x, RowSet y, int rowCount, float* panel)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        if (rowCount == 1)
        {
            for (var o = start; o < end; o += 4)
                OneRow<TLanes, TVector, TFormat>(w, o, Math.Min(end - o, 4), x.Row(0), y.Row(0) + o);
            return;
        }

        // Whole vectors only, so that the tile has no special end: what has another width is copied behind zeros.
        var columns = w.Columns;
        var padded = Padded(columns);
        var inputs = panel + ((long)PanelRows * padded);
        var sums = stackalloc float[TileRows * TileRows];
        for (var first = start; first < end; first += PanelRows)
        {
            var count = Math.Min(PanelRows, end - first);
            var rows = panel;
            if (w.Type == DType.F32 && columns == padded)
                rows = (float*)w.Row(first);
            else
                Widen.Rows<TLanes, TVector, TFormat>(w, first, count, panel, padded);
            for (var r = 0; r < rowCount; r += TileRows)
            {
                var tileRows = Math.Min(TileRows, rowCount - r);
                float* x0 = x.Row(r), x1 = x.Row(r + Math.Min(1, tileRows - 1)), x2 = x.Row(r + Math.Min(2, tileRows - 1)), x3 = x.Row(r + tileRows - 1);
                if (columns != padded)
                {
                    x0 = Pad(x0, columns, inputs, padded);
                    x1 = Pad(x1, columns, inputs + padded, padded);
                    x2 = Pad(x2, columns, inputs + (2L * padded), padded);
                    x3 = Pad(x3, columns, inputs + (3L * padded), padded);
                }

                for (var o = 0; o < count; o += TileRows)
                {
                    var outputs = Math.Min(TileRows, count - o);
                    var w0 = rows + ((long)o * padded);
                    Tile<TLanes, TVector>(x0, x1, x2, x3, w0, w0 + (Math.Min(1, outputs - 1) * (long)padded), w0 + (Math.Min(2, outputs - 1) * (long)padded), w0 + ((outputs - 1) * (long)padded), padded, sums);
                    for (var i = 0; i < tileRows; i++)
                        new ReadOnlySpan<float>(sums + (i * TileRows), outputs).CopyTo(new Span<float>(y.Row(r + i) + first + o, outputs));
                }
            }
        }
    }

    private static int Padded(int columns) => (columns + Lanes.Count - 1) / Lanes.Count * Lanes.Count;

    /// <summary>Copies a row and fills it up with zeros; the accumulators of the kernels never live across a call, which would push them out of registers.</summary>
    private static float* Pad(float* source, int count, float* destination, int padded)
    {
        new ReadOnlySpan<float>(source, count).CopyTo(new Span<float>(destination, count));
        new Span<float>(destination + count, padded - count).Clear();
        return destination;
    }

    /// <summary>Up to four outputs of one row, weights widened on the fly.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void OneRow<TLanes, TVector, TFormat>(in Weight w, int output, int count, float* x, float* y)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        var size = TFormat.SizeBytes;
        int o1 = output + Math.Min(1, count - 1), o2 = output + Math.Min(2, count - 1), o3 = output + count - 1;
        byte* w0 = w.Row(output), w1 = w.Row(o1), w2 = w.Row(o2), w3 = w.Row(o3);
        float* s0 = w.RowScales(output), s1 = w.RowScales(o1), s2 = w.RowScales(o2), s3 = w.RowScales(o3);
        TVector a0 = default, a1 = default, a2 = default, a3 = default;
        var columns = w.Columns;
        var tailCount = columns % Lanes.Count;
        var whole = columns - tailCount;
        var tails = stackalloc byte[5 * TailSizeBytes];
        if (tailCount > 0)
        {
            PadTail(w0 + ((long)whole * size), tailCount * size, tails);
            PadTail(w1 + ((long)whole * size), tailCount * size, tails + TailSizeBytes);
            PadTail(w2 + ((long)whole * size), tailCount * size, tails + (2 * TailSizeBytes));
            PadTail(w3 + ((long)whole * size), tailCount * size, tails + (3 * TailSizeBytes));
            PadTail((byte*)(x + whole), tailCount * sizeof(float), tails + (4 * TailSizeBytes));
        }

        var blockSize = TFormat.Scaled ? Weight.BlockSize : columns;
        for (var block = 0; block < columns; block += blockSize)
        {
            TVector f0 = default, f1 = default, f2 = default, f3 = default;
            if (TFormat.Scaled)
            {
                f0 = TLanes.Broadcast(*s0++);
                f1 = TLanes.Broadcast(*s1++);
                f2 = TLanes.Broadcast(*s2++);
                f3 = TLanes.Broadcast(*s3++);
            }

            var stop = Math.Min(block + blockSize, columns);
            nint i = block;
            for (; i + Lanes.Count <= stop; i += Lanes.Count)
            {
                var v = TLanes.Load(x + i);
                a0 = Accumulate<TLanes, TVector, TFormat>(TFormat.Load<TLanes, TVector>(w0 + (i * size)), f0, v, a0);
                a1 = Accumulate<TLanes, TVector, TFormat>(TFormat.Load<TLanes, TVector>(w1 + (i * size)), f1, v, a1);
                a2 = Accumulate<TLanes, TVector, TFormat>(TFormat.Load<TLanes, TVector>(w2 + (i * size)), f2, v, a2);
                a3 = Accumulate<TLanes, TVector, TFormat>(TFormat.Load<TLanes, TVector>(w3 + (i * size)), f3, v, a3);
            }

            if (i < stop)
            {
                var v = TLanes.Load((float*)(tails + (4 * TailSizeBytes)));
                a0 = Accumulate<TLanes, TVector, TFormat>(TFormat.Load<TLanes, TVector>(tails), f0, v, a0);
                a1 = Accumulate<TLanes, TVector, TFormat>(TFormat.Load<TLanes, TVector>(tails + TailSizeBytes), f1, v, a1);
                a2 = Accumulate<TLanes, TVector, TFormat>(TFormat.Load<TLanes, TVector>(tails + (2 * TailSizeBytes)), f2, v, a2);
                a3 = Accumulate<TLanes, TVector, TFormat>(TFormat.Load<TLanes, TVector>(tails + (3 * TailSizeBytes)), f3, v, a3);
            }
        }

        var sums = stackalloc float[4];
        TLanes.Sum(a0, a1, a2, a3).Store(sums);
        for (var o = 0; o < count; o++)
            y[o] = sums[o];
    }

    private static void PadTail(byte* source, int sizeBytes, byte* destination)
    {
        NativeMemory.Clear(destination, TailSizeBytes);
        NativeMemory.Copy(source, destination, (nuint)sizeBytes);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Accumulate<TLanes, TVector, TFormat>(TVector weight, TVector scale, TVector x, TVector sum)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat =>
        TLanes.FusedMultiplyAdd(TFormat.Scaled ? TLanes.Multiply(weight, scale) : weight, x, sum);

    /// <summary>Four rows by four outputs in registers; <paramref name="columns"/> is a multiple of sixteen.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile<TLanes, TVector>(float* x0, float* x1, float* x2, float* x3, float* w0, float* w1, float* w2, float* w3, nint columns, float* sums)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TVector a00 = default, a01 = default, a02 = default, a03 = default, a10 = default, a11 = default, a12 = default, a13 = default;
        TVector a20 = default, a21 = default, a22 = default, a23 = default, a30 = default, a31 = default, a32 = default, a33 = default;
        for (nint i = 0; i < columns; i += Lanes.Count)
        {
            TVector v0 = TLanes.Load(w0 + i), v1 = TLanes.Load(w1 + i), v2 = TLanes.Load(w2 + i), v3 = TLanes.Load(w3 + i);
            var u = TLanes.Load(x0 + i);
            a00 = TLanes.FusedMultiplyAdd(v0, u, a00);
            a01 = TLanes.FusedMultiplyAdd(v1, u, a01);
            a02 = TLanes.FusedMultiplyAdd(v2, u, a02);
            a03 = TLanes.FusedMultiplyAdd(v3, u, a03);
            u = TLanes.Load(x1 + i);
            a10 = TLanes.FusedMultiplyAdd(v0, u, a10);
            a11 = TLanes.FusedMultiplyAdd(v1, u, a11);
            a12 = TLanes.FusedMultiplyAdd(v2, u, a12);
            a13 = TLanes.FusedMultiplyAdd(v3, u, a13);
            u = TLanes.Load(x2 + i);
            a20 = TLanes.FusedMultiplyAdd(v0, u, a20);
            a21 = TLanes.FusedMultiplyAdd(v1, u, a21);
            a22 = TLanes.FusedMultiplyAdd(v2, u, a22);
            a23 = TLanes.FusedMultiplyAdd(v3, u, a23);
            u = TLanes.Load(x3 + i);
            a30 = TLanes.FusedMultiplyAdd(v0, u, a30);
            a31 = TLanes.FusedMultiplyAdd(v1, u, a31);
            a32 = TLanes.FusedMultiplyAdd(v2, u, a32);
            a33 = TLanes.FusedMultiplyAdd(v3, u, a33);
        }

        TLanes.Sum(a00, a01, a02, a03).Store(sums);
        TLanes.Sum(a10, a11, a12, a13).Store(sums + 4);
        TLanes.Sum(a20, a21, a22, a23).Store(sums + 8);
        TLanes.Sum(a30, a31, a32, a33).Store(sums + 12);
    }
}
