using Conclave.Model.Checkpoints;
using Conclave.Model.Kernels;

namespace Conclave.Model.Attention;

/// <summary>
/// The lightning indexer of DeepSeek Sparse Attention (V3.2): a small attention that scores every earlier token, of which the best <c>index_topk</c> are
/// attended to. <c>score(s, t) = sum over heads of w_h(s) relu(q_h(s) . k(t))</c>; the first rope dimensions of q and k are rotated in halves. Its keys are cached in the
/// pages' index-key area. All in float32: the Hadamard rotation of the FP8 deployment is orthogonal and drops out.
/// </summary>
internal sealed unsafe class LightningIndexer
{
    private const float LayerNormEpsilon = 1e-6f;
    private const int BlocksPerItem = 16;
    private const int RowsPerTile = 4;
    private readonly ModelConfig _config;
    private readonly KvLayout _layout;
    private readonly int _layer;
    private readonly Weight _query;
    private readonly Weight _key;
    private readonly float* _keyNormWeight;
    private readonly float* _keyNormBias;
    private readonly Weight _headWeights;
    private readonly float _scale;

    /// <summary>Binds <c>model.layers.{layer}.self_attn.indexer.*</c>.</summary>
    public LightningIndexer(Checkpoint checkpoint, int layer, KvLayout layout, Arena arena)
    {
        var c = _config = checkpoint.Config;
        _layout = layout;
        _layer = layer;
        _scale = (float)(1 / Math.Sqrt(c.IndexHeadCount) / Math.Sqrt(c.IndexHeadDim));
        var prefix = $"model.layers.{layer}.self_attn.indexer.";
        _query = Weight.Bind(checkpoint, prefix + "wq_b.weight", c.IndexHeadCount * c.IndexHeadDim, c.QLoraRank);
        _key = Weight.Bind(checkpoint, prefix + "wk.weight", c.IndexHeadDim, c.HiddenSize);
        _keyNormWeight = Vectors.Load(checkpoint, prefix + "k_norm.weight", c.IndexHeadDim, arena);
        _keyNormBias = Vectors.Load(checkpoint, prefix + "k_norm.bias", c.IndexHeadDim, arena);
        _headWeights = Weight.Bind(checkpoint, prefix + "weights_proj.weight", c.IndexHeadCount, c.HiddenSize);
    }

    /// <summary>Floats of scratch that each thread needs: a block of keys.</summary>
    public static long ScratchFloats(ModelConfig c) => (long)c.IndexHeadDim * KvLayout.BlockTokens;

    /// <summary>Appends the rows' index keys to their pages and chooses the keys of rows that see more than are kept.</summary>
    /// <param name="pass">The pass; <c>pass.Normed</c> is the layer's input.</param>
    /// <param name="buffers">Receives the selection.</param>
    /// <param name="queryLatents">Output of <c>q_a_layernorm</c>.</param>
    public void Forward(Pass pass, AttentionBuffers buffers, RowSet queryLatents)
    {
        var c = _config;
        var x = new RowSet(pass.Normed, c.HiddenSize);
        Store(pass, buffers);
        pass.Compute.Linear(_query, queryLatents, new RowSet(buffers.IndexQueries, _query.Rows), pass.Rows);
        pass.Compute.Linear(_headWeights, x, new RowSet(buffers.IndexWeights, c.IndexHeadCount), pass.Rows);
        var rotate = new QueryLoop { Owner = this, Pass = pass, Buffers = buffers };
        pass.Compute.Run(ref rotate, pass.Rows, (long)c.IndexHeadCount * c.IndexHeadDim);
        var loop = new SelectLoop { Owner = this, Pass = pass, Buffers = buffers };
        for (var row = 0; row < pass.Rows; row = loop.End)
        {
            loop.Take(row);
            loop.IsScoring = true;
            pass.Compute.Workers.Run(ref loop, loop.ScoreItems, 1);
            loop.IsScoring = false;
            pass.Compute.Workers.Run(ref loop, loop.End - loop.Start, 1);
        }

        if (pass.Probe is not null)
            Report(pass, buffers);
    }

    /// <summary>Appends the rows' index keys to their pages.</summary>
    public void Store(Pass pass, AttentionBuffers buffers)
    {
        pass.Compute.Linear(_key, new RowSet(pass.Normed, _config.HiddenSize), new RowSet(buffers.IndexKeys, _config.IndexHeadDim), pass.Rows);
        var store = new KeyLoop { Owner = this, Pass = pass, Buffers = buffers };
        pass.Compute.Run(ref store, pass.Rows, _config.IndexHeadDim);
    }

    private void StoreKey(Pass pass, AttentionBuffers buffers, int row)
    {
        var c = _config;
        var pairs = c.QkRopeHeadDim / 2;
        var key = buffers.IndexKeys + ((long)row * c.IndexHeadDim);
        pass.Compute.Kernels.LayerNorm(key, _keyNormWeight, _keyNormBias, LayerNormEpsilon, c.IndexHeadDim);
        RopeTable.RotateHalves(key, pass.Cosines + ((long)row * pairs), pass.Sines + ((long)row * pairs), pairs);
        var position = pass.Positions[row];
        KvRows.StoreIndexKey(_layout, key, pass.Pages(row).IndexBlock(_layout, _layer, position), position % KvLayout.BlockTokens);
    }

    private void RotateQueries(Pass pass, AttentionBuffers buffers, int row)
    {
        var c = _config;
        var pairs = c.QkRopeHeadDim / 2;
        float* cosines = pass.Cosines + ((long)row * pairs), sines = pass.Sines + ((long)row * pairs);
        for (var head = 0; head < c.IndexHeadCount; head++)
            RopeTable.RotateHalves(buffers.IndexQueries + ((((long)row * c.IndexHeadCount) + head) * c.IndexHeadDim), cosines, sines, pairs);
        pass.Compute.Kernels.Scale(buffers.IndexWeights + ((long)row * c.IndexHeadCount), _scale, c.IndexHeadCount);
    }

    /// <summary>Scores a run of key blocks for consecutive rows of one sequence.</summary>
    private void Score(Pass pass, AttentionBuffers buffers, int firstRow, int rows, int firstBlock, float* scratch)
    {
        var c = _config;
        var kernels = pass.Compute.Kernels.Attention;
        var end = Math.Min((firstBlock + BlocksPerItem) * KvLayout.BlockTokens, pass.Positions[firstRow + rows - 1] + 1);
        for (var first = firstBlock * KvLayout.BlockTokens; first < end; first += KvLayout.BlockTokens)
        {
            var scales = kernels.WidenIndexBlock(_layout, pass.Pages(firstRow).IndexBlock(_layout, _layer, first), scratch, out var keys);
            for (var row = firstRow; row < firstRow + rows; row++)
            {
                if (first <= pass.Positions[row])
                    kernels.IndexScores(keys, scales, buffers.IndexQueries + ((long)row * c.IndexHeadCount * c.IndexHeadDim), buffers.IndexWeights + ((long)row * c.IndexHeadCount), c.IndexHeadCount, c.IndexHeadDim, buffers.IndexScores + buffers.ScoreStarts[row] + first);
            }
        }
    }

    private void Report(Pass pass, AttentionBuffers buffers)
    {
        for (var row = 0; row < pass.Rows; row++)
        {
            var keyCount = pass.Positions[row] + 1;
            if (keyCount > _config.IndexTopK)
                pass.Probe!.KeysSelected(_layer, pass.FirstRow + row, new ReadOnlySpan<int>(buffers.Selection + ((long)row * _config.IndexTopK), _config.IndexTopK));
        }
    }

    private struct KeyLoop : IParallelLoop
    {
        public LightningIndexer Owner;
        public Pass Pass;
        public AttentionBuffers Buffers;

        public readonly void Run(int start, int end, int worker)
        {
            for (var row = start; row < end; row++)
                Owner.StoreKey(Pass, Buffers, row);
        }
    }

    private struct QueryLoop : IParallelLoop
    {
        public LightningIndexer Owner;
        public Pass Pass;
        public AttentionBuffers Buffers;

        public readonly void Run(int start, int end, int worker)
        {
            for (var row = start; row < end; row++)
                Owner.RotateQueries(Pass, Buffers, row);
        }
    }

    /// <summary>As many rows at a time as there is memory for scores: first the scores, then each row's choice.</summary>
    private struct SelectLoop : IParallelLoop
    {
        public LightningIndexer Owner;
        public Pass Pass;
        public AttentionBuffers Buffers;
        public bool IsScoring;
        private int _tiles;
        private int _itemsPerTile;

        /// <summary>First row under way.</summary>
        public int Start { get; private set; }

        /// <summary>Behind the last row under way.</summary>
        public int End { get; private set; }

        /// <summary>Runs of key blocks, for each tile of rows.</summary>
        public readonly int ScoreItems => _tiles * _itemsPerTile;

        /// <summary>Takes rows from <paramref name="start"/> on; those of one sequence are scored up to <see cref="RowsPerTile"/> at a time.</summary>
        public void Take(int start)
        {
            Start = End = start;
            _tiles = _itemsPerTile = 0;
            long used = 0;
            for (; End < Pass.Rows; End++)
            {
                if (Pass.Positions[End] + 1 <= Owner._config.IndexTopK)
                    continue;
                var blocks = (Pass.Positions[End] / KvLayout.BlockTokens) + 1;
                if (used + ((long)blocks * KvLayout.BlockTokens) > Buffers.ScoreFloats)
                    break;
                Buffers.ScoreStarts[End] = used;
                used += (long)blocks * KvLayout.BlockTokens;
                _itemsPerTile = Math.Max(_itemsPerTile, ((blocks - 1) / BlocksPerItem) + 1);
                var first = _tiles == 0 ? -1 : Buffers.ScoreTiles[2 * (_tiles - 1)];
                if (first >= 0 && End - first < RowsPerTile && Pass.Pages(first) == Pass.Pages(End))
                {
                    Buffers.ScoreTiles[(2 * (_tiles - 1)) + 1]++;
                    continue;
                }

                Buffers.ScoreTiles[2 * _tiles] = End;
                Buffers.ScoreTiles[(2 * _tiles++) + 1] = 1;
            }
        }

        public readonly void Run(int start, int end, int worker)
        {
            for (var i = start; i < end; i++)
            {
                if (!IsScoring)
                    Choose(Start + i);
                else if (Buffers.ScoreTiles + (2 * (i / _itemsPerTile)) is var tile)
                    Owner.Score(Pass, Buffers, tile[0], tile[1], i % _itemsPerTile * BlocksPerItem, Pass.Compute.Scratch(worker));
            }
        }

        private readonly void Choose(int row)
        {
            var topK = Owner._config.IndexTopK;
            if (Pass.Positions[row] + 1 > topK)
                TopK.Select(Buffers.IndexScores + Buffers.ScoreStarts[row], Pass.Positions[row] + 1, topK, Buffers.Selection + ((long)row * topK));
        }
    }
}
