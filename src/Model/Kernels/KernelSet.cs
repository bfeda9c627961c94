using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Conclave.Model.Kernels;

/// <summary>Implementations of the kernels; all give the same bits.</summary>
public enum KernelTier
{
    /// <summary>Plain scalar code: the reference, and the last resort.</summary>
    Scalar,

    /// <summary>Pairs of 256-bit vectors.</summary>
    Vector256,

    /// <summary>512-bit vectors.</summary>
    Vector512,
}

/// <summary>The kernels of one tier, picked once; arguments and results are those of the static classes that they name.</summary>
public abstract unsafe class KernelSet
{
    /// <summary>The fastest tier of this processor.</summary>
    public static KernelSet Best { get; } = For(BestTier());

    /// <summary>Which tier this is.</summary>
    public abstract KernelTier Tier { get; }

    /// <summary>The kernels of attention.</summary>
    public abstract AttentionKernels Attention { get; }

    /// <summary>The kernels of <paramref name="tier"/>; any tier runs anywhere, perhaps slowly.</summary>
    public static KernelSet For(KernelTier tier) => tier switch
    {
        KernelTier.Vector512 => new KernelSet<Vector512Lanes, Vector512<float>>(tier),
        KernelTier.Vector256 => new KernelSet<Vector256Lanes, Vector256Pair>(tier),
        _ => new KernelSet<ScalarLanes, FloatArray16>(KernelTier.Scalar),
    };

    /// <inheritdoc cref="Kernels.Linear.Run"/>
    public abstract void Linear(in Weight w, int start, int end, float* inputs, int rowCount, RowSet y, float* scratch, in Weight next = default);

    /// <inheritdoc cref="Kernels.Widen.Run"/>
    public abstract void Widen(in Weight w, int start, int count, float* destination);

    /// <inheritdoc cref="Norm.Rms"/>
    public abstract void RmsNorm(float* x, float* weight, float epsilon, float* y, int count);

    /// <inheritdoc cref="Norm.Layer"/>
    public abstract void LayerNorm(float* x, float* weight, float* bias, float epsilon, int count);

    /// <inheritdoc cref="Elementwise.Sigmoid"/>
    public abstract void Sigmoid(float* x, int count);

    /// <inheritdoc cref="Elementwise.SiluMultiply"/>
    public abstract void SiluMultiply(float* gate, float* up, int count);

    /// <inheritdoc cref="Elementwise.Add"/>
    public abstract void Add(float* y, float* x, int count);

    /// <inheritdoc cref="Elementwise.Scale"/>
    public abstract void Scale(float* y, float factor, int count);

    /// <inheritdoc cref="Elementwise.CombineExperts"/>
    public abstract void CombineExperts(float* y, float* rows, float* weights, int rowCount, float* shared, int count);

    /// <inheritdoc cref="Kernels.Softmax.Run"/>
    public abstract void Softmax(float* x, int count);

    /// <inheritdoc cref="Kernels.Softmax.Block"/>
    public abstract float SoftmaxBlock(float* scores, int count, float scale, ref float maximum, ref float sum);

    private static KernelTier BestTier()
    {
        // Not Vector512.IsHardwareAccelerated: it is false on processors that clock down a little for 512-bit work, where 512 bits win all the same.
        if (Avx512F.IsSupported)
            return KernelTier.Vector512;
        return Fma.IsSupported || AdvSimd.IsSupported ? KernelTier.Vector256 : KernelTier.Scalar;
    }
}

/// <summary>The kernels on one kind of lanes.</summary>
internal sealed unsafe class KernelSet<TLanes, TVector>(KernelTier tier) : KernelSet
    where TLanes : struct, ILanes<TVector>
    where TVector : unmanaged
{
    public override KernelTier Tier => tier;

    public override AttentionKernels Attention { get; } = new AttentionKernels<TLanes, TVector>();

    public override void Linear(in Weight w, int start, int end, float* inputs, int rowCount, RowSet y, float* scratch, in Weight next = default) =>
        Kernels.Linear.Run<TLanes, TVector>(w, start, end, inputs, rowCount, y, scratch, next);

    public override void Widen(in Weight w, int start, int count, float* destination) =>
        Kernels.Widen.Run<TLanes, TVector>(w, start, count, destination);

    public override void RmsNorm(float* x, float* weight, float epsilon, float* y, int count) =>
        Norm.Rms<TLanes, TVector>(x, weight, epsilon, y, count);

    public override void LayerNorm(float* x, float* weight, float* bias, float epsilon, int count) =>
        Norm.Layer<TLanes, TVector>(x, weight, bias, epsilon, count);

    public override void Sigmoid(float* x, int count) => Elementwise.Sigmoid<TLanes, TVector>(x, count);

    public override void SiluMultiply(float* gate, float* up, int count) => Elementwise.SiluMultiply<TLanes, TVector>(gate, up, count);

    public override void Add(float* y, float* x, int count) => Elementwise.Add<TLanes, TVector>(y, x, count);

    public override void Scale(float* y, float factor, int count) => Elementwise.Scale<TLanes, TVector>(y, factor, count);

    public override void CombineExperts(float* y, float* rows, float* weights, int rowCount, float* shared, int count) =>
        Elementwise.CombineExperts<TLanes, TVector>(y, rows, weights, rowCount, shared, count);

    public override void Softmax(float* x, int count) => Kernels.Softmax.Run<TLanes, TVector>(x, count);

    public override float SoftmaxBlock(float* scores, int count, float scale, ref float maximum, ref float sum) =>
        Kernels.Softmax.Block<TLanes, TVector>(scores, count, scale, ref maximum, ref sum);
}
