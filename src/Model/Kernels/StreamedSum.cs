using System.Runtime.CompilerServices;
using Conclave.Model.Checkpoints;

namespace Conclave.Model.Kernels;

/// <summary>
/// <c>y[r, c] = sum over d of a[r, d] w[start + d, c]</c> for few rows, weights widened in registers: one fused multiply-add per d in ascending d, as <see cref="LatentBlocks.Values"/> does over
/// weights widened before.
/// </summary>
public static unsafe class StreamedSum
{
    /// <summary>Rows up to which reading the stored weights several times costs less than writing them widened.</summary>
    public const int MaxRows = 8;

    private const int Tile = 4;
    private const int Strip = 8;

    /// <summary>Computes all columns of <paramref name="rowCount"/> rows.</summary>
    /// <param name="w">Weights.</param>
    /// <param name="start">First weight row.</param>
    /// <param name="depth">Weight rows.</param>
    /// <param name="a">Factors, rows of <paramref name="depth"/>.</param>
    /// <param name="y">Receives rows of <c>w.Columns</c>.</param>
    /// <param name="rowCount">Rows.</param>
    public static void Run<TLanes, TVector>(in Weight w, int start, int depth, RowSet a, RowSet y, int rowCount)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        switch (w.Type)
        {
            case DType.F32: Run<TLanes, TVector, F32Format>(w, start, depth, a, y, rowCount); break;
            case DType.BF16: Run<TLanes, TVector, Bf16Format>(w, start, depth, a, y, rowCount); break;
            case DType.F16: Run<TLanes, TVector, F16Format>(w, start, depth, a, y, rowCount); break;
            default: Run<TLanes, TVector, E4M3Format>(w, start, depth, a, y, rowCount); break;
        }
    }

    private static void Run<TLanes, TVector, TFormat>(in Weight w, int start, int depth, RowSet a, RowSet y, int rowCount)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        var columns = w.Columns;
        for (var r = 0; r < rowCount; r += Tile)
        {
            var last = Math.Min(Tile, rowCount - r) - 1;
            float* a0 = a.Row(r), a1 = a.Row(r + Math.Min(1, last)), a2 = a.Row(r + Math.Min(2, last)), a3 = a.Row(r + last);
            float* y0 = y.Row(r), y1 = y.Row(r + Math.Min(1, last)), y2 = y.Row(r + Math.Min(2, last)), y3 = y.Row(r + last);
            var c = 0;
            if (last == 0)
            {
                for (; c + (Strip * Lanes.Count) <= columns; c += Strip * Lanes.Count)
                    OneRow<TLanes, TVector, TFormat>(w, start, depth, c, a0, y0 + c);
            }

            for (; c + (Tile * Lanes.Count) <= columns; c += Tile * Lanes.Count)
                FourRows<TLanes, TVector, TFormat>(w, start, depth, c, a0, a1, a2, a3, y0 + c, y1 + c, y2 + c, y3 + c);
            for (; c < columns; c += Lanes.Count)
            {
                for (var i = 0; i <= last; i++)
                    Narrow<TLanes, TVector, TFormat>(w, start, depth, c, Math.Min(Lanes.Count, columns - c), a.Row(r + i), y.Row(r + i) + c);
            }
        }
    }

    /// <summary>One row by eight vectors of columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void OneRow<TLanes, TVector, TFormat>(in Weight w, int start, int depth, int column, float* a, float* y)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        TVector s0 = default, s1 = default, s2 = default, s3 = default, s4 = default, s5 = default, s6 = default, s7 = default;
        for (var d = 0; d < depth; d++)
        {
            var source = Source<TFormat>(w, start + d, column);
            var scale = Scale<TLanes, TVector, TFormat>(w, start + d, column);
            var factor = TLanes.Broadcast(a[d]);
            s0 = Add<TLanes, TVector, TFormat>(source, 0, scale, factor, s0);
            s1 = Add<TLanes, TVector, TFormat>(source, 1, scale, factor, s1);
            s2 = Add<TLanes, TVector, TFormat>(source, 2, scale, factor, s2);
            s3 = Add<TLanes, TVector, TFormat>(source, 3, scale, factor, s3);
            s4 = Add<TLanes, TVector, TFormat>(source, 4, scale, factor, s4);
            s5 = Add<TLanes, TVector, TFormat>(source, 5, scale, factor, s5);
            s6 = Add<TLanes, TVector, TFormat>(source, 6, scale, factor, s6);
            s7 = Add<TLanes, TVector, TFormat>(source, 7, scale, factor, s7);
        }

        Store<TLanes, TVector>(s0, s1, s2, s3, y);
        Store<TLanes, TVector>(s4, s5, s6, s7, y + 64);
    }

    /// <summary>Four rows by four vectors of columns; a row given twice is stored twice with the same value.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourRows<TLanes, TVector, TFormat>(in Weight w, int start, int depth, int column, float* a0, float* a1, float* a2, float* a3, float* y0, float* y1, float* y2, float* y3)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        TVector s00 = default, s01 = default, s02 = default, s03 = default, s10 = default, s11 = default, s12 = default, s13 = default;
        TVector s20 = default, s21 = default, s22 = default, s23 = default, s30 = default, s31 = default, s32 = default, s33 = default;
        for (var d = 0; d < depth; d++)
        {
            var source = Source<TFormat>(w, start + d, column);
            var scale = Scale<TLanes, TVector, TFormat>(w, start + d, column);
            TVector v0 = Take<TLanes, TVector, TFormat>(source, 0, scale), v1 = Take<TLanes, TVector, TFormat>(source, 1, scale);
            TVector v2 = Take<TLanes, TVector, TFormat>(source, 2, scale), v3 = Take<TLanes, TVector, TFormat>(source, 3, scale);
            var factor = TLanes.Broadcast(a0[d]);
            s00 = TLanes.FusedMultiplyAdd(v0, factor, s00);
            s01 = TLanes.FusedMultiplyAdd(v1, factor, s01);
            s02 = TLanes.FusedMultiplyAdd(v2, factor, s02);
            s03 = TLanes.FusedMultiplyAdd(v3, factor, s03);
            factor = TLanes.Broadcast(a1[d]);
            s10 = TLanes.FusedMultiplyAdd(v0, factor, s10);
            s11 = TLanes.FusedMultiplyAdd(v1, factor, s11);
            s12 = TLanes.FusedMultiplyAdd(v2, factor, s12);
            s13 = TLanes.FusedMultiplyAdd(v3, factor, s13);
            factor = TLanes.Broadcast(a2[d]);
            s20 = TLanes.FusedMultiplyAdd(v0, factor, s20);
            s21 = TLanes.FusedMultiplyAdd(v1, factor, s21);
            s22 = TLanes.FusedMultiplyAdd(v2, factor, s22);
            s23 = TLanes.FusedMultiplyAdd(v3, factor, s23);
            factor = TLanes.Broadcast(a3[d]);
            s30 = TLanes.FusedMultiplyAdd(v0, factor, s30);
            s31 = TLanes.FusedMultiplyAdd(v1, factor, s31);
            s32 = TLanes.FusedMultiplyAdd(v2, factor, s32);
            s33 = TLanes.FusedMultiplyAdd(v3, factor, s33);
        }

        Store<TLanes, TVector>(s00, s01, s02, s03, y0);
        Store<TLanes, TVector>(s10, s11, s12, s13, y1);
        Store<TLanes, TVector>(s20, s21, s22, s23, y2);
        Store<TLanes, TVector>(s30, s31, s32, s33, y3);
    }

    /// <summary>One row by up to one vector of columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Narrow<TLanes, TVector, TFormat>(in Weight w, int start, int depth, int column, int count, float* a, float* y)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        TVector sum = default;
        for (var d = 0; d < depth; d++)
        {
            var source = Source<TFormat>(w, start + d, column);
            var value = count == Lanes.Count ? TFormat.Load<TLanes, TVector>(source) : Lanes.LoadPartial<TLanes, TVector, TFormat>(source, count);
            if (TFormat.Scaled)
                value = TLanes.Multiply(value, Scale<TLanes, TVector, TFormat>(w, start + d, column));
            sum = TLanes.FusedMultiplyAdd(value, TLanes.Broadcast(a[d]), sum);
        }

        Elementwise.Put<TLanes, TVector>(sum, y, count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static byte* Source<TFormat>(in Weight w, int row, int column)
        where TFormat : struct, IWeightFormat => w.Row(row) + ((long)column * TFormat.SizeBytes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Scale<TLanes, TVector, TFormat>(in Weight w, int row, int column)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat => TFormat.Scaled ? TLanes.Broadcast(w.RowScales(row)[column / Weight.BlockSize]) : default;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Take<TLanes, TVector, TFormat>(byte* source, int vector, TVector scale)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        var value = TFormat.Load<TLanes, TVector>(source + (vector * Lanes.Count * TFormat.SizeBytes));
        return TFormat.Scaled ? TLanes.Multiply(value, scale) : value;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Add<TLanes, TVector, TFormat>(byte* source, int vector, TVector scale, TVector factor, TVector sum)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat =>
        TLanes.FusedMultiplyAdd(Take<TLanes, TVector, TFormat>(source, vector, scale), factor, sum);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<TLanes, TVector>(TVector a, TVector b, TVector c, TVector d, float* y)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TLanes.Store(a, y);
        TLanes.Store(b, y + 16);
        TLanes.Store(c, y + 32);
        TLanes.Store(d, y + 48);
    }
}
