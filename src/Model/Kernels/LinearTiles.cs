using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Conclave.Model.Kernels;

/// <summary>What the tiles of one block of input rows share.</summary>
internal unsafe struct TileRun
{
    /// <summary>Input rows in the order of <see cref="InputOrder"/>: of each group of 32 elements one row's, then the next row's.</summary>
    public float* X;

    /// <summary>Where the outputs of each of the tile's rows go; room for a multiple of <see cref="LinearTiles.Outputs"/>.</summary>
    public fixed long Y[LinearTiles.MaxRows];

    /// <summary>Rows of the tile: 1, 2, 4 or 6.</summary>
    public int TileRows;

    /// <summary>Groups of 32 elements in this part of the inner dimension.</summary>
    public nint Groups;

    /// <summary>Bytes from one weight row to the next.</summary>
    public nint StrideBytes;

    /// <summary>Weights of the first output.</summary>
    public byte* W;

    /// <summary>Outputs.</summary>
    public int Outputs;

    /// <summary>Partial sums between two parts of the inner dimension: <see cref="LinearTiles.MaxRows"/> times <see cref="LinearTiles.Outputs"/> vectors for each tile.</summary>
    public float* Partial;

    /// <summary>Whether the partial sums begin at zero; otherwise they are read.</summary>
    public bool First;

    /// <summary>Whether the outputs are complete; otherwise the partial sums are written.</summary>
    public bool Last;

    /// <summary>Stored weights that will be needed next and are not asked for yet.</summary>
    public byte* Next;

    /// <summary>Where they end.</summary>
    public byte* NextEnd;

    /// <summary>Cache lines of them to ask for with every group of elements.</summary>
    public int NextLines;
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

    /// <summary>Tiles that <paramref name="rowCount"/> rows are cut into: six rows each, and the last seven or eight in two, since a tile of four takes less time a row than one of two.</summary>
    public static int Count(int rowCount) => Sixes(rowCount) + ((rowCount - (Sixes(rowCount) * MaxRows)) switch { 0 => 0, <= MaxRows => 1, _ => 2 });

    /// <summary>First row of tile <paramref name="tile"/>; <paramref name="rowCount"/> of the one behind the last.</summary>
    public static int FirstRow(int tile, int rowCount)
    {
        var sixes = Sixes(rowCount);
        return tile <= sixes ? tile * MaxRows : tile == Count(rowCount) ? rowCount : (sixes * MaxRows) + 4;
    }

    /// <summary>Rows of the smallest tile that takes <paramref name="rows"/> rows.</summary>
    public static int TileRows(int rows) => rows switch { <= 2 => rows, <= 4 => 4, _ => MaxRows };

    // Tiles of six rows before the last three to eight.
    private static int Sixes(int rowCount) => Math.Max(rowCount - 3, 0) / MaxRows;

    /// <summary>Computes all outputs of a tile's rows, or their partial sums.</summary>
    public static void Run<TLanes, TVector, TFormat>(ref TileRun run)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        switch (run.TileRows)
        {
            case 1: Tiles1<TLanes, TVector, TFormat>(ref run); break;
            case 2: Tiles2<TLanes, TVector, TFormat>(ref run); break;
            case 4: Tiles4<TLanes, TVector, TFormat>(ref run); break;
            default: Tiles6<TLanes, TVector, TFormat>(ref run); break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tiles1<TLanes, TVector, TFormat>(ref TileRun run)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        nint step = TFormat.TileSizeBytes * Group, end = run.Groups * step;
        byte* next = run.Next, nextEnd = run.NextEnd;
        nint lines = run.NextLines;
        var partial = run.Partial;
        var w0 = run.W;
        for (nint o = 0, left = run.Outputs; left > 0; o += Outputs, left -= Outputs, w0 += Outputs * run.StrideBytes, partial += MaxRows * Outputs * Lanes.Count)
        {
            TVector a0 = default, a1 = default, a2 = default, a3 = default;
            if (!run.First)
                Read<TLanes, TVector>(partial, ref a0, ref a1, ref a2, ref a3);
            byte* w1 = Next(w0, run.StrideBytes, left > 1), w2 = Next(w1, run.StrideBytes, left > 2), w3 = Next(w2, run.StrideBytes, left > 3);
            var x = run.X;
            for (nint i = 0; i < end; i += step, x += Group)
            {
                next = Prefetch(next, nextEnd, lines);
                MultiplyAdd<TLanes, TVector>(x, TFormat.First<TLanes, TVector>(w0 + i), TFormat.First<TLanes, TVector>(w1 + i), TFormat.First<TLanes, TVector>(w2 + i), TFormat.First<TLanes, TVector>(w3 + i), ref a0, ref a1, ref a2, ref a3);
                MultiplyAdd<TLanes, TVector>(x + Lanes.Count, TFormat.Second<TLanes, TVector>(w0 + i), TFormat.Second<TLanes, TVector>(w1 + i), TFormat.Second<TLanes, TVector>(w2 + i), TFormat.Second<TLanes, TVector>(w3 + i), ref a0, ref a1, ref a2, ref a3);
            }

            Finish<TLanes, TVector>(run, 0, o, partial, a0, a1, a2, a3);
        }

        run.Next = next;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tiles2<TLanes, TVector, TFormat>(ref TileRun run)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        nint step = TFormat.TileSizeBytes * Group, end = run.Groups * step;
        byte* next = run.Next, nextEnd = run.NextEnd;
        nint lines = run.NextLines;
        var partial = run.Partial;
        var w0 = run.W;
        for (nint o = 0, left = run.Outputs; left > 0; o += Outputs, left -= Outputs, w0 += Outputs * run.StrideBytes, partial += MaxRows * Outputs * Lanes.Count)
        {
            TVector a00 = default, a01 = default, a02 = default, a03 = default, a10 = default, a11 = default, a12 = default, a13 = default;
            if (!run.First)
            {
                Read<TLanes, TVector>(partial, ref a00, ref a01, ref a02, ref a03);
                Read<TLanes, TVector>(partial + (4 * Lanes.Count), ref a10, ref a11, ref a12, ref a13);
            }

            byte* w1 = Next(w0, run.StrideBytes, left > 1), w2 = Next(w1, run.StrideBytes, left > 2), w3 = Next(w2, run.StrideBytes, left > 3);
            var x = run.X;
            for (nint i = 0; i < end; i += step, x += 2 * Group)
            {
                next = Prefetch(next, nextEnd, lines);
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

            Finish<TLanes, TVector>(run, 0, o, partial, a00, a01, a02, a03);
            Finish<TLanes, TVector>(run, 1, o, partial, a10, a11, a12, a13);
        }

        run.Next = next;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tiles4<TLanes, TVector, TFormat>(ref TileRun run)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        nint step = TFormat.TileSizeBytes * Group, end = run.Groups * step;
        byte* next = run.Next, nextEnd = run.NextEnd;
        nint lines = run.NextLines;
        var partial = run.Partial;
        var w0 = run.W;
        for (nint o = 0, left = run.Outputs; left > 0; o += Outputs, left -= Outputs, w0 += Outputs * run.StrideBytes, partial += MaxRows * Outputs * Lanes.Count)
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

            byte* w1 = Next(w0, run.StrideBytes, left > 1), w2 = Next(w1, run.StrideBytes, left > 2), w3 = Next(w2, run.StrideBytes, left > 3);
            var x = run.X;
            for (nint i = 0; i < end; i += step, x += 4 * Group)
            {
                next = Prefetch(next, nextEnd, lines);
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

            if (run.Last)
            {
                Store<TLanes, TVector>(TLanes.Sum(a00, a01, a02, a03, a10, a11, a12, a13, a20, a21, a22, a23, a30, a31, a32, a33), run, o);
            }
            else
            {
                Write<TLanes, TVector>(partial + (0 * Lanes.Count), a00, a01, a02, a03);
                Write<TLanes, TVector>(partial + (4 * Lanes.Count), a10, a11, a12, a13);
                Write<TLanes, TVector>(partial + (8 * Lanes.Count), a20, a21, a22, a23);
                Write<TLanes, TVector>(partial + (12 * Lanes.Count), a30, a31, a32, a33);
            }
        }

        run.Next = next;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tiles6<TLanes, TVector, TFormat>(ref TileRun run)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        nint step = TFormat.TileSizeBytes * Group, end = run.Groups * step, lines = run.NextLines;
        byte* next = run.Next, nextEnd = run.NextEnd;
        var partial = run.Partial;
        var w0 = run.W;
        for (nint o = 0, left = run.Outputs; left > 0; o += Outputs, left -= Outputs, w0 += Outputs * run.StrideBytes, partial += MaxRows * Outputs * Lanes.Count)
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

            byte* w1 = Next(w0, run.StrideBytes, left > 1), w2 = Next(w1, run.StrideBytes, left > 2), w3 = Next(w2, run.StrideBytes, left > 3);
            var x = run.X;
            for (nint i = 0; i < end; i += step, x += 6 * Group)
            {
                next = Prefetch(next, nextEnd, lines);
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

            if (run.Last)
            {
                Store<TLanes, TVector>(TLanes.Sum(a00, a01, a02, a03, a10, a11, a12, a13, a20, a21, a22, a23, a30, a31, a32, a33), run, o);
            }
            else
            {
                Write<TLanes, TVector>(partial + (0 * Lanes.Count), a00, a01, a02, a03);
                Write<TLanes, TVector>(partial + (4 * Lanes.Count), a10, a11, a12, a13);
                Write<TLanes, TVector>(partial + (8 * Lanes.Count), a20, a21, a22, a23);
                Write<TLanes, TVector>(partial + (12 * Lanes.Count), a30, a31, a32, a33);
            }

            Finish<TLanes, TVector>(run, 4, o, partial, a40, a41, a42, a43);
            Finish<TLanes, TVector>(run, 5, o, partial, a50, a51, a52, a53);
        }

        run.Next = next;
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
    private static void Finish<TLanes, TVector>(in TileRun run, int row, nint o, float* partial, TVector a0, TVector a1, TVector a2, TVector a3)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        if (run.Last)
            TLanes.Sum(a0, a1, a2, a3).Store((float*)run.Y[row] + o);
        else
            Write<TLanes, TVector>(partial + (row * Outputs * Lanes.Count), a0, a1, a2, a3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Write<TLanes, TVector>(float* partial, TVector a0, TVector a1, TVector a2, TVector a3)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TLanes.Store(a0, partial);
        TLanes.Store(a1, partial + Lanes.Count);
        TLanes.Store(a2, partial + (2 * Lanes.Count));
        TLanes.Store(a3, partial + (3 * Lanes.Count));
    }

    /// <summary>Four outputs of each of the first four rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<TLanes, TVector>(TVector sums, in TileRun run, nint o)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        Unsafe.SkipInit(out SixteenSums memory);
        var at = (float*)&memory;
        TLanes.Store(sums, at);
        Vector128.Load(at).Store((float*)run.Y[0] + o);
        Vector128.Load(at + 4).Store((float*)run.Y[1] + o);
        Vector128.Load(at + 8).Store((float*)run.Y[2] + o);
        Vector128.Load(at + 12).Store((float*)run.Y[3] + o);
    }

    /// <summary>The weights behind those of <paramref name="w"/>, or the same if there are no more.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static byte* Next(byte* w, nint strideBytes, bool more) => more ? w + strideBytes : w;

    /// <summary>Asks for <paramref name="lines"/> cache lines: into the second-level cache, since the first is full of what is multiplied. Returns where to go on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static byte* Prefetch(byte* next, byte* end, nint lines)
    {
        if (!Sse.IsSupported || next >= end)
            return next;
        Sse.Prefetch1(next);
        if (lines == 1)
            return next + 64;
        Sse.Prefetch1(next + 64);
        if (lines == 2)
            return next + 128;
        Sse.Prefetch1(next + 128);
        Sse.Prefetch1(next + 192);
        return next + 256;
    }

    private struct SixteenSums
    {
        public fixed float Values[Lanes.Count];
    }
}
