using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Conclave.Model.Kernels;

/// <summary>
/// The two products of attention over one block of latent rows, for the heads of one query row. All widths are whole vectors. A score adds its products in sixteen partial sums, element i to sum i mod 16,
/// and those in the order of <see cref="Lanes.Sum"/>; a value adds its products in ascending key: the bits depend on the width and the keys alone, not on how many queries share a load.
/// </summary>
public static unsafe class LatentBlocks
{
    private const int Tile = 4;

    /// <summary><c>scores[q, k] = sum over i of queries[q, i] keys[k, i]</c>. Places of <paramref name="scores"/> up to the next multiple of four keys are written too.</summary>
    /// <param name="queries">Query rows, <paramref name="width"/> apart.</param>
    /// <param name="queryCount">Query rows.</param>
    /// <param name="keys">Key rows, <paramref name="keyStride"/> floats apart.</param>
    /// <param name="keyStride">Floats from one key row to the next.</param>
    /// <param name="keyCount">Key rows.</param>
    /// <param name="width">Inner dimension, a multiple of 16.</param>
    /// <param name="scores">Score rows, 64 apart.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Scores<TLanes, TVector>(float* queries, int queryCount, float* keys, long keyStride, int keyCount, int width, float* scores)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        // Keys in the outer loop: they may come from memory, the queries stay in the cache.
        for (var k = 0; k < keyCount; k += Tile)
        {
            var lastKey = Math.Min(Tile, keyCount - k) - 1;
            float* k0 = keys + (k * keyStride), k1 = k0 + (Math.Min(1, lastKey) * keyStride), k2 = k0 + (Math.Min(2, lastKey) * keyStride), k3 = k0 + (lastKey * keyStride);
            for (var q = 0; q < queryCount; q += Tile)
            {
                var last = Math.Min(Tile, queryCount - q) - 1;
                float* x0 = queries + ((long)q * width), x1 = x0 + ((long)Math.Min(1, last) * width), x2 = x0 + ((long)Math.Min(2, last) * width), x3 = x0 + ((long)last * width);
                var y0 = scores + ((long)q * KvLayout.BlockTokens) + k;
                Dots<TLanes, TVector>(x0, x1, x2, x3, k0, k1, k2, k3, width, y0, y0 + (Math.Min(1, last) * KvLayout.BlockTokens), y0 + (Math.Min(2, last) * KvLayout.BlockTokens), y0 + (last * KvLayout.BlockTokens));
            }
        }
    }

    /// <summary><c>outputs[q, c] += sum over k of weights[q, k] keys[k, c]</c>.</summary>
    /// <param name="weights">Weight rows, 64 apart.</param>
    /// <param name="queryCount">Query rows.</param>
    /// <param name="keys">Key rows, <paramref name="keyStride"/> floats apart.</param>
    /// <param name="keyStride">Floats from one key row to the next.</param>
    /// <param name="keyCount">Key rows.</param>
    /// <param name="outputs">Output rows, <paramref name="outputStride"/> floats apart.</param>
    /// <param name="outputStride">Floats from one output row to the next.</param>
    /// <param name="columns">Columns, a multiple of 16.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Values<TLanes, TVector>(float* weights, int queryCount, float* keys, long keyStride, int keyCount, float* outputs, long outputStride, int columns)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        for (var q = 0; q < queryCount; q += Tile)
        {
            var last = Math.Min(Tile, queryCount - q) - 1;
            float* a0 = weights + ((long)q * KvLayout.BlockTokens), a1 = a0 + (Math.Min(1, last) * KvLayout.BlockTokens), a2 = a0 + (Math.Min(2, last) * KvLayout.BlockTokens), a3 = a0 + (last * KvLayout.BlockTokens);
            float* y0 = outputs + (q * outputStride), y1 = y0 + (Math.Min(1, last) * outputStride), y2 = y0 + (Math.Min(2, last) * outputStride), y3 = y0 + (last * outputStride);
            var c = 0;
            for (; c + (Tile * Lanes.Count) <= columns; c += Tile * Lanes.Count)
                WideStrip<TLanes, TVector>(a0, a1, a2, a3, keys + c, keyStride, keyCount, y0 + c, y1 + c, y2 + c, y3 + c);
            for (; c < columns; c += Lanes.Count)
                NarrowStrip<TLanes, TVector>(a0, a1, a2, a3, keys + c, keyStride, keyCount, y0 + c, y1 + c, y2 + c, y3 + c);
        }
    }

    /// <summary>Four queries by four keys; a row given twice is stored twice with the same value.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Dots<TLanes, TVector>(float* x0, float* x1, float* x2, float* x3, float* k0, float* k1, float* k2, float* k3, int width, float* y0, float* y1, float* y2, float* y3)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TVector s00 = default, s01 = default, s02 = default, s03 = default, s10 = default, s11 = default, s12 = default, s13 = default;
        TVector s20 = default, s21 = default, s22 = default, s23 = default, s30 = default, s31 = default, s32 = default, s33 = default;
        for (nint i = 0; i < width; i += Lanes.Count)
        {
            TVector a = TLanes.Load(k0 + i), b = TLanes.Load(k1 + i), c = TLanes.Load(k2 + i), d = TLanes.Load(k3 + i);
            var x = TLanes.Load(x0 + i);
            s00 = TLanes.FusedMultiplyAdd(x, a, s00);
            s01 = TLanes.FusedMultiplyAdd(x, b, s01);
            s02 = TLanes.FusedMultiplyAdd(x, c, s02);
            s03 = TLanes.FusedMultiplyAdd(x, d, s03);
            x = TLanes.Load(x1 + i);
            s10 = TLanes.FusedMultiplyAdd(x, a, s10);
            s11 = TLanes.FusedMultiplyAdd(x, b, s11);
            s12 = TLanes.FusedMultiplyAdd(x, c, s12);
            s13 = TLanes.FusedMultiplyAdd(x, d, s13);
            x = TLanes.Load(x2 + i);
            s20 = TLanes.FusedMultiplyAdd(x, a, s20);
            s21 = TLanes.FusedMultiplyAdd(x, b, s21);
            s22 = TLanes.FusedMultiplyAdd(x, c, s22);
            s23 = TLanes.FusedMultiplyAdd(x, d, s23);
            x = TLanes.Load(x3 + i);
            s30 = TLanes.FusedMultiplyAdd(x, a, s30);
            s31 = TLanes.FusedMultiplyAdd(x, b, s31);
            s32 = TLanes.FusedMultiplyAdd(x, c, s32);
            s33 = TLanes.FusedMultiplyAdd(x, d, s33);
        }

        TLanes.Sum(s00, s01, s02, s03).Store(y0);
        TLanes.Sum(s10, s11, s12, s13).Store(y1);
        TLanes.Sum(s20, s21, s22, s23).Store(y2);
        TLanes.Sum(s30, s31, s32, s33).Store(y3);
    }

    /// <summary>Four queries by four vectors of columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void WideStrip<TLanes, TVector>(float* a0, float* a1, float* a2, float* a3, float* keys, long keyStride, int keyCount, float* y0, float* y1, float* y2, float* y3)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TVector s00 = TLanes.Load(y0), s01 = TLanes.Load(y0 + 16), s02 = TLanes.Load(y0 + 32), s03 = TLanes.Load(y0 + 48);
        TVector s10 = TLanes.Load(y1), s11 = TLanes.Load(y1 + 16), s12 = TLanes.Load(y1 + 32), s13 = TLanes.Load(y1 + 48);
        TVector s20 = TLanes.Load(y2), s21 = TLanes.Load(y2 + 16), s22 = TLanes.Load(y2 + 32), s23 = TLanes.Load(y2 + 48);
        TVector s30 = TLanes.Load(y3), s31 = TLanes.Load(y3 + 16), s32 = TLanes.Load(y3 + 32), s33 = TLanes.Load(y3 + 48);
        for (nint k = 0; k < keyCount; k++, keys += keyStride)
        {
            TVector a = TLanes.Load(keys), b = TLanes.Load(keys + 16), c = TLanes.Load(keys + 32), d = TLanes.Load(keys + 48);
            var weight = TLanes.Broadcast(a0[k]);
            s00 = TLanes.FusedMultiplyAdd(a, weight, s00);
            s01 = TLanes.FusedMultiplyAdd(b, weight, s01);
            s02 = TLanes.FusedMultiplyAdd(c, weight, s02);
            s03 = TLanes.FusedMultiplyAdd(d, weight, s03);
            weight = TLanes.Broadcast(a1[k]);
            s10 = TLanes.FusedMultiplyAdd(a, weight, s10);
            s11 = TLanes.FusedMultiplyAdd(b, weight, s11);
            s12 = TLanes.FusedMultiplyAdd(c, weight, s12);
            s13 = TLanes.FusedMultiplyAdd(d, weight, s13);
            weight = TLanes.Broadcast(a2[k]);
            s20 = TLanes.FusedMultiplyAdd(a, weight, s20);
            s21 = TLanes.FusedMultiplyAdd(b, weight, s21);
            s22 = TLanes.FusedMultiplyAdd(c, weight, s22);
            s23 = TLanes.FusedMultiplyAdd(d, weight, s23);
            weight = TLanes.Broadcast(a3[k]);
            s30 = TLanes.FusedMultiplyAdd(a, weight, s30);
            s31 = TLanes.FusedMultiplyAdd(b, weight, s31);
            s32 = TLanes.FusedMultiplyAdd(c, weight, s32);
            s33 = TLanes.FusedMultiplyAdd(d, weight, s33);
        }

        StoreFour<TLanes, TVector>(s00, s01, s02, s03, y0);
        StoreFour<TLanes, TVector>(s10, s11, s12, s13, y1);
        StoreFour<TLanes, TVector>(s20, s21, s22, s23, y2);
        StoreFour<TLanes, TVector>(s30, s31, s32, s33, y3);
    }

    /// <summary>Four queries by one vector of columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void NarrowStrip<TLanes, TVector>(float* a0, float* a1, float* a2, float* a3, float* keys, long keyStride, int keyCount, float* y0, float* y1, float* y2, float* y3)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TVector s0 = TLanes.Load(y0), s1 = TLanes.Load(y1), s2 = TLanes.Load(y2), s3 = TLanes.Load(y3);
        for (nint k = 0; k < keyCount; k++, keys += keyStride)
        {
            var key = TLanes.Load(keys);
            s0 = TLanes.FusedMultiplyAdd(key, TLanes.Broadcast(a0[k]), s0);
            s1 = TLanes.FusedMultiplyAdd(key, TLanes.Broadcast(a1[k]), s1);
            s2 = TLanes.FusedMultiplyAdd(key, TLanes.Broadcast(a2[k]), s2);
            s3 = TLanes.FusedMultiplyAdd(key, TLanes.Broadcast(a3[k]), s3);
        }

        TLanes.Store(s0, y0);
        TLanes.Store(s1, y1);
        TLanes.Store(s2, y2);
        TLanes.Store(s3, y3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreFour<TLanes, TVector>(TVector a, TVector b, TVector c, TVector d, float* y)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TLanes.Store(a, y);
        TLanes.Store(b, y + 16);
        TLanes.Store(c, y + 32);
        TLanes.Store(d, y + 48);
    }
}
