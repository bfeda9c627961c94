using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Conclave.Model.Kernels;

/// <summary>What the tiles of one block of input rows share.</summary>
internal unsafe struct TileRun
{
    /// <summary>Input rows in the order of <see cref="InputOrder"/>: of each group of 32 elements one row's, then the next row's.</summary>
    public float* X;

    /// <summary>Where the outputs of each row begin.</summary>
    public fixed long Y[LinearTiles.MaxRows];

    /// <summary>Rows, 1 to <see cref="LinearTiles.MaxRows"/>.</summary>
    public int Rows;

    /// <summary>Rows of the tile: 1, 2, 4 or 6, the last ones doubled if it has more than there are.</summary>
    public int TileRows;

    /// <summary>Groups of 32 elements in this part of the inner dimension.</summary>
    public nint Groups;

    /// <summary>Bytes from one weight row to the next.</summary>
    public nint StrideBytes;

    /// <summary>Whether the partial sums begin at zero; otherwise they are read.</summary>
    public bool First;

    /// <summary>Whether the outputs are complete; otherwise the partial sums are written.</summary>
    public bool Last;
}

/// <summary>
/// One, two, four or six input rows by four outputs, partial sums in registers. Weights are widened as they are loaded, once for all rows of the tile.
/// </summary>
internal static unsafe class LinearTiles
{
    /// <summary>Elements of a group: two vectors.</summary>
    public const int Group = 2 * Lanes.Count;

    /// <summary>Outputs of a tile.</summary>
    public const int Outputs = 4;

    /// <summary>Rows of the largest tile.</summary>
    public const int MaxRows = 6;

    /// <summary>Rows of the smallest tile that takes <paramref name="rows"/> rows.</summary>
    public static int TileRows(int rows) => rows switch { <= 2 => rows, <= 4 => 4, _ => MaxRows };

    /// <summary>Computes outputs <paramref name="o"/> to <paramref name="o"/> + <paramref name="count"/> (1 to 4).</summary>
    /// <param name="run">The block of rows.</param>
    /// <param name="w">The first output's weights.</param>
    /// <param name="o">The first output.</param>
    /// <param name="count">Outputs.</param>
    /// <param name="partial">Partial sums of the tile, if the inner dimension is cut.</param>
    [SkipLocalsInit]
    public static void Run<TLanes, TVector, TFormat>(in TileRun run, byte* w, int o, int count, float* partial)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        var weights = stackalloc byte*[Outputs];
        for (var i = 0; i < Outputs; i++)
            weights[i] = w + (Math.Min(i, count - 1) * run.StrideBytes);
        var sums = stackalloc float[MaxRows * Outputs];
        switch (run.TileRows)
        {
            case 1: Tile1<TLanes, TVector, TFormat>(run, weights, partial, sums); break;
            case 2: Tile2<TLanes, TVector, TFormat>(run, weights, partial, sums); break;
            case 4: Tile4<TLanes, TVector, TFormat>(run, weights, partial, sums); break;
            default: Tile6<TLanes, TVector, TFormat>(run, weights, partial, sums); break;
        }

        if (!run.Last)
            return;
        for (var r = 0; r < run.Rows; r++)
        {
            var y = (float*)run.Y[r] + o;
            if (count == Outputs)
            {
                Vector128.Load(sums + (r * Outputs)).Store(y);
                continue;
            }

            for (var i = 0; i < count; i++)
                y[i] = sums[(r * Outputs) + i];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile1<TLanes, TVector, TFormat>(in TileRun run, byte** w, float* partial, float* sums)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        TVector a0 = default, a1 = default, a2 = default, a3 = default;
        if (!run.First)
            Read<TLanes, TVector>(partial, ref a0, ref a1, ref a2, ref a3);
        byte* w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3], next = w0 + (Outputs * run.StrideBytes);
        nint step = TFormat.TileSizeBytes * Group, end = run.Groups * step;
        var x = run.X;
        for (nint i = 0; i < end; i += step, x += Group)
        {
            Prefetch(next, i, step);
            MultiplyAdd<TLanes, TVector>(x, TFormat.First<TLanes, TVector>(w0 + i), TFormat.First<TLanes, TVector>(w1 + i), TFormat.First<TLanes, TVector>(w2 + i), TFormat.First<TLanes, TVector>(w3 + i), ref a0, ref a1, ref a2, ref a3);
            MultiplyAdd<TLanes, TVector>(x + Lanes.Count, TFormat.Second<TLanes, TVector>(w0 + i), TFormat.Second<TLanes, TVector>(w1 + i), TFormat.Second<TLanes, TVector>(w2 + i), TFormat.Second<TLanes, TVector>(w3 + i), ref a0, ref a1, ref a2, ref a3);
        }

        Finish<TLanes, TVector>(run.Last, 0, partial, sums, a0, a1, a2, a3);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile2<TLanes, TVector, TFormat>(in TileRun run, byte** w, float* partial, float* sums)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        TVector a00 = default, a01 = default, a02 = default, a03 = default, a10 = default, a11 = default, a12 = default, a13 = default;
        if (!run.First)
        {
            Read<TLanes, TVector>(partial, ref a00, ref a01, ref a02, ref a03);
            Read<TLanes, TVector>(partial + (4 * Lanes.Count), ref a10, ref a11, ref a12, ref a13);
        }

        byte* w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3], next = w0 + (Outputs * run.StrideBytes);
        nint step = TFormat.TileSizeBytes * Group, end = run.Groups * step;
        var x = run.X;
        for (nint i = 0; i < end; i += step, x += 2 * Group)
        {
            Prefetch(next, i, step);
            TVector v0 = TFormat.First<TLanes, TVector>(w0 + i), v1 = TFormat.First<TLanes, TVector>(w1 + i), v2 = TFormat.First<TLanes, TVector>(w2 + i), v3 = TFormat.First<TLanes, TVector>(w3 + i);
            MultiplyAdd<TLanes, TVector>(x, v0, v1, v2, v3, ref a00, ref a01, ref a02, ref a03);
            MultiplyAdd<TLanes, TVector>(x + Group, v0, v1, v2, v3, ref a10, ref a11, ref a12, ref a13);
            v0 = TFormat.Second<TLanes, TVector>(w0 + i);
            v1 = TFormat.Second<TLanes, TVector>(w1 + i);
            v2 = TFormat.Second<TLanes, TVector>(w2 + i);
            v3 = TFormat.Second<TLanes, TVector>(w3 + i);
            MultiplyAdd<TLanes, TVector>(x + Lanes.Count, v0, v1, v2, v3, ref a00, ref a01, ref a02, ref a03);
            MultiplyAdd<TLanes, TVector>(x + Group + Lanes.Count, v0, v1, v2, v3, ref a10, ref a11, ref a12, ref a13);
        }

        Finish<TLanes, TVector>(run.Last, 0, partial, sums, a00, a01, a02, a03);
        Finish<TLanes, TVector>(run.Last, 1, partial, sums, a10, a11, a12, a13);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile4<TLanes, TVector, TFormat>(in TileRun run, byte** w, float* partial, float* sums)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        TVector a00 = default, a01 = default, a02 = default, a03 = default, a10 = default, a11 = default, a12 = default, a13 = default;
        TVector a20 = default, a21 = default, a22 = default, a23 = default, a30 = default, a31 = default, a32 = default, a33 = default;
        if (!run.First)
        {
            Read<TLanes, TVector>(partial, ref a00, ref a01, ref a02, ref a03);
            Read<TLanes, TVector>(partial + (4 * Lanes.Count), ref a10, ref a11, ref a12, ref a13);
            Read<TLanes, TVector>(partial + (8 * Lanes.Count), ref a20, ref a21, ref a22, ref a23);
            Read<TLanes, TVector>(partial + (12 * Lanes.Count), ref a30, ref a31, ref a32, ref a33);
        }

        byte* w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3], next = w0 + (Outputs * run.StrideBytes);
        nint step = TFormat.TileSizeBytes * Group, end = run.Groups * step;
        var x = run.X;
        for (nint i = 0; i < end; i += step, x += 4 * Group)
        {
            Prefetch(next, i, step);
            TVector v0 = TFormat.First<TLanes, TVector>(w0 + i), v1 = TFormat.First<TLanes, TVector>(w1 + i), v2 = TFormat.First<TLanes, TVector>(w2 + i), v3 = TFormat.First<TLanes, TVector>(w3 + i);
            MultiplyAdd<TLanes, TVector>(x, v0, v1, v2, v3, ref a00, ref a01, ref a02, ref a03);
            MultiplyAdd<TLanes, TVector>(x + Group, v0, v1, v2, v3, ref a10, ref a11, ref a12, ref a13);
            MultiplyAdd<TLanes, TVector>(x + (2 * Group), v0, v1, v2, v3, ref a20, ref a21, ref a22, ref a23);
            MultiplyAdd<TLanes, TVector>(x + (3 * Group), v0, v1, v2, v3, ref a30, ref a31, ref a32, ref a33);
            v0 = TFormat.Second<TLanes, TVector>(w0 + i);
            v1 = TFormat.Second<TLanes, TVector>(w1 + i);
            v2 = TFormat.Second<TLanes, TVector>(w2 + i);
            v3 = TFormat.Second<TLanes, TVector>(w3 + i);
            MultiplyAdd<TLanes, TVector>(x + Lanes.Count, v0, v1, v2, v3, ref a00, ref a01, ref a02, ref a03);
            MultiplyAdd<TLanes, TVector>(x + Group + Lanes.Count, v0, v1, v2, v3, ref a10, ref a11, ref a12, ref a13);
            MultiplyAdd<TLanes, TVector>(x + (2 * Group) + Lanes.Count, v0, v1, v2, v3, ref a20, ref a21, ref a22, ref a23);
            MultiplyAdd<TLanes, TVector>(x + (3 * Group) + Lanes.Count, v0, v1, v2, v3, ref a30, ref a31, ref a32, ref a33);
        }

        Finish<TLanes, TVector>(run.Last, 0, partial, sums, a00, a01, a02, a03);
        Finish<TLanes, TVector>(run.Last, 1, partial, sums, a10, a11, a12, a13);
        Finish<TLanes, TVector>(run.Last, 2, partial, sums, a20, a21, a22, a23);
        Finish<TLanes, TVector>(run.Last, 3, partial, sums, a30, a31, a32, a33);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile6<TLanes, TVector, TFormat>(in TileRun run, byte** w, float* partial, float* sums)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        TVector a00 = default, a01 = default, a02 = default, a03 = default, a10 = default, a11 = default, a12 = default, a13 = default;
        TVector a20 = default, a21 = default, a22 = default, a23 = default, a30 = default, a31 = default, a32 = default, a33 = default;
        TVector a40 = default, a41 = default, a42 = default, a43 = default, a50 = default, a51 = default, a52 = default, a53 = default;
        if (!run.First)
        {
            Read<TLanes, TVector>(partial, ref a00, ref a01, ref a02, ref a03);
            Read<TLanes, TVector>(partial + (4 * Lanes.Count), ref a10, ref a11, ref a12, ref a13);
            Read<TLanes, TVector>(partial + (8 * Lanes.Count), ref a20, ref a21, ref a22, ref a23);
            Read<TLanes, TVector>(partial + (12 * Lanes.Count), ref a30, ref a31, ref a32, ref a33);
            Read<TLanes, TVector>(partial + (16 * Lanes.Count), ref a40, ref a41, ref a42, ref a43);
            Read<TLanes, TVector>(partial + (20 * Lanes.Count), ref a50, ref a51, ref a52, ref a53);
        }

        byte* w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3], next = w0 + (Outputs * run.StrideBytes);
        nint step = TFormat.TileSizeBytes * Group, end = run.Groups * step;
        var x = run.X;
        for (nint i = 0; i < end; i += step, x += 6 * Group)
        {
            Prefetch(next, i, step);
            TVector v0 = TFormat.First<TLanes, TVector>(w0 + i), v1 = TFormat.First<TLanes, TVector>(w1 + i), v2 = TFormat.First<TLanes, TVector>(w2 + i), v3 = TFormat.First<TLanes, TVector>(w3 + i);
            MultiplyAdd<TLanes, TVector>(x, v0, v1, v2, v3, ref a00, ref a01, ref a02, ref a03);
            MultiplyAdd<TLanes, TVector>(x + Group, v0, v1, v2, v3, ref a10, ref a11, ref a12, ref a13);
            MultiplyAdd<TLanes, TVector>(x + (2 * Group), v0, v1, v2, v3, ref a20, ref a21, ref a22, ref a23);
            MultiplyAdd<TLanes, TVector>(x + (3 * Group), v0, v1, v2, v3, ref a30, ref a31, ref a32, ref a33);
            MultiplyAdd<TLanes, TVector>(x + (4 * Group), v0, v1, v2, v3, ref a40, ref a41, ref a42, ref a43);
            MultiplyAdd<TLanes, TVector>(x + (5 * Group), v0, v1, v2, v3, ref a50, ref a51, ref a52, ref a53);
            v0 = TFormat.Second<TLanes, TVector>(w0 + i);
            v1 = TFormat.Second<TLanes, TVector>(w1 + i);
            v2 = TFormat.Second<TLanes, TVector>(w2 + i);
            v3 = TFormat.Second<TLanes, TVector>(w3 + i);
            MultiplyAdd<TLanes, TVector>(x + Lanes.Count, v0, v1, v2, v3, ref a00, ref a01, ref a02, ref a03);
            MultiplyAdd<TLanes, TVector>(x + Group + Lanes.Count, v0, v1, v2, v3, ref a10, ref a11, ref a12, ref a13);
            MultiplyAdd<TLanes, TVector>(x + (2 * Group) + Lanes.Count, v0, v1, v2, v3, ref a20, ref a21, ref a22, ref a23);
            MultiplyAdd<TLanes, TVector>(x + (3 * Group) + Lanes.Count, v0, v1, v2, v3, ref a30, ref a31, ref a32, ref a33);
            MultiplyAdd<TLanes, TVector>(x + (4 * Group) + Lanes.Count, v0, v1, v2, v3, ref a40, ref a41, ref a42, ref a43);
            MultiplyAdd<TLanes, TVector>(x + (5 * Group) + Lanes.Count, v0, v1, v2, v3, ref a50, ref a51, ref a52, ref a53);
        }

        Finish<TLanes, TVector>(run.Last, 0, partial, sums, a00, a01, a02, a03);
        Finish<TLanes, TVector>(run.Last, 1, partial, sums, a10, a11, a12, a13);
        Finish<TLanes, TVector>(run.Last, 2, partial, sums, a20, a21, a22, a23);
        Finish<TLanes, TVector>(run.Last, 3, partial, sums, a30, a31, a32, a33);
        Finish<TLanes, TVector>(run.Last, 4, partial, sums, a40, a41, a42, a43);
        Finish<TLanes, TVector>(run.Last, 5, partial, sums, a50, a51, a52, a53);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void MultiplyAdd<TLanes, TVector>(float* x, TVector v0, TVector v1, TVector v2, TVector v3, ref TVector a0, ref TVector a1, ref TVector a2, ref TVector a3)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        var u = TLanes.Load(x);
        a0 = TLanes.FusedMultiplyAdd(v0, u, a0);
        a1 = TLanes.FusedMultiplyAdd(v1, u, a1);
        a2 = TLanes.FusedMultiplyAdd(v2, u, a2);
        a3 = TLanes.FusedMultiplyAdd(v3, u, a3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Read<TLanes, TVector>(float* partial, ref TVector a0, ref TVector a1, ref TVector a2, ref TVector a3)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        a0 = TLanes.Load(partial);
        a1 = TLanes.Load(partial + Lanes.Count);
        a2 = TLanes.Load(partial + (2 * Lanes.Count));
        a3 = TLanes.Load(partial + (3 * Lanes.Count));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish<TLanes, TVector>(bool last, int row, float* partial, float* sums, TVector a0, TVector a1, TVector a2, TVector a3)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        if (last)
        {
            TLanes.Sum(a0, a1, a2, a3).Store(sums + (row * Outputs));
            return;
        }

        partial += row * Outputs * Lanes.Count;
        TLanes.Store(a0, partial);
        TLanes.Store(a1, partial + Lanes.Count);
        TLanes.Store(a2, partial + (2 * Lanes.Count));
        TLanes.Store(a3, partial + (3 * Lanes.Count));
    }

    /// <summary>The weights of the next tile, as far ahead as memory takes to answer: rows lie behind each other.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prefetch(byte* next, nint i, nint step)
    {
        if (!Sse.IsSupported)
            return;
        var lines = next + (i * Outputs);
        Sse.Prefetch0(lines);
        Sse.Prefetch0(lines + 64);
        if (step < 64)
            return;
        Sse.Prefetch0(lines + 128);
        Sse.Prefetch0(lines + 192);
        if (step < 128)
            return;
        Sse.Prefetch0(lines + 256);
        Sse.Prefetch0(lines + 320);
        Sse.Prefetch0(lines + 384);
        Sse.Prefetch0(lines + 448);
    }
}
