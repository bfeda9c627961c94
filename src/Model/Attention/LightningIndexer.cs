using System.Runtime.InteropServices;
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
    public LightningIndexer(Checkpoint checkpoint, int layer, Arena arena)
    {
        var c = _config = checkpoint.Config;
        _layout = KvLayout.For(c);
        _layer = layer;
        _scale = (float)(1 / Math.Sqrt(c.IndexHeadCount) / Math.Sqrt(c.IndexHeadDim));
        var prefix = $"model.layers.{layer}.self_attn.indexer.";
        _query = Weight.Bind(checkpoint, prefix + "wq_b.weight", c.IndexHeadCount * c.IndexHeadDim, c.QLoraRank);
        _key = Weight.Bind(checkpoint, prefix + "wk.weight", c.IndexHeadDim, c.HiddenSize);
        _keyNormWeight = Vectors.Load(checkpoint, prefix + "k_norm.weight", c.IndexHeadDim, arena);
        _keyNormBias = Vectors.Load(checkpoint, prefix + "k_norm.bias", c.IndexHeadDim, arena);
        _headWeights = Weight.Bind(checkpoint, prefix + "weights_proj.weight", c.IndexHeadCount, c.HiddenSize);
    }

    /// <summary>Floats of scratch that each thread needs: a block's scores for every head, and one score for every position.</summary>
    public static long ScratchFloats(ModelConfig c) => c.IndexHeadCount == 0
        ? 0
        : Linear.PanelFloats(c.IndexHeadDim) + ((long)c.IndexHeadCount * KvLayout.PageTokens) + c.MaxPositions;

    /// <summary>Appends the rows' index keys to their pages and chooses the keys of rows that see more than are kept.</summary>
    /// <param name="pass">The pass; <c>pass.Normed</c> is the layer's input.</param>
    /// <param name="buffers">Receives the selection.</param>
    /// <param name="queryLatents">Output of <c>q_a_layernorm</c>.</param>
    public void Forward(Pass pass, AttentionBuffers buffers, RowSet queryLatents)
    {
        var c = _config;
        var x = new RowSet(pass.Normed, c.HiddenSize);
        pass.Compute.Linear(_key, x, new RowSet(buffers.IndexKeys, c.IndexHeadDim), pass.Rows);
        pass.Compute.Linear(_query, queryLatents, new RowSet(buffers.IndexQueries, _query.Rows), pass.Rows);
        pass.Compute.Linear(_headWeights, x, new RowSet(buffers.IndexWeights, c.IndexHeadCount), pass.Rows);
        var store = new StoreLoop { Owner = this, Pass = pass, Buffers = buffers };
        pass.Compute.Run(ref store, pass.Rows, (long)c.IndexHeadCount * c.IndexHeadDim);
        var select = new SelectLoop { Owner = this, Pass = pass, Buffers = buffers };
        pass.Compute.Workers.Run(ref select, pass.Rows, 1);
        if (pass.Probe is not null)
            Report(pass, buffers);
    }

    private void Store(Pass pass, AttentionBuffers buffers, int row)
    {
        var c = _config;
        var kernels = pass.Compute.Kernels;
        var pairs = c.QkRopeHeadDim / 2;
        float* cosines = pass.Cosines + ((long)row * pairs), sines = pass.Sines + ((long)row * pairs);
        var key = buffers.IndexKeys + ((long)row * c.IndexHeadDim);
        kernels.LayerNorm(key, _keyNormWeight, _keyNormBias, LayerNormEpsilon, c.IndexHeadDim);
        RopeTable.RotateHalves(key, cosines, sines, pairs);
        var position = pass.Positions[row];
        var destination = pass.Pages(row).Page(position / KvLayout.PageTokens) + _layout.IndexKeyOffset(_layer) + (position % KvLayout.PageTokens * c.IndexHeadDim);
        NativeMemory.Copy(key, destination, (nuint)(c.IndexHeadDim * sizeof(float)));
        for (var head = 0; head < c.IndexHeadCount; head++)
            RopeTable.RotateHalves(buffers.IndexQueries + ((((long)row * c.IndexHeadCount) + head) * c.IndexHeadDim), cosines, sines, pairs);
        kernels.Scale(buffers.IndexWeights + ((long)row * c.IndexHeadCount), _scale, c.IndexHeadCount);
    }

    private void Select(Pass pass, AttentionBuffers buffers, int row, float* scratch)
    {
        var c = _config;
        var keyCount = pass.Positions[row] + 1;
        if (keyCount <= c.IndexTopK)
            return;
        var kernels = pass.Compute.Kernels;
        var queries = new RowSet(buffers.IndexQueries + ((long)row * c.IndexHeadCount * c.IndexHeadDim), c.IndexHeadDim);
        var weights = buffers.IndexWeights + ((long)row * c.IndexHeadCount);
        var products = scratch;
        var scores = products + ((long)c.IndexHeadCount * KvLayout.PageTokens);
        var panel = scores + c.MaxPositions;
        for (var first = 0; first < keyCount; first += KvLayout.PageTokens)
        {
            var count = Math.Min(KvLayout.PageTokens, keyCount - first);
            var keys = pass.Pages(row).Page(first / KvLayout.PageTokens) + _layout.IndexKeyOffset(_layer);
            kernels.Linear(new Weight((byte*)keys, DType.F32, count, c.IndexHeadDim), 0, count, queries, new RowSet(products, KvLayout.PageTokens), c.IndexHeadCount, panel);
            kernels.ReluCombine(products, KvLayout.PageTokens, weights, c.IndexHeadCount, scores + first, count);
        }

        TopK.Select(scores, keyCount, c.IndexTopK, buffers.Selection + ((long)row * c.IndexTopK));
    }

    private void Report(Pass pass, AttentionBuffers buffers)
    {
        for (var row = 0; row < pass.Rows; row++)
        {
            var keyCount = pass.Positions[row] + 1;
            var selected = buffers.Selected(row, ref keyCount);
            if (selected != null)
                pass.Probe!.KeysSelected(_layer, pass.FirstRow + row, new ReadOnlySpan<int>(selected, keyCount));
        }
    }

    private struct StoreLoop : IParallelLoop
    {
        public LightningIndexer Owner;
        public Pass Pass;
        public AttentionBuffers Buffers;

        public readonly void Run(int start, int end, int worker)
        {
            for (var row = start; row < end; row++)
                Owner.Store(Pass, Buffers, row);
        }
    }

    private struct SelectLoop : IParallelLoop
    {
        public LightningIndexer Owner;
        public Pass Pass;
        public AttentionBuffers Buffers;

        public readonly void Run(int start, int end, int worker)
        {
            for (var row = start; row < end; row++)
                Owner.Select(Pass, Buffers, row, Pass.Compute.Scratch(worker));
        }
    }
}
