using System.Runtime.InteropServices;
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
    public const int SegmentTokens = 8 * KvLayout.BlockTokens;

    /// <summary>Queries (rows times heads) of a tile.</summary>
    public const int TileQueries = 64;

    private const int LeastHeads = 8;
    private readonly float _scale = RopeTable.SoftmaxScale(config);
    private readonly bool _isInPlace = layout.Type == KvType.F32 && layout.LatentWidth % Lanes.Count == 0;

    /// <summary>Floats of scratch that each thread needs: a widened block, scores, a segment's outputs, maxima and sums.</summary>
    public static long ScratchFloats(ModelConfig c) =>
        ((long)KvLayout.BlockTokens * AttentionBuffers.Padded(c.LatentWidth)) + (TileQueries * (KvLayout.BlockTokens + AttentionBuffers.Padded(c.KvLoraRank) + 4L));

    private static int WidestGroup(ModelConfig c) => Math.Min(c.HeadCount, TileQueries);

    /// <summary>Turns <c>buffers.LatentQueries</c> into <c>buffers.LatentOutputs</c>.</summary>
    /// <param name="pass">The pass.</param>
    /// <param name="buffers">Queries, outputs, and the selected keys of rows that see more than are kept.</param>
    /// <param name="isSparse">Whether there are such rows.</param>
    public void Forward(Pass pass, AttentionBuffers buffers, bool isSparse)
    {
        var tiles = BuildTiles(pass, buffers, isSparse, out var mostSegments);
        var threads = pass.Compute.Workers.ThreadCount;
        var heads = WidestGroup(config);
        while (heads > LeastHeads && tiles * Groups(heads) * mostSegments < 2 * threads)
            heads = (((heads + 1) / 2) + 3) / 4 * 4;
        var loop = new Loop { Owner = this, Pass = pass, Buffers = buffers, HeadsPerItem = heads, Groups = Groups(heads), IsSparse = isSparse };
        if (mostSegments == 1 || tiles * loop.Groups >= 4 * threads || threads == 1)
        {
            pass.Compute.Workers.Run(ref loop, tiles * loop.Groups, 1);
            return;
        }

        // Few tiles, long contexts: segments side by side, as many at a time as there are slots for.
        loop.SegmentsPerWave = Math.Max(1, buffers.SlotCount / (tiles * loop.Groups));
        for (; loop.FirstSegment < mostSegments; loop.FirstSegment += loop.SegmentsPerWave)
        {
            loop.Phase = Phase.Segments;
            pass.Compute.Workers.Run(ref loop, tiles * loop.Groups * loop.SegmentsPerWave, 1);
            loop.Phase = Phase.Merge;
            pass.Compute.Workers.Run(ref loop, tiles * loop.Groups, 1);
        }
    }

    private int Groups(int headsPerItem) => ((config.HeadCount - 1) / headsPerItem) + 1;

    /// <summary>Cuts the rows into tiles: rows of one sequence, each alone where it has keys of its own choice.</summary>
    private int BuildTiles(Pass pass, AttentionBuffers buffers, bool isSparse, out int mostSegments)
    {
        var rowsPerTile = Math.Max(1, TileQueries / WidestGroup(config));
        var count = 0;
        mostSegments = 1;
        for (var row = 0; row < pass.Rows;)
        {
            buffers.TileStarts[count++] = row;
            var first = row++;
            var isAlone = isSparse && pass.Positions[first] + 1 > config.IndexTopK;
            var pages = pass.Pages(first);
            while (!isAlone && row < pass.Rows && row - first < rowsPerTile && pass.Pages(row) == pages && !(isSparse && pass.Positions[row] + 1 > config.IndexTopK))
                row++;
            mostSegments = Math.Max(mostSegments, Segments(KeyCount(pass, row - 1, isSparse)));
        }

        buffers.TileStarts[count] = pass.Rows;
        return count;
    }

    private static int Segments(int keyCount) => ((keyCount - 1) / SegmentTokens) + 1;

    private int KeyCount(Pass pass, int row, bool isSparse) => isSparse ? Math.Min(pass.Positions[row] + 1, config.IndexTopK) : pass.Positions[row] + 1;

    /// <summary>One segment of a tile: outputs (not divided by the sums), maxima and sums <c>[rows, heads]</c>.</summary>
    private void Segment(in Item item, int segment, float* outputs, long rowStride, float* maxima, float* sums, float* scratch)
    {
        var kernels = item.Pass.Compute.Kernels;
        var attention = kernels.Attention;
        int width = AttentionBuffers.Padded(config.LatentWidth), valueWidth = AttentionBuffers.Padded(config.KvLoraRank);
        var scores = scratch + ((long)KvLayout.BlockTokens * width);
        new Span<float>(maxima, item.Rows * item.Heads).Fill(float.NegativeInfinity);
        new Span<float>(sums, item.Rows * item.Heads).Clear();
        for (var r = 0; r < item.Rows; r++)
            NativeMemory.Clear(outputs + (r * rowStride), (nuint)((long)item.Heads * valueWidth * sizeof(float)));

        var end = Math.Min((segment + 1) * SegmentTokens, item.KeyCount(item.Rows - 1));
        for (var first = segment * SegmentTokens; first < end; first += KvLayout.BlockTokens)
        {
            var keys = Latents(item, first, Math.Min(KvLayout.BlockTokens, end - first), scratch, out var keyStride);
            for (var r = 0; r < item.Rows; r++)
            {
                var count = Math.Min(KvLayout.BlockTokens, item.KeyCount(r) - first);
                if (count <= 0)
                    continue;
                var rowScores = scores + ((long)r * item.Heads * KvLayout.BlockTokens);
                attention.Scores(item.Queries(r), item.Heads, keys, keyStride, count, width, rowScores);
                for (var h = 0; h < item.Heads; h++)
                {
                    var q = (r * item.Heads) + h;
                    var correction = kernels.SoftmaxBlock(rowScores + (h * KvLayout.BlockTokens), count, _scale, ref maxima[q], ref sums[q]);
                    if (correction != 1)
                        kernels.Scale(outputs + (r * rowStride) + ((long)h * valueWidth), correction, valueWidth);
                }
            }

            // A strip of the block's columns stays in the nearest cache while all queries of the tile use it.
            const int Strip = 4 * Lanes.Count;
            for (var column = 0; column < valueWidth; column += Strip)
            {
                for (var r = 0; r < item.Rows; r++)
                {
                    var count = Math.Min(KvLayout.BlockTokens, item.KeyCount(r) - first);
                    if (count > 0)
                        attention.Values(scores + ((long)r * item.Heads * KvLayout.BlockTokens), item.Heads, keys + column, keyStride, count, outputs + (r * rowStride) + column, valueWidth, Math.Min(Strip, valueWidth - column));
                }
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
            kernels.WidenLatent(layout, item.Pages.LatentRow(layout, layer, item.Selected is null ? first + i : item.Selected[first + i]), destination);
            new Span<float>(destination + config.LatentWidth, padding).Clear();
        }

        return scratch;
    }

    /// <summary>All segments of a tile, one after the other.</summary>
    private void Whole(in Item item, float* scratch)
    {
        int valueWidth = AttentionBuffers.Padded(config.KvLoraRank), queries = item.Rows * item.Heads;
        var parts = scratch + ((long)KvLayout.BlockTokens * AttentionBuffers.Padded(config.LatentWidth)) + (TileQueries * KvLayout.BlockTokens);
        var maxima = parts + ((long)TileQueries * valueWidth);
        float* sums = maxima + TileQueries, partMaxima = sums + TileQueries, partSums = partMaxima + TileQueries;
        Segment(item, 0, item.Outputs(0), item.OutputRowStride, maxima, sums, scratch);
        for (var segment = 1; segment < Segments(item.KeyCount(item.Rows - 1)); segment++)
        {
            Segment(item, segment, parts, (long)item.Heads * valueWidth, partMaxima, partSums, scratch);
            Join(item, parts, partMaxima, partSums, maxima, sums);
        }

        for (var q = 0; q < queries; q++)
            item.Pass.Compute.Kernels.Scale(item.Outputs(q / item.Heads) + ((long)(q % item.Heads) * valueWidth), 1 / sums[q], valueWidth);
    }

    private void Join(in Item item, float* parts, float* partMaxima, float* partSums, float* maxima, float* sums)
    {
        var valueWidth = AttentionBuffers.Padded(config.KvLoraRank);
        for (var q = 0; q < item.Rows * item.Heads; q++)
        {
            // Rows of a tile end at different keys: a segment behind a row's end has no part of it.
            if (partSums[q] != 0)
                item.Pass.Compute.Kernels.Attention.Merge(item.Outputs(q / item.Heads) + ((long)(q % item.Heads) * valueWidth), ref maxima[q], ref sums[q], parts + ((long)q * valueWidth), partMaxima[q], partSums[q], valueWidth);
        }
    }

    /// <summary>Joins a wave's segments to what the tile has from earlier waves; divides by the sums behind the last one.</summary>
    private void Merge(in Item item, AttentionBuffers buffers, int index, int firstSegment, int segmentCount)
    {
        var valueWidth = AttentionBuffers.Padded(config.KvLoraRank);
        var state = buffers.TileState(index);
        var segments = Segments(item.KeyCount(item.Rows - 1));
        for (var i = 0; i < segmentCount && firstSegment + i < segments; i++)
        {
            var slot = buffers.Slot((index * segmentCount) + i);
            var maxima = slot + ((long)TileQueries * valueWidth);
            if (firstSegment + i == 0)
            {
                for (var r = 0; r < item.Rows; r++)
                    NativeMemory.Copy(slot + ((long)r * item.Heads * valueWidth), item.Outputs(r), (nuint)((long)item.Heads * valueWidth * sizeof(float)));
                NativeMemory.Copy(maxima, state, 2 * TileQueries * sizeof(float));
            }
            else
            {
                Join(item, slot, maxima, maxima + TileQueries, state, state + TileQueries);
            }
        }

        if (firstSegment >= segments || firstSegment + segmentCount < segments)
            return;
        for (var q = 0; q < item.Rows * item.Heads; q++)
            item.Pass.Compute.Kernels.Scale(item.Outputs(q / item.Heads) + ((long)(q % item.Heads) * valueWidth), 1 / state[TileQueries + q], valueWidth);
    }

    private enum Phase
    {
        Whole,
        Segments,
        Merge,
    }

    /// <summary>Some heads of a tile.</summary>
    private readonly ref struct Item(ModelConfig config, Pass pass, AttentionBuffers buffers, int firstRow, int rows, int firstHead, int heads, bool isSparse)
    {
        public readonly Pass Pass = pass;
        public readonly int Rows = rows;
        public readonly int Heads = heads;
        public readonly KvPageTable Pages = pass.Pages(firstRow);

        // The keys that the tile's one row has chosen, or null for all.
        public readonly int* Selected = isSparse && pass.Positions[firstRow] + 1 > config.IndexTopK ? buffers.Selection + ((long)firstRow * config.IndexTopK) : null;

        private readonly float* _queries = buffers.LatentQueries + ((((long)firstRow * config.HeadCount) + firstHead) * AttentionBuffers.Padded(config.LatentWidth));
        private readonly float* _outputs = buffers.LatentOutputs + ((((long)firstRow * config.HeadCount) + firstHead) * AttentionBuffers.Padded(config.KvLoraRank));
        private readonly long _queryRowStride = (long)config.HeadCount * AttentionBuffers.Padded(config.LatentWidth);
        private readonly int _keyCount = isSparse ? Math.Min(pass.Positions[firstRow] + 1, config.IndexTopK) : pass.Positions[firstRow] + 1;

        public readonly long OutputRowStride = (long)config.HeadCount * AttentionBuffers.Padded(config.KvLoraRank);

        /// <summary>Rows of a tile stand at consecutive positions.</summary>
        public int KeyCount(int row) => _keyCount + row;

        public float* Queries(int row) => _queries + (row * _queryRowStride);

        public float* Outputs(int row) => _outputs + (row * OutputRowStride);
    }

    private struct Loop : IParallelLoop
    {
        public LatentAttention Owner;
        public Pass Pass;
        public AttentionBuffers Buffers;
        public int HeadsPerItem;
        public int Groups;
        public bool IsSparse;
        public Phase Phase;
        public int FirstSegment;
        public int SegmentsPerWave;

        public readonly void Run(int start, int end, int worker)
        {
            var scratch = Pass.Compute.Scratch(worker);
            for (var i = start; i < end; i++)
            {
                var index = Phase == Phase.Segments ? i / SegmentsPerWave : i;
                var item = ItemOf(index);
                if (Phase == Phase.Whole)
                    Owner.Whole(item, scratch);
                else if (Phase == Phase.Merge)
                    Owner.Merge(item, Buffers, index, FirstSegment, SegmentsPerWave);
                else if (FirstSegment + (i % SegmentsPerWave) is var segment && segment < Segments(item.KeyCount(item.Rows - 1)))
                    Segment(item, segment, Buffers.Slot(i), scratch);
            }
        }

        private readonly void Segment(in Item item, int segment, float* slot, float* scratch)
        {
            var valueWidth = AttentionBuffers.Padded(Owner.Config.KvLoraRank);
            var maxima = slot + ((long)TileQueries * valueWidth);
            Owner.Segment(item, segment, slot, (long)item.Heads * valueWidth, maxima, maxima + TileQueries, scratch);
        }

        private readonly Item ItemOf(int index)
        {
            int tile = index / Groups, firstHead = index % Groups * HeadsPerItem;
            int firstRow = Buffers.TileStarts[tile], rows = Buffers.TileStarts[tile + 1] - firstRow;
            return new Item(Owner.Config, Pass, Buffers, firstRow, rows, firstHead, Math.Min(HeadsPerItem, Owner.Config.HeadCount - firstHead), IsSparse);
        }
    }

    private ModelConfig Config => config;
}
