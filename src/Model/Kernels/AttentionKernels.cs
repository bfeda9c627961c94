namespace Conclave.Model.Kernels;

/// <summary>The kernels of attention in one tier; arguments and results are those of the static classes that they name.</summary>
public abstract unsafe class AttentionKernels
{
    /// <inheritdoc cref="KvRows.WidenLatent"/>
    public abstract void WidenLatent(KvLayout layout, byte* row, float* destination);

    /// <inheritdoc cref="KvRows.WidenIndexBlock"/>
    public abstract float* WidenIndexBlock(KvLayout layout, byte* block, float* scratch, out float* keys);

    /// <inheritdoc cref="Kernels.IndexScores.Run"/>
    public abstract void IndexScores(float* keys, float* scales, float* queries, float* weights, int heads, int width, float* y);

    /// <inheritdoc cref="LatentBlocks.Scores"/>
    public abstract void Scores(float* queries, int vectors, float* keys, long keyStride, int keyCount, int width, float* scores);

    /// <inheritdoc cref="LatentBlocks.Values"/>
    public abstract void Values(float* weights, long weightStride, int queryCount, float* rows, long rowStride, int rowCount, float* factors, float* outputs, long outputStride, int columns);

    /// <inheritdoc cref="Softmax.LaneBlock"/>
    public abstract void SoftmaxLanes(float* scores, int count, float* limits, float* maxima, float* sums, float* factors);

    /// <inheritdoc cref="Elementwise.Scaled"/>
    public abstract void Scaled(float* x, float factor, float* y, int count);

    /// <inheritdoc cref="Softmax.Merge"/>
    public abstract void Merge(float* y, ref float yMaximum, ref float ySum, float* x, float xMaximum, float xSum, int count);

    /// <inheritdoc cref="Kernels.StreamedSum.Run"/>
    public abstract void StreamedSum(in Weight w, int start, int depth, RowSet a, RowSet y, int rowCount);
}

/// <summary>The kernels on one kind of lanes.</summary>
internal sealed unsafe class AttentionKernels<TLanes, TVector> : AttentionKernels
    where TLanes : struct, ILanes<TVector>
    where TVector : unmanaged
{
    public override void WidenLatent(KvLayout layout, byte* row, float* destination) => KvRows.WidenLatent<TLanes, TVector>(layout, row, destination);

    public override float* WidenIndexBlock(KvLayout layout, byte* block, float* scratch, out float* keys) =>
        KvRows.WidenIndexBlock<TLanes, TVector>(layout, block, scratch, out keys);

    public override void IndexScores(float* keys, float* scales, float* queries, float* weights, int heads, int width, float* y) =>
        Kernels.IndexScores.Run<TLanes, TVector>(keys, scales, queries, weights, heads, width, y);

    public override void Scores(float* queries, int vectors, float* keys, long keyStride, int keyCount, int width, float* scores) =>
        LatentBlocks.Scores<TLanes, TVector>(queries, vectors, keys, keyStride, keyCount, width, scores);

    public override void Values(float* weights, long weightStride, int queryCount, float* rows, long rowStride, int rowCount, float* factors, float* outputs, long outputStride, int columns) =>
        LatentBlocks.Values<TLanes, TVector>(weights, weightStride, queryCount, rows, rowStride, rowCount, factors, outputs, outputStride, columns);

    public override void SoftmaxLanes(float* scores, int count, float* limits, float* maxima, float* sums, float* factors) =>
        Softmax.LaneBlock<TLanes, TVector>(scores, count, limits, maxima, sums, factors);

    public override void Scaled(float* x, float factor, float* y, int count) => Elementwise.Scaled<TLanes, TVector>(x, factor, y, count);

    public override void Merge(float* y, ref float yMaximum, ref float ySum, float* x, float xMaximum, float xSum, int count) =>
        Softmax.Merge<TLanes, TVector>(y, ref yMaximum, ref ySum, x, xMaximum, xSum, count);

    public override void StreamedSum(in Weight w, int start, int depth, RowSet a, RowSet y, int rowCount) =>
        Kernels.StreamedSum.Run<TLanes, TVector>(w, start, depth, a, y, rowCount);
}
