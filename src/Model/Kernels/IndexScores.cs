using System.Runtime.CompilerServices;

namespace Conclave.Model.Kernels;

/// <summary>
/// The lightning indexer's scores of one query against a block of keys: <c>y[t] = sum over h of weights[h] max(sum over i of q[h, i] k[i, t], 0)</c>, times the key's
/// scale. Both sums are fused multiply-adds in ascending order.
/// </summary>
public static unsafe class IndexScores
{
    private const int Keys = KvLayout.BlockTokens;

    /// <summary>Scores of all 64 places of the block; those that hold no key are meaningless.</summary>
    /// <param name="keys">Transposed keys <c>[width, 64]</c>.</param>
    /// <param name="scales">A factor per key, or null.</param>
    /// <param name="queries">Queries <c>[heads, width]</c>.</param>
    /// <param name="weights">Weights of the heads.</param>
    /// <param name="heads">Heads.</param>
    /// <param name="width">Inner dimension.</param>
    /// <param name="y">Receives 64 scores.</param>
    public static void Run<TLanes, TVector>(float* keys, float* scales, float* queries, float* weights, int heads, int width, float* y)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        for (var t = 0; t < Keys; t += Lanes.Count)
            TLanes.Store(TLanes.Broadcast(0), y + t);
        // Half a block at a time, so that it stays in the nearest cache while all heads use it.
        for (var t = 0; t < Keys; t += 2 * Lanes.Count)
        {
            for (var eight = 0; eight + 8 <= heads; eight += 8)
                EightHeads<TLanes, TVector>(keys + t, queries + ((long)eight * width), weights + eight, width, y + t);
        }

        for (var h = heads / 8 * 8; h < heads; h++)
            OneHead<TLanes, TVector>(keys, queries + ((long)h * width), weights[h], width, y);
        if (scales is null)
            return;
        for (var t = 0; t < Keys; t += Lanes.Count)
            TLanes.Store(TLanes.Multiply(TLanes.Load(y + t), TLanes.Load(scales + t)), y + t);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void EightHeads<TLanes, TVector>(float* keys, float* q0, float* weights, int width, float* y)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TVector a0 = default, a1 = default, b0 = default, b1 = default, c0 = default, c1 = default, d0 = default, d1 = default;
        TVector e0 = default, e1 = default, f0 = default, f1 = default, g0 = default, g1 = default, h0 = default, h1 = default;
        float* q1 = q0 + width, q2 = q1 + width, q3 = q2 + width, q4 = q3 + width, q5 = q4 + width, q6 = q5 + width, q7 = q6 + width;
        for (nint i = 0; i < width; i++, keys += Keys)
        {
            TVector k0 = TLanes.Load(keys), k1 = TLanes.Load(keys + 16);
            var factor = TLanes.Broadcast(q0[i]);
            a0 = TLanes.FusedMultiplyAdd(k0, factor, a0);
            a1 = TLanes.FusedMultiplyAdd(k1, factor, a1);
            factor = TLanes.Broadcast(q1[i]);
            b0 = TLanes.FusedMultiplyAdd(k0, factor, b0);
            b1 = TLanes.FusedMultiplyAdd(k1, factor, b1);
            factor = TLanes.Broadcast(q2[i]);
            c0 = TLanes.FusedMultiplyAdd(k0, factor, c0);
            c1 = TLanes.FusedMultiplyAdd(k1, factor, c1);
            factor = TLanes.Broadcast(q3[i]);
            d0 = TLanes.FusedMultiplyAdd(k0, factor, d0);
            d1 = TLanes.FusedMultiplyAdd(k1, factor, d1);
            factor = TLanes.Broadcast(q4[i]);
            e0 = TLanes.FusedMultiplyAdd(k0, factor, e0);
            e1 = TLanes.FusedMultiplyAdd(k1, factor, e1);
            factor = TLanes.Broadcast(q5[i]);
            f0 = TLanes.FusedMultiplyAdd(k0, factor, f0);
            f1 = TLanes.FusedMultiplyAdd(k1, factor, f1);
            factor = TLanes.Broadcast(q6[i]);
            g0 = TLanes.FusedMultiplyAdd(k0, factor, g0);
            g1 = TLanes.FusedMultiplyAdd(k1, factor, g1);
            factor = TLanes.Broadcast(q7[i]);
            h0 = TLanes.FusedMultiplyAdd(k0, factor, h0);
            h1 = TLanes.FusedMultiplyAdd(k1, factor, h1);
        }

        Join<TLanes, TVector>(a0, b0, c0, d0, weights, y);
        Join<TLanes, TVector>(e0, f0, g0, h0, weights + 4, y);
        Join<TLanes, TVector>(a1, b1, c1, d1, weights, y + 16);
        Join<TLanes, TVector>(e1, f1, g1, h1, weights + 4, y + 16);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Join<TLanes, TVector>(TVector a, TVector b, TVector c, TVector d, float* weights, float* y)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        var zero = TLanes.Broadcast(0);
        var sum = TLanes.Load(y);
        sum = TLanes.FusedMultiplyAdd(TLanes.Max(a, zero), TLanes.Broadcast(weights[0]), sum);
        sum = TLanes.FusedMultiplyAdd(TLanes.Max(b, zero), TLanes.Broadcast(weights[1]), sum);
        sum = TLanes.FusedMultiplyAdd(TLanes.Max(c, zero), TLanes.Broadcast(weights[2]), sum);
        sum = TLanes.FusedMultiplyAdd(TLanes.Max(d, zero), TLanes.Broadcast(weights[3]), sum);
        TLanes.Store(sum, y);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void OneHead<TLanes, TVector>(float* keys, float* q, float weight, int width, float* y)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TVector a0 = default, a1 = default, a2 = default, a3 = default, zero = TLanes.Broadcast(0), w = TLanes.Broadcast(weight);
        for (nint i = 0; i < width; i++, keys += Keys)
        {
            var factor = TLanes.Broadcast(q[i]);
            a0 = TLanes.FusedMultiplyAdd(TLanes.Load(keys), factor, a0);
            a1 = TLanes.FusedMultiplyAdd(TLanes.Load(keys + 16), factor, a1);
            a2 = TLanes.FusedMultiplyAdd(TLanes.Load(keys + 32), factor, a2);
            a3 = TLanes.FusedMultiplyAdd(TLanes.Load(keys + 48), factor, a3);
        }

        TLanes.Store(TLanes.FusedMultiplyAdd(TLanes.Max(a0, zero), w, TLanes.Load(y)), y);
        TLanes.Store(TLanes.FusedMultiplyAdd(TLanes.Max(a1, zero), w, TLanes.Load(y + 16)), y + 16);
        TLanes.Store(TLanes.FusedMultiplyAdd(TLanes.Max(a2, zero), w, TLanes.Load(y + 32)), y + 32);
        TLanes.Store(TLanes.FusedMultiplyAdd(TLanes.Max(a3, zero), w, TLanes.Load(y + 48)), y + 48);
    }
}
