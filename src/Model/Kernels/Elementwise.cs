using System.Runtime.CompilerServices;

namespace Conclave.Model.Kernels;

/// <summary>Functions of one element, from basic IEEE operations alone: no mathematical library whose last bit differs between hosts.</summary>
public static unsafe class Elementwise
{
    /// <summary>
    /// e^x within 2 units in the last place; 0 below -87.33, held at e^88 above. e^0 is exactly 1. x = n ln 2 + r, then the Taylor polynomial of
    /// degree 7 on |r| &lt;= ln 2 / 2 (remainder below 6e-9).
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Exp<TLanes, TVector>(TVector x)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        var lowest = TLanes.Broadcast(-87.33f);
        var highest = TLanes.Broadcast(88f);
        // By comparison, which lets a NaN through: minimum and maximum cost more where NaN has to survive them.
        var held = TLanes.SelectLess(x, lowest, lowest, x);
        held = TLanes.SelectLess(highest, held, highest, held);
        // Adding and taking away 1.5 * 2^23 rounds to the nearest integer.
        var shift = TLanes.Broadcast(12582912f);
        var n = TLanes.Subtract(TLanes.FusedMultiplyAdd(held, TLanes.Broadcast(1.44269504f), shift), shift);
        var r = TLanes.FusedMultiplyAdd(n, TLanes.Broadcast(-0.693145752f), held);
        r = TLanes.FusedMultiplyAdd(n, TLanes.Broadcast(-1.42860677e-6f), r);
        var p = TLanes.Broadcast(1f / 5040);
        p = TLanes.FusedMultiplyAdd(p, r, TLanes.Broadcast(1f / 720));
        p = TLanes.FusedMultiplyAdd(p, r, TLanes.Broadcast(1f / 120));
        p = TLanes.FusedMultiplyAdd(p, r, TLanes.Broadcast(1f / 24));
        p = TLanes.FusedMultiplyAdd(p, r, TLanes.Broadcast(1f / 6));
        p = TLanes.FusedMultiplyAdd(p, r, TLanes.Broadcast(0.5f));
        p = TLanes.FusedMultiplyAdd(p, r, TLanes.Broadcast(1f));
        p = TLanes.FusedMultiplyAdd(p, r, TLanes.Broadcast(1f));
        return TLanes.SelectLess(x, lowest, TLanes.Broadcast(0), TLanes.ScaleByPowerOfTwo(p, n));
    }

    /// <summary><c>x[i] = 1 / (1 + e^-x[i])</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Sigmoid<TLanes, TVector>(float* x, int count)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        for (var i = 0; i < count; i += Lanes.Count)
            Put<TLanes, TVector>(Sigmoid<TLanes, TVector>(Take<TLanes, TVector>(x + i, count - i)), x + i, count - i);
    }

    /// <summary>The SwiGLU gate: <c>gate[i] = gate[i] sigmoid(gate[i]) up[i]</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SiluMultiply<TLanes, TVector>(float* gate, float* up, int count)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        for (var i = 0; i < count; i += Lanes.Count)
        {
            var g = Take<TLanes, TVector>(gate + i, count - i);
            var silu = TLanes.Multiply(g, Sigmoid<TLanes, TVector>(g));
            Put<TLanes, TVector>(TLanes.Multiply(silu, Take<TLanes, TVector>(up + i, count - i)), gate + i, count - i);
        }
    }

    /// <summary><c>y[i] += x[i]</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Add<TLanes, TVector>(float* y, float* x, int count)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        for (var i = 0; i < count; i += Lanes.Count)
            Put<TLanes, TVector>(TLanes.Add(Take<TLanes, TVector>(y + i, count - i), Take<TLanes, TVector>(x + i, count - i)), y + i, count - i);
    }

    /// <summary><c>y[i] *= factor</c>.</summary>
    public static void Scale<TLanes, TVector>(float* y, float factor, int count)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        Scaled<TLanes, TVector>(y, factor, y, count);

    /// <summary><c>y[i] = x[i] factor</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Scaled<TLanes, TVector>(float* x, float factor, float* y, int count)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        var f = TLanes.Broadcast(factor);
        for (var i = 0; i < count; i += Lanes.Count)
            Put<TLanes, TVector>(TLanes.Multiply(Take<TLanes, TVector>(x + i, count - i), f), y + i, count - i);
    }

    /// <summary>
    /// Combines expert outputs: <c>y[i] = y[i] + (sum over j of weights[j] rows[j, i] + shared[i])</c>, one fused multiply-add per expert in ascending j.
    /// </summary>
    /// <param name="y">Residual stream, read and written.</param>
    /// <param name="rows">Expert outputs <c>[rowCount, count]</c>.</param>
    /// <param name="weights">Routing weights.</param>
    /// <param name="rowCount">Experts.</param>
    /// <param name="shared">Output of the shared experts, or null.</param>
    /// <param name="count">Width.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void CombineExperts<TLanes, TVector>(float* y, float* rows, float* weights, int rowCount, float* shared, int count)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        for (var i = 0; i < count; i += Lanes.Count)
        {
            var sum = TLanes.Broadcast(0);
            for (var j = 0; j < rowCount; j++)
                sum = TLanes.FusedMultiplyAdd(Take<TLanes, TVector>(rows + ((long)j * count) + i, count - i), TLanes.Broadcast(weights[j]), sum);
            if (shared != null)
                sum = TLanes.Add(sum, Take<TLanes, TVector>(shared + i, count - i));
            Put<TLanes, TVector>(TLanes.Add(Take<TLanes, TVector>(y + i, count - i), sum), y + i, count - i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static TVector Take<TLanes, TVector>(float* source, int count)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged =>
        count >= Lanes.Count ? TLanes.Load(source) : Lanes.LoadPartial<TLanes, TVector>(source, count);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void Put<TLanes, TVector>(TVector value, float* destination, int count)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        if (count >= Lanes.Count)
            TLanes.Store(value, destination);
        else
            Lanes.StorePartial<TLanes, TVector>(value, destination, count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Sigmoid<TLanes, TVector>(TVector x)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        var one = TLanes.Broadcast(1);
        return TLanes.Divide(one, TLanes.Add(one, Exp<TLanes, TVector>(TLanes.Subtract(TLanes.Broadcast(0), x))));
    }
}
