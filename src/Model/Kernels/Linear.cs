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

    /// <summary>Input elements at a time: a tile's rows of so many, and its weights, stay in the first-level cache.</summary>
    private const int TileInputs = LinearTiles.MaxRows * 1024;

    /// <summary>
    /// With so many rows the processor waits for memory: all are arranged before, four outputs at a time are computed for all of them, and meanwhile the
    /// next weights are asked for.
    /// </summary>
    private const int FewRows = 4 * LinearTiles.MaxRows;

    /// <summary>Rows that are arranged at a time: whole tiles, few enough that they stay near while the outputs pass.</summary>
    private const int BlockRows = 16 * LinearTiles.MaxRows;

    /// <summary>With more rows the weights of so many outputs, of so many bytes, stay in the second-level cache while the rows pass.</summary>
    private const int BlockOutputs = 128;
    private const int BlockSizeBytes = 1 << 18;
    private const int PartialFloats = BlockOutputs * LinearTiles.MaxRows * Lanes.Count;

    /// <summary>Floats of scratch memory that <see cref="Run"/> needs for weights of <paramref name="columns"/> columns.</summary>
    public static long PanelFloats(int columns)
    {
        long padded = Padded(columns, 2 * LinearTiles.Group);
        return PartialFloats + (BlockRows * padded) + Math.Max(BlockSizeBytes / sizeof(float), LinearTiles.Outputs * padded);
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
        if (w.Int8 != null)
        {
            Int8Linear.Run(*w.Int8, w.Columns, w.FirstRow + start, w.FirstRow + end, x, y with { Base = y.Base + ((nint)start * sizeof(float)) }, rowCount, scratch, typeof(TLanes) != typeof(ScalarLanes));
            return;
        }

        switch (w.Type)
        {
            case DType.F32: Run<TLanes, TVector, F32Format>(w, start, end, x, y, rowCount, scratch); break;
            case DType.BF16: Run<TLanes, TVector, Bf16Format>(w, start, end, x, y, rowCount, scratch); break;
            case DType.F16: Run<TLanes, TVector, F16Format>(w, start, end, x, y, rowCount, scratch); break;
            default:
                if (rowCount == 1 && E4M3Row.IsSupported && typeof(TLanes) == typeof(Vector512Lanes))
                    OneE4M3Row(w, start, end, x.Row(0), y.Row(0), scratch);
                else
                    Run<TLanes, TVector, E4M3Format>(w, start, end, x, y, rowCount, scratch);
                break;
        }
    }

    private static void OneE4M3Row(in Weight w, int start, int end, float* x, float* y, float* scratch)
    {
        for (int o = start, stop; o < end; o = stop)
        {
            stop = (int)Math.Min(end, (long)o + w.RowsOfSameScales(o));
            E4M3Format.Arrange(x, w.RowScales(o), w.Columns, scratch, LinearTiles.Group);
            E4M3Row.Run(w, o, stop, scratch, y + o);
        }
    }

    private static void Run<TLanes, TVector, TFormat>(in Weight w, int start, int end, RowSet x, RowSet y, int rowCount, float* scratch)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        var padded = Padded(w.Columns, TFormat.Multiple);
        var inputs = scratch + PartialFloats;
        var panel = (byte*)(inputs + (BlockRows * (long)padded));
        var run = new TileRun { Partial = scratch, StrideBytes = padded * TFormat.TileSizeBytes };
        var tiles = (Math.Min(rowCount, BlockRows) + LinearTiles.MaxRows - 1) / LinearTiles.MaxRows;
        var few = rowCount <= FewRows;
        var perBlock = few ? LinearTiles.Outputs : BlockOutputs;
        if (few && !InPlace<TFormat>(w, padded))
            perBlock = 2 * LinearTiles.Outputs;
        else if (tiles == 1)
            perBlock = BlockOutputs;
        if (perBlock * run.StrideBytes > BlockSizeBytes)
            perBlock = LinearTiles.Outputs * (int)Math.Max(BlockSizeBytes / LinearTiles.Outputs / run.StrideBytes, 1);
        // How far ahead of their use weights are asked for: at once those of one more tile, or of the next block.
        var ahead = tiles == 1 && InPlace<TFormat>(w, padded) ? LinearTiles.Outputs : perBlock;
        run.NextLines = ((LinearTiles.Outputs * LinearTiles.Group * TFormat.SizeBytes / 64) + tiles - 1) / tiles;
        for (int o = start, stop; o < end; o = stop)
        {
            // Rows are arranged once for so many outputs.
            stop = (int)Math.Min(few ? end : Math.Min(end, o + BlockOutputs), (long)o + w.RowsOfSameScales(o));
            for (var first = 0; first < rowCount; first += BlockRows)
            {
                var rows = Math.Min(BlockRows, rowCount - first);
                Arrange<TFormat>(x, first, rows, w.RowScales(o), w.Columns, inputs, padded);
                for (int block = o, count; block < stop; block += count)
                {
                    count = Math.Min(perBlock, stop - block);
                    run.Outputs = count;
                    run.W = Stored<TLanes, TVector, TFormat>(w, block, count, padded, panel);
                    // Once: for the rows that follow the next weights are near already.
                    run.NextEnd = w.Row(Math.Min(block + count + ahead, w.Rows));
                    run.Next = first == 0 ? w.Row(Math.Min(block + ahead, w.Rows)) : run.NextEnd;
                    Block<TLanes, TVector, TFormat>(ref run, inputs, padded, y, first, rows, block);
                }
            }
        }
    }

    /// <summary>Puts rows <paramref name="first"/> to <paramref name="first"/> + <paramref name="rows"/> in the order of tiles, one tile behind the other.</summary>
    private static void Arrange<TFormat>(RowSet x, int first, int rows, float* scales, int columns, float* inputs, int padded)
        where TFormat : struct, IWeightFormat
    {
        for (int row = 0, count; row < rows; row += count)
        {
            count = LinearTiles.RowsOfNext(rows - row);
            var tileRows = LinearTiles.TileRows(count);
            for (var r = 0; r < tileRows; r++)
                TFormat.Arrange(x.Row(first + row + Math.Min(r, count - 1)), scales, columns, inputs + ((long)row * padded) + (r * LinearTiles.Group), tileRows * LinearTiles.Group);
        }
    }

    /// <summary>All arranged rows by the outputs of <paramref name="run"/>, which begin at <paramref name="output"/>.</summary>
    private static void Block<TLanes, TVector, TFormat>(ref TileRun run, float* inputs, int padded, RowSet y, int first, int rows, int output)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        for (var row = 0; row < rows; row += run.Rows)
        {
            run.Rows = LinearTiles.RowsOfNext(rows - row);
            run.TileRows = LinearTiles.TileRows(run.Rows);
            run.X = inputs + ((long)row * padded);
            for (var r = 0; r < run.Rows; r++)
                run.Y[r] = (nint)(y.Row(first + row + r) + output);
            Parts<TLanes, TVector, TFormat>(ref run, padded);
        }
    }

    /// <summary>Weights as tiles take them: in place, or copied to <paramref name="panel"/>.</summary>
    private static byte* Stored<TLanes, TVector, TFormat>(in Weight w, int start, int count, int padded, byte* panel)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        if (InPlace<TFormat>(w, padded))
            return w.Row(start);
        for (var o = 0; o < count; o++)
            TFormat.Unpack<TLanes, TVector>(w.Row(start + o), w.Columns, panel + ((long)o * padded * TFormat.TileSizeBytes));
        return panel;
    }

    private static bool InPlace<TFormat>(in Weight w, int padded)
        where TFormat : struct, IWeightFormat =>
        w.Columns == padded && TFormat.SizeBytes == TFormat.TileSizeBytes;

    /// <summary>One block of rows: the inner dimension in parts.</summary>
    private static void Parts<TLanes, TVector, TFormat>(ref TileRun run, int padded)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        var weights = run.W;
        var most = TileInputs / run.TileRows / LinearTiles.Group * LinearTiles.Group;
        for (var i = 0; i < padded; i += most)
        {
            var depth = Math.Min(most, padded - i);
            run.Groups = depth / LinearTiles.Group;
            run.First = i == 0;
            run.Last = i + depth == padded;
            LinearTiles.Run<TLanes, TVector, TFormat>(ref run);
            run.X += depth * run.TileRows;
            run.W += depth * TFormat.TileSizeBytes;
        }

        run.W = weights;
    }

    private static int Padded(int columns, int multiple) => (columns + multiple - 1) / multiple * multiple;
}
