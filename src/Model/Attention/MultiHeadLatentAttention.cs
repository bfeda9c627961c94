using System.Runtime.InteropServices;
using Conclave.Model.Checkpoints;
using Conclave.Model.Kernels;

namespace Conclave.Model.Attention;

/// <summary>
/// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1) with the up-projections absorbed: per token and layer only the normalized
/// latent and one rotated key shared by all heads are cached, queries are taken into the latent space (W_UK) and the weighted latents out of it (W_UV).
/// Softmax runs over blocks of <see cref="KvLayout.BlockTokens"/> keys counted from the first, whatever page, chunk or batch they came with.
/// </summary>
internal sealed unsafe class MultiHeadLatentAttention
{
    // Rows whose queries are absorbed together.
    private const int AbsorbedRows = 4 * Lanes.Count;
    private readonly ModelConfig _config;
    private readonly KvLayout _layout;
    private readonly int _layer;
    private readonly Weight _queryDown;
    private readonly float* _queryNorm;
    private readonly Weight _queryUp;
    private readonly Weight _kvDown;
    private readonly float* _kvNorm;
    private readonly Weight _kvUp;
    private readonly Weight _output;
    private readonly LightningIndexer? _indexer;
    private readonly LatentAttention _attention;

    /// <summary>Binds <c>model.layers.{layer}.self_attn.*</c>.</summary>
    public MultiHeadLatentAttention(Checkpoint checkpoint, int layer, KvLayout layout, Arena arena)
    {
        var c = _config = checkpoint.Config;
        _layout = layout;
        _layer = layer;
        _attention = new LatentAttention(c, layout, layer);
        var prefix = $"model.layers.{layer}.self_attn.";
        var queryWidth = c.HeadCount * (c.QkNopeHeadDim + c.QkRopeHeadDim);
        if (c.QLoraRank > 0)
        {
            _queryDown = Weight.BindProduct(checkpoint, prefix + "q_a_proj.weight", c.QLoraRank, c.HiddenSize);
            _queryNorm = Vectors.Load(checkpoint, prefix + "q_a_layernorm.weight", c.QLoraRank, arena);
            _queryUp = Weight.BindProduct(checkpoint, prefix + "q_b_proj.weight", queryWidth, c.QLoraRank);
        }
        else
        {
            _queryUp = Weight.BindProduct(checkpoint, prefix + "q_proj.weight", queryWidth, c.HiddenSize);
        }

        _kvDown = Weight.BindProduct(checkpoint, prefix + "kv_a_proj_with_mqa.weight", c.LatentWidth, c.HiddenSize);
        _kvNorm = Vectors.Load(checkpoint, prefix + "kv_a_layernorm.weight", c.KvLoraRank, arena);
        _kvUp = Weight.Bind(checkpoint, prefix + "kv_b_proj.weight", c.HeadCount * (c.QkNopeHeadDim + c.VHeadDim), c.KvLoraRank);
        _output = Weight.BindProduct(checkpoint, prefix + "o_proj.weight", c.HiddenSize, c.HeadCount * c.VHeadDim);
        _indexer = c.IndexHeadCount > 0 ? new LightningIndexer(checkpoint, layer, layout, arena) : null;
    }

    /// <summary>Floats of scratch that each thread needs.</summary>
    public static long ScratchFloats(ModelConfig c) => Math.Max((long)c.QkNopeHeadDim * (c.KvLoraRank + AbsorbedRows), LatentAttention.ScratchFloats(c));

    /// <summary>Appends the rows' latents to their pages and writes the attention output of <c>pass.Normed</c> to <c>pass.BlockOutput</c>.</summary>
    public void Forward(Pass pass, AttentionBuffers buffers)
    {
        var c = _config;
        var compute = pass.Compute;
        var x = new RowSet(pass.Normed, c.HiddenSize);
        var query = x;
        if (c.QLoraRank > 0)
        {
            query = new RowSet(buffers.QueryLatents, c.QLoraRank);
            compute.Linear(_queryDown, x, query, pass.Rows);
            pass.RmsNorm(query, _queryNorm, query, pass.Rows, c.QLoraRank);
        }

        compute.Linear(_queryUp, query, new RowSet(buffers.Queries, _queryUp.Rows), pass.Rows);
        StoreLatents(pass, buffers);
        _indexer?.Forward(pass, buffers, query);

        // What lies between the products in latent space is wide: so few rows at a time that it stays in the caches.
        for (int first = 0, rows; first < pass.Rows; first += rows)
        {
            rows = Math.Min(buffers.WindowRows, pass.Rows - first);
            var absorb = new AbsorbLoop { Owner = this, Pass = pass, Buffers = buffers, First = first, Rows = rows };
            compute.Run(ref absorb, c.HeadCount, (long)rows * c.QkNopeHeadDim * c.KvLoraRank);
            _attention.Forward(pass, buffers, first, rows, isSparse: _indexer is not null);
            var lift = new LiftLoop { Owner = this, Pass = pass, Buffers = buffers, First = first, Rows = rows };
            compute.Run(ref lift, c.HeadCount, (long)rows * c.VHeadDim * c.KvLoraRank);
        }

        compute.Linear(_output, new RowSet(buffers.HeadOutputs, _output.Columns), new RowSet(pass.BlockOutput, c.HiddenSize), pass.Rows);
    }

    /// <summary>Appends what later rows need of these, latents and index keys, to their pages, and computes nothing else of <c>pass.Normed</c>.</summary>
    public void Store(Pass pass, AttentionBuffers buffers)
    {
        StoreLatents(pass, buffers);
        _indexer?.Store(pass, buffers);
    }

    private int QueryHeadWidth => _config.QkNopeHeadDim + _config.QkRopeHeadDim;

    private int KvHeadWidth => _config.QkNopeHeadDim + _config.VHeadDim;

    private void StoreLatents(Pass pass, AttentionBuffers buffers)
    {
        pass.Compute.Linear(_kvDown, new RowSet(pass.Normed, _config.HiddenSize), new RowSet(buffers.Latents, _config.LatentWidth), pass.Rows);
        var store = new StoreLoop { Owner = this, Pass = pass, Buffers = buffers };
        pass.Compute.Run(ref store, pass.Rows, _config.LatentWidth);
    }

    /// <summary>Normalizes the latent, rotates the shared key and writes both to the row's place in its page.</summary>
    private void Store(Pass pass, AttentionBuffers buffers, int row)
    {
        var c = _config;
        var position = pass.Positions[row];
        var source = buffers.Latents + ((long)row * c.LatentWidth);
        pass.Compute.Kernels.RmsNorm(source, _kvNorm, c.RmsNormEpsilon, source, c.KvLoraRank);
        var pairs = c.QkRopeHeadDim / 2;
        RopeTable.RotateInterleaved(source + c.KvLoraRank, pass.Cosines + ((long)row * pairs), pass.Sines + ((long)row * pairs), pairs);
        KvRows.StoreLatent(_layout, source, pass.Pages(row).LatentRow(_layout, _layer, position));
    }

    /// <summary>One head's queries of a window: q_nope W_UK, then the rotated q_pe behind it: what a cached row is multiplied with.</summary>
    private void Absorb(Pass pass, AttentionBuffers buffers, int first, int rowCount, int head, float* scratch)
    {
        var c = _config;
        var pairs = c.QkRopeHeadDim / 2;
        var queries = new RowSet(buffers.Queries + ((long)first * _queryUp.Rows) + ((long)head * QueryHeadWidth), _queryUp.Rows);
        var latentQueries = new RowSet(buffers.LatentQueries + ((long)head * AttentionBuffers.Padded(c.LatentWidth)), (long)c.HeadCount * AttentionBuffers.Padded(c.LatentWidth));
        for (var row = 0; row < rowCount; row++)
        {
            var rotated = latentQueries.Row(row) + c.KvLoraRank;
            NativeMemory.Copy(queries.Row(row) + c.QkNopeHeadDim, rotated, (nuint)(c.QkRopeHeadDim * sizeof(float)));
            RopeTable.RotateInterleaved(rotated, pass.Cosines + ((long)(first + row) * pairs), pass.Sines + ((long)(first + row) * pairs), pairs);
        }

        // Both ways add the same products in the same order.
        if (rowCount <= StreamedSum.MaxRows || c.KvLoraRank % Lanes.Count != 0)
            pass.Compute.Kernels.Attention.StreamedSum(_kvUp, head * KvHeadWidth, c.QkNopeHeadDim, queries, latentQueries, rowCount);
        else
            AbsorbMany(pass.Compute.Kernels, head, queries, latentQueries, rowCount, scratch);
    }

    /// <summary>W_UK widened once for all rows, a strip of its columns at a time in the nearest cache.</summary>
    private void AbsorbMany(KernelSet kernels, int head, RowSet queries, RowSet latentQueries, int rowCount, float* scratch)
    {
        int depth = _config.QkNopeHeadDim, columns = _config.KvLoraRank;
        var lanes = scratch + ((long)depth * columns);
        var rows = stackalloc float*[Lanes.Count];
        kernels.Widen(_kvUp, head * KvHeadWidth, depth, scratch);
        for (int first = 0, count; first < rowCount; first += count)
        {
            count = Math.Min(AbsorbedRows, rowCount - first);
            for (var v = 0; v < count; v += Lanes.Count)
            {
                for (var lane = 0; lane < Lanes.Count; lane++)
                    rows[lane] = queries.Row(first + Math.Min(v + lane, count - 1));
                LaneRows.Interleave(rows, depth, 1, lanes + ((long)v * depth));
            }

            for (var column = 0; column < columns; column += LatentBlocks.StripColumns)
                kernels.Attention.Values(lanes, Lanes.Count * depth, count, scratch + column, columns, depth, null, latentQueries.Row(first) + column, latentQueries.Stride, Math.Min(LatentBlocks.StripColumns, columns - column));
        }
    }

    private struct StoreLoop : IParallelLoop
    {
        public MultiHeadLatentAttention Owner;
        public Pass Pass;
        public AttentionBuffers Buffers;

        public readonly void Run(int start, int end, int worker)
        {
            for (var row = start; row < end; row++)
                Owner.Store(Pass, Buffers, row);
        }
    }

    private struct AbsorbLoop : IParallelLoop
    {
        public MultiHeadLatentAttention Owner;
        public Pass Pass;
        public AttentionBuffers Buffers;
        public int First;
        public int Rows;

        public readonly void Run(int start, int end, int worker)
        {
            for (var head = start; head < end; head++)
                Owner.Absorb(Pass, Buffers, First, Rows, head, Pass.Compute.Scratch(worker));
        }
    }

    /// <summary>W_UV: each head's weighted latents to its values.</summary>
    private struct LiftLoop : IParallelLoop
    {
        public MultiHeadLatentAttention Owner;
        public Pass Pass;
        public AttentionBuffers Buffers;
        public int First;
        public int Rows;

        public readonly void Run(int start, int end, int worker)
        {
            var c = Owner._config;
            var width = AttentionBuffers.Padded(c.KvLoraRank);
            for (var head = start; head < end; head++)
            {
                var weight = Owner._kvUp.Slice((head * Owner.KvHeadWidth) + c.QkNopeHeadDim, c.VHeadDim);
                var x = new RowSet(Buffers.LatentOutputs + ((long)head * width), (long)c.HeadCount * width);
                var y = new RowSet(Buffers.HeadOutputs + ((((long)First * c.HeadCount) + head) * c.VHeadDim), (long)c.HeadCount * c.VHeadDim);
                Pass.Compute.LinearOnThread(weight, 0, c.VHeadDim, x, y, Rows, worker);
            }
        }
    }
}
