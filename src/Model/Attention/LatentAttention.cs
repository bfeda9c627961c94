using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using Conclave.Model.Kernels;

namespace Conclave.Model.Attention;

/// <summary>
/// Absorbed attention over the pages: each head's query row against latent rows that all heads share. Rows of one sequence are taken in tiles of up to <see cref="TileQueries"/> queries, so that a block of
/// latents is widened and loaded once for all of them. A query's softmax runs over blocks of 64 keys from the first key on, and starts anew every <see cref="SegmentTokens"/> keys; segments are joined in
/// order. That rule alone decides the bits: whether one thread goes through a tile's segments or several share them is a matter of speed.
/// </summary>
/// <param name="config">The architecture.</param>
/// <param name="layout">Shape of the pages.</param>
/// <param name="layer">Whose latents.</param>
internal sealed unsafe class LatentAttention(ModelConfig config, KvLayout layout, int layer)
{
    /// <summary>Keys of a segment.</summary>
    public const int SegmentTokens = 4 * KvLayout.BlockTokens;

    /// <summary>Queries (rows times heads) of a tile.</summary>
    public const int TileQueries = 4 * Lanes.Count;

    /// <summary>What takes more than one part in so many of a thread's share of the work is shared by the threads.</summary>
    public const int LargeItems = 8;

    private const int CacheLineSizeBytes = 64;
    private readonly float _scale = RopeTable.SoftmaxScale(config);
    private readonly bool _isInPlace = layout.Type == KvType.F32 && layout.LatentWidth % Lanes.Count == 0;

    /// <summary>Floats of scratch that each thread needs.</summary>
    public static long ScratchFloats(ModelConfig c) => TileScratch.Floats(c);

    /// <summary>Turns <c>buffers.LatentQueries</c> of a window of rows into <c>buffers.LatentOutputs</c>.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="buffers">Queries, outputs, and the selected keys of rows that see more than are kept.</param>
    /// <param name="first">The window's first row.</param>
    /// <param name="rows">Rows of the window.</param>
    /// <param name="isSparse">Whether there are such rows.</param>
    public void Forward(Pass pass, AttentionBuffers buffers, int first, int rows, bool isSparse)
    {
        var tiles = BuildTiles(pass, buffers, first, first + rows, isSparse, out var mostSegments);
        var threads = pass.Compute.Workers.ThreadCount;
        var heads = Math.Min(config.HeadCount, TileQueries);
        while (heads > Lanes.Count && tiles * Groups(heads) * mostSegments < 2 * threads)
            heads = (((heads + 1) / 2) + Lanes.Count - 1) / Lanes.Count * Lanes.Count;
        var loop = new Loop { Owner = this, Pass = pass, Buffers = buffers, Window = first, HeadsPerItem = heads, Groups = Groups(heads), IsSparse = isSparse };
        var wholeTiles = Partition(pass, buffers, isSparse, tiles, loop.Groups);
        loop.WholeItems = wholeTiles * loop.Groups;
        loop.SplitItems = (tiles - wholeTiles) * loop.Groups;
        loop.FirstSplitTile = wholeTiles;
        if (loop.SplitItems == 0)
        {
            pass.Compute.Workers.Run(ref loop, loop.WholeItems, 1);
            return;
        }

        // Large tiles: segments side by side, as many at a time as there are slots for; the other tiles along with the first of them.
        loop.SegmentsPerWave = buffers.SlotCount / loop.SplitItems;
        for (; loop.FirstSegment < mostSegments; loop.FirstSegment += loop.SegmentsPerWave)
        {
            loop.IsMerge = false;
            pass.Compute.Workers.Run(ref loop, loop.WholeItems + (loop.SplitItems * Math.Min(loop.SegmentsPerWave, mostSegments - loop.FirstSegment)), 1);
            loop.WholeItems = 0;
            loop.IsMerge = true;
            pass.Compute.Workers.Run(ref loop, loop.SplitItems, 1);
        }
    }

    private int Groups(int headsPerItem) => ((config.HeadCount - 1) / headsPerItem) + 1;

    /// <summary>Cuts the rows into tiles: rows of one sequence, each alone where it has keys of its own choice.</summary>
    private int BuildTiles(Pass pass, AttentionBuffers buffers, int start, int end, bool isSparse, out int mostSegments)
    {
        var rowsPerTile = Math.Max(1, TileQueries / Math.Min(config.HeadCount, TileQueries));
        var count = 0;
        mostSegments = 1;
        for (var row = start; row < end;)
        {
            buffers.TileStarts[count++] = row;
            var first = row++;
            var isAlone = isSparse && pass.Positions[first] + 1 > config.IndexTopK;
            var pages = pass.Pages(first);
            while (!isAlone && row < end && row - first < rowsPerTile && pass.Pages(row) == pages && !(isSparse && pass.Positions[row] + 1 > config.IndexTopK))
                row++;
            mostSegments = Math.Max(mostSegments, Segments(KeyCount(pass, row - 1, isSparse)));
        }

        buffers.TileStarts[count] = end;
        return count;
    }

    /// <summary>Lists the tiles that one thread does as a whole, then those that the threads share in segments. Returns the number of the former.</summary>
    private int Partition(Pass pass, AttentionBuffers buffers, bool isSparse, int tiles, int groups)
    {
        long Keys(int tile) => KeyCount(pass, buffers.TileStarts[tile + 1] - 1, isSparse);
        long Work(int tile) => (buffers.TileStarts[tile + 1] - buffers.TileStarts[tile]) * Keys(tile);
        long total = 0;
        for (var tile = 0; tile < tiles; tile++)
            total += Work(tile);
        int whole = 0, split = tiles, threads = pass.Compute.Workers.ThreadCount;
        for (var tile = 0; tile < tiles; tile++)
        {
            // An item is a tile's group of heads; fewer than LargeItems a thread can be so large.
            var isShared = threads > 1 && Keys(tile) > SegmentTokens && Work(tile) * LargeItems * threads > total * groups;
            buffers.TileOrder[isShared ? --split : whole++] = tile;
        }

        return whole;
    }

    private static int Segments(int keyCount) => ((keyCount - 1) / SegmentTokens) + 1;

    private int KeyCount(Pass pass, int row, bool isSparse) => isSparse ? Math.Min(pass.Positions[row] + 1, config.IndexTopK) : pass.Positions[row] + 1;

    /// <summary>One segment of a tile.</summary>
    private void Segment(in Item item, int segment, TilePart part, in TileScratch scratch)
    {
        var kernels = item.Pass.Compute.Kernels.Attention;
        int width = AttentionBuffers.Padded(config.LatentWidth), valueWidth = AttentionBuffers.Padded(config.KvLoraRank), vectors = item.Vectors;
        part.Clear(vectors);
        int start = segment * SegmentTokens, end = Math.Min(start + SegmentTokens, item.KeyCount(item.Rows - 1));
        for (int first = start, count; first < end; first += count)
        {
            count = Math.Min(KvLayout.BlockTokens, end - first);
            var keys = Latents(item, first, count, scratch.Keys, out var keyStride);
            kernels.Scores(scratch.Queries, vectors, keys, keyStride, count, width, scratch.Scores);
            var limits = item.KeyCount(0) - first < count ? item.Limits(first, scratch.Limits) : null;
            for (var v = 0; v < vectors; v++)
            {
                var lane = v * Lanes.Count;
                kernels.SoftmaxLanes(scratch.Scores + (lane * KvLayout.BlockTokens), count, limits == null ? null : limits + lane, part.Maxima + lane, part.Sums + lane, scratch.Factors + lane);
            }

            // A strip of the block's columns stays in the nearest cache while all queries of the tile use it. Meanwhile the next block comes from memory, a few rows with each strip.
            var ahead = Math.Min(KvLayout.BlockTokens, item.KeyCount(item.Rows - 1) - first - count);
            for (var column = 0; column < valueWidth; column += LatentBlocks.StripColumns)
            {
                var columns = Math.Min(LatentBlocks.StripColumns, valueWidth - column);
                Prefetch(item, first + count + (ahead * column / valueWidth), first + count + (ahead * (column + columns) / valueWidth));
                kernels.Values(scratch.Scores, Lanes.Count * KvLayout.BlockTokens, item.Queries, keys + column, keyStride, count, first == start ? null : scratch.Factors, part.Outputs + column, part.Stride, columns);
            }
        }
    }

    /// <summary>Latent rows of a block as float32: chosen ones, or consecutive ones, which are used in place if they are stored so.</summary>
    private float* Latents(in Item item, int first, int count, float* scratch, out long stride)
    {
        stride = AttentionBuffers.Padded(config.LatentWidth);
        if (item.Selected is null && _isInPlace)
            return (float*)item.Pages.LatentRow(layout, layer, first);
        var padding = (int)stride - config.LatentWidth;
        var kernels = item.Pass.Compute.Kernels.Attention;
        for (var i = 0; i < count; i++)
        {
            var destination = scratch + (i * stride);
            kernels.WidenLatent(layout, Row(item, first + i), destination);
            new Span<float>(destination + config.LatentWidth, padding).Clear();
        }

        return scratch;
    }

    private byte* Row(in Item item, int key) => item.Pages.LatentRow(layout, layer, item.Selected is null ? key : item.Selected[key]);

    private void Prefetch(in Item item, int start, int end)
    {
        for (; start < end && Sse.IsSupported; start++)
        {
            var row = Row(item, start);
            for (var offset = 0; offset < layout.LatentRowSizeBytes; offset += CacheLineSizeBytes)
                Sse.Prefetch1(row + offset);
        }
    }

    /// <summary>All segments of a tile, one after the other.</summary>
    private void Whole(in Item item, in TileScratch scratch)
    {
        item.Interleave(_scale, scratch.Queries);
        Segment(item, 0, scratch.Total, scratch);
        for (var segment = 1; segment < Segments(item.KeyCount(item.Rows - 1)); segment++)
        {
            Segment(item, segment, scratch.Part, scratch);
            Join(item, scratch.Total, scratch.Part);
        }

        Finish(item, scratch.Total);
    }

    private void Join(in Item item, TilePart total, TilePart part)
    {
        for (var q = 0; q < item.Queries; q++)
        {
            // Rows of a tile end at different keys: a segment behind a row's end has no part of it.
            if (part.Sums[q] != 0)
                item.Pass.Compute.Kernels.Attention.Merge(total.Output(q), ref total.Maxima[q], ref total.Sums[q], part.Output(q), part.Maxima[q], part.Sums[q], AttentionBuffers.Padded(config.KvLoraRank));
        }
    }

    /// <summary>Divides by the sums.</summary>
    private void Finish(in Item item, TilePart total)
    {
        for (var q = 0; q < item.Queries; q++)
            item.Pass.Compute.Kernels.Attention.Scaled(total.Output(q), 1 / total.Sums[q], item.Output(q), AttentionBuffers.Padded(config.KvLoraRank));
    }

    /// <summary>Some heads of a tile.</summary>
    private readonly ref struct Item(ModelConfig config, Pass pass, AttentionBuffers buffers, int window, int firstRow, int rows, int firstHead, int heads, bool isSparse)
    {
        public readonly Pass Pass = pass;
        public readonly int Rows = rows;
        public readonly KvPageTable Pages = pass.Pages(firstRow);

        // The keys that the tile's one row has chosen, or null for all.
        public readonly int* Selected = isSparse && pass.Positions[firstRow] + 1 > config.IndexTopK ? buffers.Selection + ((long)firstRow * config.IndexTopK) : null;

        private readonly int _keyCount = isSparse ? Math.Min(pass.Positions[firstRow] + 1, config.IndexTopK) : pass.Positions[firstRow] + 1;

        /// <summary>Rows times heads.</summary>
        public int Queries => Rows * heads;

        /// <summary>Vectors of queries.</summary>
        public int Vectors => (Queries + Lanes.Count - 1) / Lanes.Count;

        /// <summary>Rows of a tile stand at consecutive positions.</summary>
        public int KeyCount(int row) => _keyCount + row;

        /// <summary>Where the output of a query goes.</summary>
        public float* Output(int query) => buffers.LatentOutputs + (Place(query) * AttentionBuffers.Padded(config.KvLoraRank));

        /// <summary>Writes how many keys from <paramref name="first"/> on each lane sees, and returns it.</summary>
        public float* Limits(int first, float* limits)
        {
            for (var lane = 0; lane < Vectors * Lanes.Count; lane++)
                limits[lane] = KeyCount(Math.Min(lane, Queries - 1) / heads) - first;
            return limits;
        }

        /// <summary>Puts the queries into lanes, multiplied by <paramref name="scale"/>; the last one fills up the last vector.</summary>
        [SkipLocalsInit]
        public void Interleave(float scale, float* destination)
        {
            var rows = stackalloc float*[Lanes.Count];
            var width = AttentionBuffers.Padded(config.LatentWidth);
            for (var first = 0; first < Queries; first += Lanes.Count, destination += width * Lanes.Count)
            {
                for (var lane = 0; lane < Lanes.Count; lane++)
                    rows[lane] = buffers.LatentQueries + (Place(Math.Min(first + lane, Queries - 1)) * width);
                LaneRows.Interleave(rows, width, scale, destination);
            }
        }

        private long Place(int query) => ((long)(firstRow - window + (query / heads)) * config.HeadCount) + firstHead + (query % heads);
    }

    private struct Loop : IParallelLoop
    {
        public LatentAttention Owner;
        public Pass Pass;
        public AttentionBuffers Buffers;
        public int Window;
        public int HeadsPerItem;
        public int Groups;
        public bool IsSparse;
        public int WholeItems;
        public int FirstSplitTile;
        public int SplitItems;
        public bool IsMerge;
        public int FirstSegment;
        public int SegmentsPerWave;

        public readonly void Run(int start, int end, int worker)
        {
            var scratch = new TileScratch(Owner.Config, Pass.Compute.Scratch(worker));
            for (var i = start; i < end; i++)
            {
                if (IsMerge)
                    Merge(i);
                else if (i < WholeItems)
                    Owner.Whole(ItemOf(i), scratch);
                else
                    Segment((i - WholeItems) % SplitItems, (i - WholeItems) / SplitItems, scratch);
            }
        }

        /// <summary>A segment of this wave; the very first one is what the others are joined to.</summary>
        private readonly void Segment(int split, int place, in TileScratch scratch)
        {
            var item = ItemOf((FirstSplitTile * Groups) + split);
            var segment = FirstSegment + place;
            if (segment >= Segments(item.KeyCount(item.Rows - 1)))
                return;
            item.Interleave(Owner._scale, scratch.Queries);
            Owner.Segment(item, segment, segment == 0 ? Buffers.Total(split) : Buffers.Slot((split * SegmentsPerWave) + place), scratch);
        }

        /// <summary>Joins this wave's segments to those before, and behind the last one finishes.</summary>
        private readonly void Merge(int split)
        {
            var item = ItemOf((FirstSplitTile * Groups) + split);
            var segments = Segments(item.KeyCount(item.Rows - 1));
            for (var segment = Math.Max(FirstSegment, 1); segment < Math.Min(FirstSegment + SegmentsPerWave, segments); segment++)
                Owner.Join(item, Buffers.Total(split), Buffers.Slot((split * SegmentsPerWave) + segment - FirstSegment));
            if (FirstSegment < segments && FirstSegment + SegmentsPerWave >= segments)
                Owner.Finish(item, Buffers.Total(split));
        }

        private readonly Item ItemOf(int index)
        {
            int tile = Buffers.TileOrder[index / Groups], firstHead = index % Groups * HeadsPerItem;
            int firstRow = Buffers.TileStarts[tile], rows = Buffers.TileStarts[tile + 1] - firstRow;
            return new Item(Owner.Config, Pass, Buffers, Window, firstRow, rows, firstHead, Math.Min(HeadsPerItem, Owner.Config.HeadCount - firstHead), IsSparse);
        }
    }

    private ModelConfig Config => config;
}
