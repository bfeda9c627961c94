using System.Runtime.CompilerServices;

namespace Conclave.Model.Kernels;

/// <summary>
/// <c>y[r, c] += sum over d of a[r, d] w[d, c]</c>: rows of <c>w</c> weighted and summed. One fused multiply-add per d, in ascending d, onto what
/// <c>y</c> holds: cutting the sum over d into several calls changes no bit.
/// </summary>
public static unsafe class WeightedSum
{
    /// <summary>Adds the weighted rows.</summary>
    /// <param name="a">Rows of <paramref name="depth"/> coefficients.</param>
    /// <param name="y">Rows of <paramref name="columns"/> sums, read and written.</param>
    /// <param name="rowCount">Rows of <paramref name="a"/> and <paramref name="y"/>.</param>
    /// <param name="w">Float32 rows.</param>
    /// <param name="wStride">Floats from one row of <paramref name="w"/> to the next.</param>
    /// <param name="depth">Rows of <paramref name="w"/>.</param>
    /// <param name="columns">Columns.</param>
    public static void Run<TLanes, TVector>(RowSet a, RowSet y, int rowCount, float* w, long wStride, int depth, int columns)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        for (var r = 0; r < rowCount; r += 4)
        {
            var rows = Math.Min(4, rowCount - r);
            float* a0 = a.Row(r), a1 = a.Row(r + Math.Min(1, rows - 1)), a2 = a.Row(r + Math.Min(2, rows - 1)), a3 = a.Row(r + rows - 1);
            float* y0 = y.Row(r), y1 = y.Row(r + Math.Min(1, rows - 1)), y2 = y.Row(r + Math.Min(2, rows - 1)), y3 = y.Row(r + rows - 1);
            var c = 0;
            for (; c + (2 * Lanes.Count) <= columns; c += 2 * Lanes.Count)
                Tile<TLanes, TVector>(a0, a1, a2, a3, y0 + c, y1 + c, y2 + c, y3 + c, w + c, wStride, depth);
            for (; c < columns; c += Lanes.Count)
            {
                for (var i = 0; i < rows; i++)
                    Strip<TLanes, TVector>(a.Row(r + i), y.Row(r + i) + c, w + c, wStride, depth, Math.Min(Lanes.Count, columns - c));
            }
        }
    }

    /// <summary>Four rows by two vectors; a row given twice is stored twice with the same value.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile<TLanes, TVector>(float* a0, float* a1, float* a2, float* a3, float* y0, float* y1, float* y2, float* y3, float* w, long wStride, int depth)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TVector s00 = TLanes.Load(y0), s01 = TLanes.Load(y0 + 16), s10 = TLanes.Load(y1), s11 = TLanes.Load(y1 + 16);
        TVector s20 = TLanes.Load(y2), s21 = TLanes.Load(y2 + 16), s30 = TLanes.Load(y3), s31 = TLanes.Load(y3 + 16);
        for (nint d = 0; d < depth; d++, w += wStride)
        {
            TVector w0 = TLanes.Load(w), w1 = TLanes.Load(w + 16);
            var factor = TLanes.Broadcast(a0[d]);
            s00 = TLanes.FusedMultiplyAdd(w0, factor, s00);
            s01 = TLanes.FusedMultiplyAdd(w1, factor, s01);
            factor = TLanes.Broadcast(a1[d]);
            s10 = TLanes.FusedMultiplyAdd(w0, factor, s10);
            s11 = TLanes.FusedMultiplyAdd(w1, factor, s11);
            factor = TLanes.Broadcast(a2[d]);
            s20 = TLanes.FusedMultiplyAdd(w0, factor, s20);
            s21 = TLanes.FusedMultiplyAdd(w1, factor, s21);
            factor = TLanes.Broadcast(a3[d]);
            s30 = TLanes.FusedMultiplyAdd(w0, factor, s30);
            s31 = TLanes.FusedMultiplyAdd(w1, factor, s31);
        }

        TLanes.Store(s00, y0);
        TLanes.Store(s01, y0 + 16);
        TLanes.Store(s10, y1);
        TLanes.Store(s11, y1 + 16);
        TLanes.Store(s20, y2);
        TLanes.Store(s21, y2 + 16);
        TLanes.Store(s30, y3);
        TLanes.Store(s31, y3 + 16);
    }

    /// <summary>One row by up to sixteen columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Strip<TLanes, TVector>(float* a, float* y, float* w, long wStride, int depth, int columns)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        if (columns == Lanes.Count)
        {
            var sum = TLanes.Load(y);
            for (nint d = 0; d < depth; d++, w += wStride)
                sum = TLanes.FusedMultiplyAdd(TLanes.Load(w), TLanes.Broadcast(a[d]), sum);
            TLanes.Store(sum, y);
            return;
        }

        for (nint d = 0; d < depth; d++, w += wStride)
        {
            for (var c = 0; c < columns; c++)
                y[c] = MathF.FusedMultiplyAdd(w[c], a[d], y[c]);
        }
    }
}
