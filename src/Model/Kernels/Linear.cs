using Conclave.Model.Checkpoints;

namespace Conclave.Model.Kernels;

/// <summary>
/// <c>y[r, o] = sum over i of x[r, i] w[o, i]</c>, in two steps: <see cref="Arrange"/> puts input rows into the order of the weights, once for all outputs; <see cref="Run"/> computes some
/// of the outputs of all arranged rows. Every element adds to one of sixteen partial sums by one fused multiply-add, in ascending i, and the sixteen are summed in the order of
/// <see cref="Lanes.Sum"/>. Which of them follows from i and the stored type (<see cref="InputOrder"/>): the bits depend on nothing but the inner dimension, the type and the values.
/// </summary>
public static unsafe class Linear
{
    /// <summary>
    /// Outputs at a time: what of their weights is at work stays in the second-level cache while the rows pass, and meanwhile the next weights come in. Of scaled weights more, since the rows
    /// are multiplied by their scales for each block.
    /// </summary>
    private const int BlockOutputs = 32;
    private const int ScaledBlockOutputs = 128;
    private const int BlockSizeBytes = 1 << 18;
    private const int CacheLineSizeBytes = 64;

    /// <summary>Input elements at a time: a tile's rows of so many, and its weights, stay in the first-level cache while the outputs pass.</summary>
    private const int TileInputs = LinearTiles.MaxRows * 1024;

    /// <summary>Tiles at a time: their rows stay in the second-level cache while all outputs pass, and their partial sums until the next part of the inner dimension.</summary>
    private const int TilesAtOnce = 12;

    /// <summary>Tiles from which weights that lie across cache lines are worth copying first: reading them takes a sixth of the time of a tile.</summary>
    private const int TilesWorthAligning = 3;
    private const int PartialFloats = LinearTiles.MaxRows * LinearTiles.Outputs * Lanes.Count;

    /// <summary>For outputs of a tile that nobody asked for.</summary>
    private const int SpillFloats = LinearTiles.MaxRows * ScaledBlockOutputs;

    /// <summary>Floats that <see cref="Arrange"/> writes for rows of <paramref name="columns"/>, whatever the type of the weights.</summary>
    public static long InputFloats(int columns, int rowCount) => (rowCount + 1L) * Padded(columns, Int8Matrix.Block);

    /// <summary>Floats of scratch memory that <see cref="Run"/> needs for weights of <paramref name="columns"/> columns.</summary>
    public static long ScratchFloats(int columns) =>
        ScaledFloats(columns) + SpillFloats + (BlockSizeBytes / sizeof(float)) + (columns > TileInputs / LinearTiles.MaxRows ? (long)TilesAtOnce * ScaledBlockOutputs / LinearTiles.Outputs * PartialFloats : 0);

    /// <summary>Tiles that <paramref name="rowCount"/> rows are cut into.</summary>
    public static int Tiles(int rowCount) => LinearTiles.Count(rowCount);

    /// <summary>
    /// Puts the rows of tiles <paramref name="firstTile"/> to <paramref name="endTile"/> into the order that all weights of <paramref name="w"/>'s type and width share; those of w8a8 are rounded to 8 bits.
    /// </summary>
    /// <param name="w">Weights.</param>
    /// <param name="x">Input rows of <c>w.Columns</c>.</param>
    /// <param name="rowCount">All rows.</param>
    /// <param name="firstTile">First tile.</param>
    /// <param name="endTile">Behind the last tile, at most <see cref="Tiles"/>.</param>
    /// <param name="inputs">Receives the rows; <see cref="InputFloats"/> for all of them.</param>
    public static void Arrange(in Weight w, RowSet x, int rowCount, int firstTile, int endTile, float* inputs)
    {
        if (w.Int8 != null)
        {
            Int8Linear.Arrange(*w.Int8, w.Columns, x, LinearTiles.FirstRow(firstTile, rowCount), LinearTiles.FirstRow(endTile, rowCount), rowCount, inputs);
            return;
        }

        switch (w.Type)
        {
            case DType.F32: Arrange<F32Format>(w.Columns, x, rowCount, firstTile, endTile, inputs); break;
            case DType.BF16: Arrange<Bf16Format>(w.Columns, x, rowCount, firstTile, endTile, inputs); break;
            case DType.F16: Arrange<F16Format>(w.Columns, x, rowCount, firstTile, endTile, inputs); break;
            default: Arrange<E4M3Format>(w.Columns, x, rowCount, firstTile, endTile, inputs); break;
        }
    }

    /// <summary>Whether rows arranged for <paramref name="a"/> are what products with <paramref name="b"/> take.</summary>
    public static bool ShareInputs(in Weight a, in Weight b) => a.Type == b.Type && a.Columns == b.Columns && a.Int8 != null == (b.Int8 != null);

    /// <summary>Computes outputs <paramref name="start"/> to <paramref name="end"/> of all rows; output o of a row goes to <c>y[o]</c>.</summary>
    /// <param name="w">Weights.</param>
    /// <param name="start">First output.</param>
    /// <param name="end">Behind the last output.</param>
    /// <param name="inputs">Arranged rows.</param>
    /// <param name="rowCount">Rows.</param>
    /// <param name="y">Output rows of at least <paramref name="end"/>.</param>
    /// <param name="scratch">Scratch of <see cref="ScratchFloats"/>.</param>
    /// <param name="next">What the thread will multiply with next, so that it comes in meanwhile; if nothing is given, what lies behind <paramref name="end"/>.</param>
    public static void Run<TLanes, TVector>(in Weight w, int start, int end, float* inputs, int rowCount, RowSet y, float* scratch, in Weight next = default)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        if (w.Int8 != null)
        {
            Int8Linear.Run(*w.Int8, w.FirstRow + start, w.FirstRow + end, inputs, rowCount, y with { Base = y.Base + ((nint)start * sizeof(float)) }, typeof(TLanes) != typeof(ScalarLanes));
            return;
        }

        switch (w.Type)
        {
            case DType.F32: Run<TLanes, TVector, F32Format>(w, start, end, inputs, rowCount, y, scratch, next); break;
            case DType.BF16: Run<TLanes, TVector, Bf16Format>(w, start, end, inputs, rowCount, y, scratch, next); break;
            case DType.F16: Run<TLanes, TVector, F16Format>(w, start, end, inputs, rowCount, y, scratch, next); break;
            default:
                if (rowCount == 1 && E4M3Row.IsSupported && typeof(TLanes) == typeof(Vector512Lanes))
                    OneE4M3Row(w, start, end, inputs, y.Row(0), scratch);
                else
                    Run<TLanes, TVector, E4M3Format>(w, start, end, inputs, rowCount, y, scratch, next);
                break;
        }
    }

    private static void OneE4M3Row(in Weight w, int start, int end, float* input, float* y, float* scratch)
    {
        for (int o = start, stop; o < end; o = stop)
        {
            stop = (int)Math.Min(end, (long)o + w.RowsOfSameScales(o));
            InputOrder.Scale(input, w.RowScales(o), Padded(w.Columns, E4M3Format.Multiple), 1, scratch);
            E4M3Row.Run(w, o, stop, scratch, y + o);
        }
    }

    private static void Arrange<TFormat>(int columns, RowSet x, int rowCount, int firstTile, int endTile, float* inputs)
        where TFormat : struct, IWeightFormat
    {
        var padded = Padded(columns, TFormat.Multiple);
        for (var tile = firstTile; tile < endTile; tile++)
        {
            int first = LinearTiles.FirstRow(tile, rowCount), last = LinearTiles.FirstRow(tile + 1, rowCount) - 1, tileRows = LinearTiles.TileRows(last + 1 - first);
            var destination = inputs + ((long)first * padded);
            for (var r = 0; r < tileRows; r++)
                TFormat.Arrange(x.Row(Math.Min(first + r, last)), columns, destination + (r * LinearTiles.Group), tileRows * LinearTiles.Group);
        }
    }

    private static void Run<TLanes, TVector, TFormat>(in Weight w, int start, int end, float* inputs, int rowCount, RowSet y, float* scratch, in Weight next)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        var tiles = LinearTiles.Count(rowCount);
        var padded = Padded(w.Columns, TFormat.Multiple);
        var inPlace = w.Columns == padded && TFormat.SizeBytes == TFormat.TileSizeBytes && (tiles < TilesWorthAligning || IsAligned(w));
        var part = Part(padded, LinearTiles.TileRows(Math.Min(rowCount, LinearTiles.MaxRows)));
        var perBlock = Math.Clamp(BlockSizeBytes / (part * TFormat.TileSizeBytes) / LinearTiles.Outputs * LinearTiles.Outputs, LinearTiles.Outputs, TFormat.Scaled ? ScaledBlockOutputs : BlockOutputs);
        // How far ahead of their use weights are asked for: by one more tile if these come from memory themselves, or by a block.
        var ahead = tiles == 1 && inPlace ? LinearTiles.Outputs : perBlock;
        var run = new TileRun
        {
            StrideBytes = (inPlace ? padded : part) * TFormat.TileSizeBytes,
            NextLines = ((LinearTiles.Outputs * LinearTiles.Group * TFormat.SizeBytes / 64) + tiles - 1) / tiles,
        };
        // Scratch: inputs times scales, outputs nobody asked for, unpacked weights, partial sums.
        var spill = scratch + ScaledFloats(w.Columns);
        var panel = (byte*)(spill + SpillFloats);
        var partial = (float*)(panel + BlockSizeBytes);
        // Outputs from here on ask for what comes after all of these.
        var last = ahead == perBlock ? end : start + ((end - start - 1) / LinearTiles.Outputs * LinearTiles.Outputs);
        for (int tile = 0, endTile; tile < tiles; tile = endTile)
        {
            endTile = Math.Min(tiles, tile + TilesAtOnce);
            var after = endTile < tiles ? w.Slice(start, end - start) : next.Rows > 0 ? next : w.Slice(end, w.Rows - end);
            for (int o = start, stop; o < end; o = stop)
            {
                stop = (int)Math.Min(Math.Min(o < last ? last : end, o + perBlock), (long)o + w.RowsOfSameScales(o));
                run.Outputs = stop - o;
                AskFor(o + ahead < end ? w.Slice(o + ahead, end - o - ahead) : after, stop - o, ref run);
                for (var i = 0; i < padded; i += part)
                {
                    var depth = Math.Min(part, padded - i);
                    run.W = inPlace ? w.Row(o) + ((long)i * TFormat.SizeBytes) : Unpack<TLanes, TVector, TFormat>(w, o, stop, i, depth, run.StrideBytes, panel);
                    run.Groups = depth / LinearTiles.Group;
                    run.First = i == 0;
                    run.Last = i + depth == padded;
                    for (var t = tile; t < endTile; t++)
                    {
                        run.Partial = partial + ((long)(t - tile) * perBlock / LinearTiles.Outputs * PartialFloats);
                        Tile<TLanes, TVector, TFormat>(ref run, t, inputs, rowCount, padded, i, w.RowScales(o), y, o, scratch, spill);
                    }
                }
            }
        }
    }

    /// <summary>Lets the tiles of a block ask for the first <paramref name="outputs"/> of <paramref name="next"/>.</summary>
    private static void AskFor(in Weight next, int outputs, ref TileRun run)
    {
        run.Next = next.Row(0);
        run.NextEnd = next.Int8 != null ? run.Next : next.Row(Math.Min(next.Rows, outputs));
    }

    /// <summary>The rows of one tile by the outputs of <paramref name="run"/>, which begin at <paramref name="output"/>; the part of the inner dimension that begins at <paramref name="column"/>.</summary>
    private static void Tile<TLanes, TVector, TFormat>(ref TileRun run, int tile, float* inputs, int rowCount, int padded, int column, float* scales, RowSet y, int output, float* scaled, float* spill)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        int first = LinearTiles.FirstRow(tile, rowCount), rows = LinearTiles.FirstRow(tile + 1, rowCount) - first;
        run.TileRows = LinearTiles.TileRows(rows);
        run.X = inputs + ((long)first * padded) + ((long)column * run.TileRows);
        // Tiles write whole groups of outputs of all their rows: what is too much goes elsewhere.
        var whole = run.Outputs % LinearTiles.Outputs == 0;
        for (var r = 0; r < run.TileRows; r++)
            run.Y[r] = (nint)(whole && r < rows ? y.Row(first + r) + output : spill + (r * ScaledBlockOutputs));
        if (TFormat.Scaled)
        {
            InputOrder.Scale(run.X, scales + (column / Weight.BlockSize), (int)run.Groups * LinearTiles.Group, run.TileRows, scaled);
            run.X = scaled;
        }

        LinearTiles.Run<TLanes, TVector, TFormat>(ref run);
        for (var r = 0; r < rows && run.Last && !whole; r++)
            new ReadOnlySpan<float>(spill + (r * ScaledBlockOutputs), run.Outputs).CopyTo(new Span<float>(y.Row(first + r) + output, run.Outputs));
    }

    /// <summary>Makes <paramref name="depth"/> columns from <paramref name="column"/> on of the weights of outputs <paramref name="start"/> to <paramref name="end"/> what tiles take.</summary>
    private static byte* Unpack<TLanes, TVector, TFormat>(in Weight w, int start, int end, int column, int depth, nint strideBytes, byte* panel)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TFormat : struct, IWeightFormat
    {
        for (var o = start; o < end; o++)
            TFormat.Unpack<TLanes, TVector>(w.Row(o) + ((long)column * TFormat.SizeBytes), Math.Min(depth, w.Columns - column), panel + ((o - start) * strideBytes));
        return panel;
    }

    /// <summary>Columns of a part of the inner dimension: all parts about equal, in blocks of scales.</summary>
    private static int Part(int padded, int tileRows)
    {
        var most = TileInputs / tileRows;
        var parts = (padded + most - 1) / most;
        return Math.Min(Padded((padded + parts - 1) / parts, Weight.BlockSize), padded);
    }

    /// <summary>Whether all rows begin with a cache line, as those of a checkpoint need not.</summary>
    private static bool IsAligned(in Weight w) => ((nint)w.Row(0) | (w.Columns * w.ElementSizeBytes)) % CacheLineSizeBytes == 0;

    private static int ScaledFloats(int columns) => Math.Max(TileInputs, Padded(columns, Int8Matrix.Block));

    private static int Padded(int columns, int multiple) => (columns + multiple - 1) / multiple * multiple;
}
