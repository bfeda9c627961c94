using System.Runtime.CompilerServices;
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

    private const int TailFloats = 8 * Lanes.Count;

    /// <summary>Floats of scratch memory that <see cref="Run"/> needs for weights of <paramref name="columns"/> columns.</summary>
    public static long PanelFloats(int columns) => TailFloats + ((long)PanelRows * columns);

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

        var columns = w.Columns;
        var tails = panel;
        panel += TailFloats;
        for (var first = start; first < end; first += PanelRows)
        {
            var count = Math.Min(PanelRows, end - first);
            var rows = panel;
            if (w.Type == DType.F32)
                rows = (float*)w.Row(first);
            else
                Widen.Rows<TLanes, TVector, TFormat>(w, first, count, panel);
            for (var r = 0; r < rowCount; r += 4)
            {
                for (var o = 0; o < count; o += 4)
                    Tile<TLanes, TVector>(x, y, r, Math.Min(4, rowCount - r), rows + ((long)o * columns), columns, first + o, Math.Min(4, count - o), tails);
            }
        }
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
                var rest = (int)(stop - i);
                var v = Lanes.LoadPartial<TLanes, TVector>(x + i, rest);
                a0 = Accumulate<TLanes, TVector, TFormat>(Lanes.LoadPartial<TLanes, TVector, TFormat>(w0 + (i * size), rest), f0, v, a0);
                a1 = Accumulate<TLanes, TVector, TFormat>(Lanes.LoadPartial<TLanes, TVector, TFormat>(w1 + (i * size), rest), f1, v, a1);
                a2 = Accumulate<TLanes, TVector, TFormat>(Lanes.LoadPartial<TLanes, TVector, TFormat>(w2 + (i * size), rest), f2, v, a2);
                a3 = Accumulate<TLanes, TVector, TFormat>(Lanes.LoadPartial<TLanes, TVector, TFormat>(w3 + (i * size), rest), f3, v, a3);
            }
        }

        var sums = TLanes.Sum(a0, a1, a2, a3);
        for (var o = 0; o < count; o++)
            y[o] = sums[o];
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Accumulate<TLanes, TVector, TFormat>(TVector weight, TVector scale, TVector x, TVector sum)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat =>
        TLanes.FusedMultiplyAdd(TFormat.Scaled ? TLanes.Multiply(weight, scale) : weight, x, sum);

    /// <summary>Up to four rows by four outputs in registers; rows and outputs beyond their count repeat the last one and are not stored.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile<TLanes, TVector>(RowSet x, RowSet y, int row, int rows, float* w, int columns, int output, int outputs, float* tails)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        float* x0 = x.Row(row), x1 = x.Row(row + Math.Min(1, rows - 1)), x2 = x.Row(row + Math.Min(2, rows - 1)), x3 = x.Row(row + rows - 1);
        float* w0 = w, w1 = w + (Math.Min(1, outputs - 1) * (long)columns), w2 = w + (Math.Min(2, outputs - 1) * (long)columns), w3 = w + ((outputs - 1) * (long)columns);
        TVector a00 = default, a01 = default, a02 = default, a03 = default, a10 = default, a11 = default, a12 = default, a13 = default;
        TVector a20 = default, a21 = default, a22 = default, a23 = default, a30 = default, a31 = default, a32 = default, a33 = default;
        nint i = 0, stop = columns - (columns % Lanes.Count);
        var rest = columns % Lanes.Count;
        while (true)
        {
            for (; i < stop; i += Lanes.Count)
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

            if (rest == 0)
                break;

            // One more turn over the last, partial vectors, padded with zeros.
            x0 = Pad(x0 + i, rest, tails) - i;
            x1 = Pad(x1 + i, rest, tails + 16) - i;
            x2 = Pad(x2 + i, rest, tails + 32) - i;
            x3 = Pad(x3 + i, rest, tails + 48) - i;
            w0 = Pad(w0 + i, rest, tails + 64) - i;
            w1 = Pad(w1 + i, rest, tails + 80) - i;
            w2 = Pad(w2 + i, rest, tails + 96) - i;
            w3 = Pad(w3 + i, rest, tails + 112) - i;
            stop = i + Lanes.Count;
            rest = 0;
        }

        Write(y, row, 0, rows, output, outputs, TLanes.Sum(a00, a01, a02, a03));
        Write(y, row, 1, rows, output, outputs, TLanes.Sum(a10, a11, a12, a13));
        Write(y, row, 2, rows, output, outputs, TLanes.Sum(a20, a21, a22, a23));
        Write(y, row, 3, rows, output, outputs, TLanes.Sum(a30, a31, a32, a33));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Write(RowSet y, int row, int index, int rows, int output, int outputs, Vector128<float> sums)
    {
        if (index >= rows)
            return;
        var destination = y.Row(row + index) + output;
        if (outputs == 4)
        {
            sums.Store(destination);
            return;
        }

        for (var o = 0; o < outputs; o++)
            destination[o] = sums[o];
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static float* Pad(float* source, int count, float* padded)
    {
        for (var i = 0; i < Lanes.Count; i++)
            padded[i] = i < count ? source[i] : 0;
        return padded;
    }
}
