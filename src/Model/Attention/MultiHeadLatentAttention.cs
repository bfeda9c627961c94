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
    public static long ScratchFloats(ModelConfig c) => Math.Max((long)c.QkNopeHeadDim * c.KvLoraRank, LatentAttention.ScratchFloats(c));

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
        compute.Linear(_kvDown, x, new RowSet(buffers.Latents, c.LatentWidth), pass.Rows);
        var store = new StoreLoop { Owner = this, Pass = pass, Buffers = buffers };
        compute.Run(ref store, pass.Rows, c.LatentWidth);
        _indexer?.Forward(pass, buffers, query);

        var absorb = new AbsorbLoop { Owner = this, Pass = pass, Buffers = buffers };
        compute.Run(ref absorb, c.HeadCount, (long)pass.Rows * c.QkNopeHeadDim * c.KvLoraRank);
        _attention.Forward(pass, buffers, isSparse: _indexer is not null);
        var lift = new LiftLoop { Owner = this, Pass = pass, Buffers = buffers };
        compute.Run(ref lift, c.HeadCount, (long)pass.Rows * c.VHeadDim * c.KvLoraRank);
        compute.Linear(_output, new RowSet(buffers.HeadOutputs, _output.Columns), new RowSet(pass.BlockOutput, c.HiddenSize), pass.Rows);
    }

    private int QueryHeadWidth => _config.QkNopeHeadDim + _config.QkRopeHeadDim;

    private int KvHeadWidth => _config.QkNopeHeadDim + _config.VHeadDim;

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

    /// <summary>One head's queries of all rows: q_nope W_UK, then the rotated q_pe behind it: what a cached row is multiplied with.</summary>
    private void Absorb(Pass pass, AttentionBuffers buffers, int head, float* weights)
    {
        var c = _config;
        var kernels = pass.Compute.Kernels;
        var pairs = c.QkRopeHeadDim / 2;
        long queryStride = _queryUp.Rows, latentStride = (long)c.HeadCount * AttentionBuffers.Padded(c.LatentWidth);
        var queries = buffers.Queries + ((long)head * QueryHeadWidth);
        var latentQueries = buffers.LatentQueries + ((long)head * AttentionBuffers.Padded(c.LatentWidth));
        for (var row = 0; row < pass.Rows; row++)
        {
            var destination = latentQueries + (row * latentStride);
            NativeMemory.Clear(destination, (nuint)(c.KvLoraRank * sizeof(float)));
            var rotated = destination + c.KvLoraRank;
            NativeMemory.Copy(queries + (row * queryStride) + c.QkNopeHeadDim, rotated, (nuint)(c.QkRopeHeadDim * sizeof(float)));
            RopeTable.RotateInterleaved(rotated, pass.Cosines + ((long)row * pairs), pass.Sines + ((long)row * pairs), pairs);
        }

        if (pass.Rows <= StreamedSum.MaxRows)
        {
            kernels.Attention.StreamedSum(_kvUp, head * KvHeadWidth, c.QkNopeHeadDim, new RowSet(queries, queryStride), new RowSet(latentQueries, latentStride), pass.Rows);
            return;
        }

        kernels.Widen(_kvUp, head * KvHeadWidth, c.QkNopeHeadDim, weights);
        kernels.WeightedSum(new RowSet(queries, queryStride), new RowSet(latentQueries, latentStride), pass.Rows, weights, c.KvLoraRank, c.QkNopeHeadDim, c.KvLoraRank);
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

        public readonly void Run(int start, int end, int worker)
        {
            for (var head = start; head < end; head++)
                Owner.Absorb(Pass, Buffers, head, Pass.Compute.Scratch(worker));
        }
    }

    /// <summary>W_UV: each head's weighted latents to its values.</summary>
    private struct LiftLoop : IParallelLoop
    {
        public MultiHeadLatentAttention Owner;
        public Pass Pass;
        public AttentionBuffers Buffers;

        public readonly void Run(int start, int end, int worker)
        {
            var c = Owner._config;
            var width = AttentionBuffers.Padded(c.KvLoraRank);
            for (var head = start; head < end; head++)
            {
                var weight = Owner._kvUp.Slice((head * Owner.KvHeadWidth) + c.QkNopeHeadDim, c.VHeadDim);
                var x = new RowSet(Buffers.LatentOutputs + ((long)head * width), (long)c.HeadCount * width);
                var y = new RowSet(Buffers.HeadOutputs + ((long)head * c.VHeadDim), (long)c.HeadCount * c.VHeadDim);
                Pass.Compute.LinearOnThread(weight, 0, c.VHeadDim, x, y, Pass.Rows, worker);
            }
        }
    }
}
