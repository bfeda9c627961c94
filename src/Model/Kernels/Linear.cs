using System.Runtime.InteropServices;
using Conclave.Model.Checkpoints;

namespace Conclave.Model.Kernels;

/// <summary>
/// <c>y[r, o] = sum over i of x[r, i] w[o, i]</c>. Every element adds to one of sixteen partial sums by one fused multiply-add, in ascending i, and the sixteen
/// are summed in the order of <see cref="Lanes.Sum"/>. Which of them follows from i and the stored type (<see cref="InputOrder"/>): the bits depend on
/// nothing but the inner dimension, the type and the values.
/// </summary>
public static unsafe class Linear
{
    /// <summary>Outputs are worth handing out to threads in multiples of this.</summary>
    public const int PanelRows = 16;

    /// <summary>Elements of the inner dimension at a time: six input rows and four weight rows of so many stay in the first-level cache.</summary>
    private const int Depth = 512;

    /// <summary>Bytes of weights that all rows pass over before the next ones are read: part of the second-level cache.</summary>
    private const int BlockSizeBytes = 1 << 18;

    /// <summary>The most outputs of such a block.</summary>
    private const int BlockOutputs = 128;

    private const int PartialFloats = BlockOutputs * LinearTiles.MaxRows * Lanes.Count;

    /// <summary>Floats of scratch memory that <see cref="Run"/> needs for weights of <paramref name="columns"/> columns.</summary>
    public static long PanelFloats(int columns)
    {
        long padded = (columns + (2 * LinearTiles.Group) - 1) / (2 * LinearTiles.Group) * (2 * LinearTiles.Group);
        return PartialFloats + (LinearTiles.MaxRows * padded) + Math.Max(BlockSizeBytes / sizeof(float), LinearTiles.Outputs * padded);
    }

    /// <summary>Computes outputs <paramref name="start"/> to <paramref name="end"/> of <paramref name="rowCount"/> rows; output o of a row goes to <c>y[o]</c>.</summary>
    /// <param name="w">Weights.</param>
    /// <param name="start">First output.</param>
    /// <param name="end">Behind the last output.</param>
    /// <param name="x">Input rows of <c>w.Columns</c>.</param>
    /// <param name="y">Output rows of at least <paramref name="end"/>.</param>
    /// <param name="rowCount">Rows.</param>
    /// <param name="scratch">Scratch of <see cref="PanelFloats"/>.</param>
    public static void Run<TLanes, TVector>(in Weight w, int start, int end, RowSet x, RowSet y, int rowCount, float* scratch)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        switch (w.Type)
        {
            case DType.F32: Run<TLanes, TVector, F32Format>(w, start, end, x, y, rowCount, scratch); break;
            case DType.BF16: Run<TLanes, TVector, Bf16Format>(w, start, end, x, y, rowCount, scratch); break;
            case DType.F16: Run<TLanes, TVector, F16Format>(w, start, end, x, y, rowCount, scratch); break;
            default: Run<TLanes, TVector, E4M3Format>(w, start, end, x, y, rowCount, scratch); break;
        }
    }

    private static void Run<TLanes, TVector, TFormat>(in Weight w, int start, int end, RowSet x, RowSet y, int rowCount, float* scratch)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        int columns = w.Columns, padded = (columns + TFormat.Multiple - 1) / TFormat.Multiple * TFormat.Multiple;
        float* partial = scratch, inputs = partial + PartialFloats, panel = inputs + (LinearTiles.MaxRows * (long)padded);
        var run = new TileRun { X = inputs, StrideBytes = padded * TFormat.TileSizeBytes };
        var perBlock = Math.Clamp(BlockSizeBytes / (int)run.StrideBytes / LinearTiles.Outputs * LinearTiles.Outputs, LinearTiles.Outputs, BlockOutputs);
        for (int first = start, count; first < end; first += count)
        {
            count = Math.Min(Math.Min(perBlock, end - first), w.RowsOfSameScales(first));
            var weights = w.Row(first);
            if (columns != padded || TFormat.SizeBytes != TFormat.TileSizeBytes)
            {
                weights = (byte*)panel;
                for (var o = 0; o < count; o++)
                    TFormat.Unpack<TLanes, TVector>(w.Row(first + o), columns, weights + (o * run.StrideBytes));
            }

            for (var row = 0; row < rowCount; row += run.Rows)
            {
                run.Rows = Math.Min(rowCount - row, LinearTiles.MaxRows);
                run.TileRows = LinearTiles.TileRows(run.Rows);
                if (first == start || rowCount > LinearTiles.MaxRows || TFormat.Scaled)
                {
                    for (var r = 0; r < run.TileRows; r++)
                        TFormat.Arrange(x.Row(row + Math.Min(r, run.Rows - 1)), w.RowScales(first), columns, inputs + (r * LinearTiles.Group), run.TileRows * LinearTiles.Group);
                }

                for (var r = 0; r < run.Rows; r++)
                    run.Y[r] = (nint)(y.Row(row + r) + first);
                Block<TLanes, TVector, TFormat>(ref run, weights, count, padded, partial);
            }
        }
    }

    private static void Block<TLanes, TVector, TFormat>(ref TileRun run, byte* weights, int count, int padded, float* partial)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        var inputs = run.X;
        for (var i = 0; i < padded; i += Depth)
        {
            var depth = Math.Min(Depth, padded - i);
            run.Groups = depth / LinearTiles.Group;
            run.First = i == 0;
            run.Last = i + depth == padded;
            for (var o = 0; o < count; o += LinearTiles.Outputs)
                LinearTiles.Run<TLanes, TVector, TFormat>(run, weights + (o * run.StrideBytes), o, Math.Min(LinearTiles.Outputs, count - o), partial + (o * LinearTiles.MaxRows * Lanes.Count));
            run.X += depth * run.TileRows;
            weights += depth * TFormat.TileSizeBytes;
        }

        run.X = inputs;
    }
}
