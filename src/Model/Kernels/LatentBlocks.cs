using System.Runtime.CompilerServices;

namespace Conclave.Model.Kernels;

/// <summary>
/// The two products of attention over one block of rows that all queries share. Queries lie in the lanes of vectors (<see cref="LaneRows"/>), so that no sum crosses lanes: a score adds its products in
/// ascending column, a value in ascending key, by one fused multiply-add each. The bits depend on the width and the keys alone, not on which queries share a load.
/// </summary>
public static unsafe class LatentBlocks
{
    /// <summary>Columns that are worth giving to <see cref="Values"/> at a time, so that those of a block of rows stay in the nearest cache while all queries use them.</summary>
    public const int StripColumns = 3 * Lanes.Count;

    // Twelve keys by two vectors of queries fill 24 of 32 registers; four keys by one vector, as two halves, fill 8 of 16. Likewise eight queries by three vectors of columns, and four by one.
    private const int ManyKeys = 12;
    private const int FewKeys = 4;
    private const int ManyQueries = 8;
    private const int FewQueries = 4;
    private const int ScoreStride = KvLayout.BlockTokens * Lanes.Count;

    /// <summary><c>scores[v, k, lane] = sum over i of queries[v, i, lane] keys[k, i]</c>. Places of <paramref name="scores"/> up to the next multiple of four keys are written too.</summary>
    /// <param name="queries">Vectors of queries <c>[vectors, width, 16]</c>.</param>
    /// <param name="vectors">Vectors of queries.</param>
    /// <param name="keys">Key rows, <paramref name="keyStride"/> floats apart.</param>
    /// <param name="keyStride">Floats from one key row to the next.</param>
    /// <param name="keyCount">Key rows, 1 to 64.</param>
    /// <param name="width">Inner dimension, even.</param>
    /// <param name="scores">Receives <c>[vectors, 64, 16]</c>.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Scores<TLanes, TVector>(float* queries, int vectors, float* keys, long keyStride, int keyCount, int width, float* scores)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        long stride = (long)width * Lanes.Count, key = keyStride * ManyKeys;
        var k = 0;
        for (; typeof(TLanes) == typeof(Vector512Lanes) && k + ManyKeys <= keyCount; k += ManyKeys, keys += key, scores += ManyKeys * Lanes.Count)
        {
            var v = 0;
            for (; v + 2 <= vectors; v += 2)
                TwelveByTwo<TLanes, TVector>(queries + (v * stride), queries + ((v + 1) * stride), keys, (nint)keyStride, width, scores + (v * ScoreStride));
            if (v < vectors)
                TwelveByOne<TLanes, TVector>(queries + (v * stride), keys, (nint)keyStride, width, scores + (v * ScoreStride));
        }

        for (; k < keyCount; k += FewKeys, keys += FewKeys * keyStride, scores += FewKeys * Lanes.Count)
        {
            for (var v = 0; v < vectors; v++)
                FourByOne<TLanes, TVector>(queries + (v * stride), keys, (nint)keyStride, keyCount - k, width, scores + (v * ScoreStride));
        }
    }

    /// <summary><c>outputs[q, c] = outputs[q, c] factors[q] + sum over k of weights[q, k] rows[k, c]</c>.</summary>
    /// <param name="weights">Weights: those of query q and row k at <c>[q / 16, k, q % 16]</c>, as <see cref="Scores"/> leaves them. Behind the last query those of the last query stand again, up to a multiple of eight.</param>
    /// <param name="weightStride">Floats from the weights of sixteen queries to those of the next sixteen.</param>
    /// <param name="queryCount">Queries.</param>
    /// <param name="rows">Rows, <paramref name="rowStride"/> floats apart.</param>
    /// <param name="rowStride">Floats from one row to the next.</param>
    /// <param name="rowCount">Rows.</param>
    /// <param name="factors">What the outputs are multiplied with before (filled up as the weights are); null: they begin at zero.</param>
    /// <param name="outputs">Output rows, <paramref name="outputStride"/> floats apart.</param>
    /// <param name="outputStride">Floats from one output row to the next.</param>
    /// <param name="columns">Columns, a multiple of 16.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Values<TLanes, TVector>(float* weights, long weightStride, int queryCount, float* rows, long rowStride, int rowCount, float* factors, float* outputs, long outputStride, int columns)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        var many = typeof(TLanes) == typeof(Vector512Lanes);
        for (var q = 0; q < queryCount; q += many ? ManyQueries : FewQueries)
        {
            var a = weights + (q / Lanes.Count * weightStride) + (q % Lanes.Count);
            var f = factors == null ? null : factors + q;
            var y = outputs + (q * outputStride);
            nint last = queryCount - q - 1;
            var c = 0;
            for (; many && c + StripColumns <= columns; c += StripColumns)
                EightByThree<TLanes, TVector>(a, rows + c, (nint)rowStride, rowCount, f, y + c, (nint)outputStride, last);
            for (; c < columns; c += Lanes.Count)
            {
                if (many)
                    EightByOne<TLanes, TVector>(a, rows + c, (nint)rowStride, rowCount, f, y + c, (nint)outputStride, last);
                else
                    FourByOne<TLanes, TVector>(a, rows + c, (nint)rowStride, rowCount, f, y + c, (nint)outputStride, last);
            }
        }
    }

    /// <summary>Twelve keys by two vectors of queries.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TwelveByTwo<TLanes, TVector>(float* q0, float* q1, float* keys, nint stride, nint width, float* y)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TVector a0 = default, a1 = default, a2 = default, a3 = default, a4 = default, a5 = default, a6 = default, a7 = default, a8 = default, a9 = default, a10 = default, a11 = default;
        TVector b0 = default, b1 = default, b2 = default, b3 = default, b4 = default, b5 = default, b6 = default, b7 = default, b8 = default, b9 = default, b10 = default, b11 = default;
        float* k0 = keys, k3 = k0 + (3 * stride), k6 = k0 + (6 * stride), k9 = k0 + (9 * stride);
        for (var end = k0 + width; k0 < end; k0 += 2, k3 += 2, k6 += 2, k9 += 2, q0 += 2 * Lanes.Count, q1 += 2 * Lanes.Count)
        {
            TVector x = TLanes.Load(q0), z = TLanes.Load(q1);
            Three<TLanes, TVector>(k0, stride, x, z, ref a0, ref a1, ref a2, ref b0, ref b1, ref b2);
            Three<TLanes, TVector>(k3, stride, x, z, ref a3, ref a4, ref a5, ref b3, ref b4, ref b5);
            Three<TLanes, TVector>(k6, stride, x, z, ref a6, ref a7, ref a8, ref b6, ref b7, ref b8);
            Three<TLanes, TVector>(k9, stride, x, z, ref a9, ref a10, ref a11, ref b9, ref b10, ref b11);
            x = TLanes.Load(q0 + Lanes.Count);
            z = TLanes.Load(q1 + Lanes.Count);
            Three<TLanes, TVector>(k0 + 1, stride, x, z, ref a0, ref a1, ref a2, ref b0, ref b1, ref b2);
            Three<TLanes, TVector>(k3 + 1, stride, x, z, ref a3, ref a4, ref a5, ref b3, ref b4, ref b5);
            Three<TLanes, TVector>(k6 + 1, stride, x, z, ref a6, ref a7, ref a8, ref b6, ref b7, ref b8);
            Three<TLanes, TVector>(k9 + 1, stride, x, z, ref a9, ref a10, ref a11, ref b9, ref b10, ref b11);
        }

        StoreFour<TLanes, TVector>(a0, a1, a2, a3, y);
        StoreFour<TLanes, TVector>(a4, a5, a6, a7, y + (4 * Lanes.Count));
        StoreFour<TLanes, TVector>(a8, a9, a10, a11, y + (8 * Lanes.Count));
        y += ScoreStride;
        StoreFour<TLanes, TVector>(b0, b1, b2, b3, y);
        StoreFour<TLanes, TVector>(b4, b5, b6, b7, y + (4 * Lanes.Count));
        StoreFour<TLanes, TVector>(b8, b9, b10, b11, y + (8 * Lanes.Count));
    }

    /// <summary>Twelve keys by one vector of queries.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TwelveByOne<TLanes, TVector>(float* q, float* keys, nint stride, nint width, float* y)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TVector a0 = default, a1 = default, a2 = default, a3 = default, a4 = default, a5 = default, a6 = default, a7 = default, a8 = default, a9 = default, a10 = default, a11 = default;
        float* k0 = keys, k3 = k0 + (3 * stride), k6 = k0 + (6 * stride), k9 = k0 + (9 * stride);
        for (var end = k0 + width; k0 < end; k0 += 2, k3 += 2, k6 += 2, k9 += 2, q += 2 * Lanes.Count)
        {
            var x = TLanes.Load(q);
            Three<TLanes, TVector>(k0, stride, x, ref a0, ref a1, ref a2);
            Three<TLanes, TVector>(k3, stride, x, ref a3, ref a4, ref a5);
            Three<TLanes, TVector>(k6, stride, x, ref a6, ref a7, ref a8);
            Three<TLanes, TVector>(k9, stride, x, ref a9, ref a10, ref a11);
            x = TLanes.Load(q + Lanes.Count);
            Three<TLanes, TVector>(k0 + 1, stride, x, ref a0, ref a1, ref a2);
            Three<TLanes, TVector>(k3 + 1, stride, x, ref a3, ref a4, ref a5);
            Three<TLanes, TVector>(k6 + 1, stride, x, ref a6, ref a7, ref a8);
            Three<TLanes, TVector>(k9 + 1, stride, x, ref a9, ref a10, ref a11);
        }

        StoreFour<TLanes, TVector>(a0, a1, a2, a3, y);
        StoreFour<TLanes, TVector>(a4, a5, a6, a7, y + (4 * Lanes.Count));
        StoreFour<TLanes, TVector>(a8, a9, a10, a11, y + (8 * Lanes.Count));
    }

    /// <summary>Four keys, or as many as there are, by one vector of queries; a key given twice is stored twice with the same score.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourByOne<TLanes, TVector>(float* q, float* keys, nint stride, int keyCount, nint width, float* y)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TVector a0 = default, a1 = default, a2 = default, a3 = default;
        var last = Math.Min(FewKeys, keyCount) - 1;
        float* k1 = keys + (Math.Min(1, last) * stride), k2 = keys + (Math.Min(2, last) * stride), k3 = keys + (last * stride);
        for (nint i = 0; i < width; i++, q += Lanes.Count)
        {
            var x = TLanes.Load(q);
            a0 = TLanes.FusedMultiplyAdd(x, TLanes.Broadcast(keys[i]), a0);
            a1 = TLanes.FusedMultiplyAdd(x, TLanes.Broadcast(k1[i]), a1);
            a2 = TLanes.FusedMultiplyAdd(x, TLanes.Broadcast(k2[i]), a2);
            a3 = TLanes.FusedMultiplyAdd(x, TLanes.Broadcast(k3[i]), a3);
        }

        StoreFour<TLanes, TVector>(a0, a1, a2, a3, y);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Three<TLanes, TVector>(float* key, nint stride, TVector x, TVector z, ref TVector a0, ref TVector a1, ref TVector a2, ref TVector b0, ref TVector b1, ref TVector b2)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        var k = TLanes.Broadcast(*key);
        a0 = TLanes.FusedMultiplyAdd(x, k, a0);
        b0 = TLanes.FusedMultiplyAdd(z, k, b0);
        k = TLanes.Broadcast(*(key + stride));
        a1 = TLanes.FusedMultiplyAdd(x, k, a1);
        b1 = TLanes.FusedMultiplyAdd(z, k, b1);
        k = TLanes.Broadcast(*(key + (2 * stride)));
        a2 = TLanes.FusedMultiplyAdd(x, k, a2);
        b2 = TLanes.FusedMultiplyAdd(z, k, b2);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Three<TLanes, TVector>(float* key, nint stride, TVector x, ref TVector a0, ref TVector a1, ref TVector a2)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        a0 = TLanes.FusedMultiplyAdd(x, TLanes.Broadcast(*key), a0);
        a1 = TLanes.FusedMultiplyAdd(x, TLanes.Broadcast(*(key + stride)), a1);
        a2 = TLanes.FusedMultiplyAdd(x, TLanes.Broadcast(*(key + (2 * stride))), a2);
    }

    /// <summary>Eight queries by three vectors of columns; <paramref name="last"/>: the last query that there is, whose place is written for those behind it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void EightByThree<TLanes, TVector>(float* weights, float* rows, nint stride, nint rowCount, float* factors, float* outputs, nint outputStride, nint last)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        float* y0 = outputs, y1 = outputs + (Math.Min(1, last) * outputStride), y2 = outputs + (Math.Min(2, last) * outputStride), y3 = outputs + (Math.Min(3, last) * outputStride);
        float* y4 = outputs + (Math.Min(4, last) * outputStride), y5 = outputs + (Math.Min(5, last) * outputStride), y6 = outputs + (Math.Min(6, last) * outputStride), y7 = outputs + (Math.Min(7, last) * outputStride);
        TVector a0 = default, b0 = default, c0 = default;
        TVector a1 = default, b1 = default, c1 = default;
        TVector a2 = default, b2 = default, c2 = default;
        TVector a3 = default, b3 = default, c3 = default;
        TVector a4 = default, b4 = default, c4 = default;
        TVector a5 = default, b5 = default, c5 = default;
        TVector a6 = default, b6 = default, c6 = default;
        TVector a7 = default, b7 = default, c7 = default;
        if (factors != null)
        {
            Begin<TLanes, TVector>(y0, factors[0], ref a0, ref b0, ref c0);
            Begin<TLanes, TVector>(y1, factors[1], ref a1, ref b1, ref c1);
            Begin<TLanes, TVector>(y2, factors[2], ref a2, ref b2, ref c2);
            Begin<TLanes, TVector>(y3, factors[3], ref a3, ref b3, ref c3);
            Begin<TLanes, TVector>(y4, factors[4], ref a4, ref b4, ref c4);
            Begin<TLanes, TVector>(y5, factors[5], ref a5, ref b5, ref c5);
            Begin<TLanes, TVector>(y6, factors[6], ref a6, ref b6, ref c6);
            Begin<TLanes, TVector>(y7, factors[7], ref a7, ref b7, ref c7);
        }

        for (nint k = 0; k < rowCount; k++, rows += stride, weights += Lanes.Count)
        {
            TVector x = TLanes.Load(rows), y = TLanes.Load(rows + Lanes.Count), z = TLanes.Load(rows + (2 * Lanes.Count));
            MultiplyAdd<TLanes, TVector>(x, y, z, weights[0], ref a0, ref b0, ref c0);
            MultiplyAdd<TLanes, TVector>(x, y, z, weights[1], ref a1, ref b1, ref c1);
            MultiplyAdd<TLanes, TVector>(x, y, z, weights[2], ref a2, ref b2, ref c2);
            MultiplyAdd<TLanes, TVector>(x, y, z, weights[3], ref a3, ref b3, ref c3);
            MultiplyAdd<TLanes, TVector>(x, y, z, weights[4], ref a4, ref b4, ref c4);
            MultiplyAdd<TLanes, TVector>(x, y, z, weights[5], ref a5, ref b5, ref c5);
            MultiplyAdd<TLanes, TVector>(x, y, z, weights[6], ref a6, ref b6, ref c6);
            MultiplyAdd<TLanes, TVector>(x, y, z, weights[7], ref a7, ref b7, ref c7);
        }

        StoreThree<TLanes, TVector>(a0, b0, c0, y0);
        StoreThree<TLanes, TVector>(a1, b1, c1, y1);
        StoreThree<TLanes, TVector>(a2, b2, c2, y2);
        StoreThree<TLanes, TVector>(a3, b3, c3, y3);
        StoreThree<TLanes, TVector>(a4, b4, c4, y4);
        StoreThree<TLanes, TVector>(a5, b5, c5, y5);
        StoreThree<TLanes, TVector>(a6, b6, c6, y6);
        StoreThree<TLanes, TVector>(a7, b7, c7, y7);
    }

    /// <summary>Eight queries by one vector of columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void EightByOne<TLanes, TVector>(float* weights, float* rows, nint stride, nint rowCount, float* factors, float* outputs, nint outputStride, nint last)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TVector a0 = default, a1 = default, a2 = default, a3 = default, a4 = default, a5 = default, a6 = default, a7 = default;
        if (factors != null)
        {
            a0 = TLanes.Multiply(TLanes.Load(outputs + (Math.Min(0, last) * outputStride)), TLanes.Broadcast(factors[0]));
            a1 = TLanes.Multiply(TLanes.Load(outputs + (Math.Min(1, last) * outputStride)), TLanes.Broadcast(factors[1]));
            a2 = TLanes.Multiply(TLanes.Load(outputs + (Math.Min(2, last) * outputStride)), TLanes.Broadcast(factors[2]));
            a3 = TLanes.Multiply(TLanes.Load(outputs + (Math.Min(3, last) * outputStride)), TLanes.Broadcast(factors[3]));
            a4 = TLanes.Multiply(TLanes.Load(outputs + (Math.Min(4, last) * outputStride)), TLanes.Broadcast(factors[4]));
            a5 = TLanes.Multiply(TLanes.Load(outputs + (Math.Min(5, last) * outputStride)), TLanes.Broadcast(factors[5]));
            a6 = TLanes.Multiply(TLanes.Load(outputs + (Math.Min(6, last) * outputStride)), TLanes.Broadcast(factors[6]));
            a7 = TLanes.Multiply(TLanes.Load(outputs + (Math.Min(7, last) * outputStride)), TLanes.Broadcast(factors[7]));
        }

        for (nint k = 0; k < rowCount; k++, rows += stride, weights += Lanes.Count)
        {
            var x = TLanes.Load(rows);
            a0 = TLanes.FusedMultiplyAdd(x, TLanes.Broadcast(weights[0]), a0);
            a1 = TLanes.FusedMultiplyAdd(x, TLanes.Broadcast(weights[1]), a1);
            a2 = TLanes.FusedMultiplyAdd(x, TLanes.Broadcast(weights[2]), a2);
            a3 = TLanes.FusedMultiplyAdd(x, TLanes.Broadcast(weights[3]), a3);
            a4 = TLanes.FusedMultiplyAdd(x, TLanes.Broadcast(weights[4]), a4);
            a5 = TLanes.FusedMultiplyAdd(x, TLanes.Broadcast(weights[5]), a5);
            a6 = TLanes.FusedMultiplyAdd(x, TLanes.Broadcast(weights[6]), a6);
            a7 = TLanes.FusedMultiplyAdd(x, TLanes.Broadcast(weights[7]), a7);
        }

        TLanes.Store(a0, outputs + (Math.Min(0, last) * outputStride));
        TLanes.Store(a1, outputs + (Math.Min(1, last) * outputStride));
        TLanes.Store(a2, outputs + (Math.Min(2, last) * outputStride));
        TLanes.Store(a3, outputs + (Math.Min(3, last) * outputStride));
        TLanes.Store(a4, outputs + (Math.Min(4, last) * outputStride));
        TLanes.Store(a5, outputs + (Math.Min(5, last) * outputStride));
        TLanes.Store(a6, outputs + (Math.Min(6, last) * outputStride));
        TLanes.Store(a7, outputs + (Math.Min(7, last) * outputStride));
    }

    /// <summary>Four queries by one vector of columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourByOne<TLanes, TVector>(float* weights, float* rows, nint stride, nint rowCount, float* factors, float* outputs, nint outputStride, nint last)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TVector a0 = default, a1 = default, a2 = default, a3 = default;
        if (factors != null)
        {
            a0 = TLanes.Multiply(TLanes.Load(outputs + (Math.Min(0, last) * outputStride)), TLanes.Broadcast(factors[0]));
            a1 = TLanes.Multiply(TLanes.Load(outputs + (Math.Min(1, last) * outputStride)), TLanes.Broadcast(factors[1]));
            a2 = TLanes.Multiply(TLanes.Load(outputs + (Math.Min(2, last) * outputStride)), TLanes.Broadcast(factors[2]));
            a3 = TLanes.Multiply(TLanes.Load(outputs + (Math.Min(3, last) * outputStride)), TLanes.Broadcast(factors[3]));
        }

        for (nint k = 0; k < rowCount; k++, rows += stride, weights += Lanes.Count)
        {
            var x = TLanes.Load(rows);
            a0 = TLanes.FusedMultiplyAdd(x, TLanes.Broadcast(weights[0]), a0);
            a1 = TLanes.FusedMultiplyAdd(x, TLanes.Broadcast(weights[1]), a1);
            a2 = TLanes.FusedMultiplyAdd(x, TLanes.Broadcast(weights[2]), a2);
            a3 = TLanes.FusedMultiplyAdd(x, TLanes.Broadcast(weights[3]), a3);
        }

        TLanes.Store(a0, outputs + (Math.Min(0, last) * outputStride));
        TLanes.Store(a1, outputs + (Math.Min(1, last) * outputStride));
        TLanes.Store(a2, outputs + (Math.Min(2, last) * outputStride));
        TLanes.Store(a3, outputs + (Math.Min(3, last) * outputStride));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Begin<TLanes, TVector>(float* y, float factor, ref TVector a, ref TVector b, ref TVector c)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        var f = TLanes.Broadcast(factor);
        a = TLanes.Multiply(TLanes.Load(y), f);
        b = TLanes.Multiply(TLanes.Load(y + Lanes.Count), f);
        c = TLanes.Multiply(TLanes.Load(y + (2 * Lanes.Count)), f);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void MultiplyAdd<TLanes, TVector>(TVector x, TVector y, TVector z, float weight, ref TVector a, ref TVector b, ref TVector c)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        var w = TLanes.Broadcast(weight);
        a = TLanes.FusedMultiplyAdd(x, w, a);
        b = TLanes.FusedMultiplyAdd(y, w, b);
        c = TLanes.FusedMultiplyAdd(z, w, c);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreThree<TLanes, TVector>(TVector a, TVector b, TVector c, float* y)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TLanes.Store(a, y);
        TLanes.Store(b, y + Lanes.Count);
        TLanes.Store(c, y + (2 * Lanes.Count));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreFour<TLanes, TVector>(TVector a, TVector b, TVector c, TVector d, float* y)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        TLanes.Store(a, y);
        TLanes.Store(b, y + Lanes.Count);
        TLanes.Store(c, y + (2 * Lanes.Count));
        TLanes.Store(d, y + (3 * Lanes.Count));
    }
}
