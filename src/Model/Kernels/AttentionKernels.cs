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
}
