using System.Runtime.CompilerServices;

namespace Conclave.Model.Kernels;

/// <summary>Normalizations of one row; sums run in sixteen partial sums as in <see cref="Linear"/>.</summary>
public static unsafe class Norm
{
    /// <summary>RMSNorm: <c>y = x / sqrt(mean(x^2) + epsilon) * weight</c>; <paramref name="y"/> may be <paramref name="x"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rms<TLanes, TVector>(float* x, float* weight, float epsilon, float* y, int count)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TVector squares = default;
        for (var i = 0; i < count; i += Lanes.Count)
        {
            var v = Elementwise.Take<TLanes, TVector>(x + i, count - i);
            squares = TLanes.FusedMultiplyAdd(v, v, squares);
        }

        var inverse = TLanes.Broadcast(1 / MathF.Sqrt((TLanes.Sum(squares) / count) + epsilon));
        for (var i = 0; i < count; i += Lanes.Count)
        {
            var v = TLanes.Multiply(Elementwise.Take<TLanes, TVector>(x + i, count - i), inverse);
            Elementwise.Put<TLanes, TVector>(TLanes.Multiply(v, Elementwise.Take<TLanes, TVector>(weight + i, count - i)), y + i, count - i);
        }
    }

    /// <summary>LayerNorm in place: <c>x = (x - mean) / sqrt(variance + epsilon) * weight + bias</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Layer<TLanes, TVector>(float* x, float* weight, float* bias, float epsilon, int count)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TVector sums = default, squares = default;
        for (var i = 0; i < count; i += Lanes.Count)
            sums = TLanes.Add(sums, Elementwise.Take<TLanes, TVector>(x + i, count - i));
        var mean = TLanes.Broadcast(TLanes.Sum(sums) / count);
        for (var i = 0; i < count; i += Lanes.Count)
            Elementwise.Put<TLanes, TVector>(TLanes.Subtract(Elementwise.Take<TLanes, TVector>(x + i, count - i), mean), x + i, count - i);
        for (var i = 0; i < count; i += Lanes.Count)
        {
            var v = Elementwise.Take<TLanes, TVector>(x + i, count - i);
            squares = TLanes.FusedMultiplyAdd(v, v, squares);
        }

        var inverse = TLanes.Broadcast(1 / MathF.Sqrt((TLanes.Sum(squares) / count) + epsilon));
        for (var i = 0; i < count; i += Lanes.Count)
        {
            var v = TLanes.Multiply(Elementwise.Take<TLanes, TVector>(x + i, count - i), inverse);
            var w = Elementwise.Take<TLanes, TVector>(weight + i, count - i);
            Elementwise.Put<TLanes, TVector>(TLanes.FusedMultiplyAdd(v, w, Elementwise.Take<TLanes, TVector>(bias + i, count - i)), x + i, count - i);
        }
    }
}
