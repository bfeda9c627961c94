using System.Runtime.CompilerServices;

namespace Conclave.Model.Kernels;

/// <summary>Softmax, whole or block by block over the keys of attention.</summary>
public static unsafe class Softmax
{
    /// <summary>
    /// Takes one more block of scores into a running softmax: <paramref name="scores"/> times <paramref name="scale"/> become
    /// <c>e^(s - maximum)</c> of the new running maximum, their sum joins <paramref name="sum"/>. Returns the factor <c>e^(old maximum - new maximum)</c> by
    /// which what was accumulated before has to be multiplied (exactly 1 when the maximum stays). Start with -infinity and 0.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Block<TLanes, TVector>(float* scores, int count, float scale, ref float maximum, ref float sum)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        Elementwise.Scale<TLanes, TVector>(scores, scale, count);
        var largest = TLanes.Broadcast(maximum);
        var i = 0;
        for (; i + Lanes.Count <= count; i += Lanes.Count)
            largest = TLanes.Max(largest, TLanes.Load(scores + i));
        var newMaximum = TLanes.MaxLane(largest);
        for (; i < count; i++)
            newMaximum = MathF.Max(newMaximum, scores[i]);

        var correction = maximum == newMaximum ? 1f : Exp<TLanes, TVector>(maximum - newMaximum);
        var subtrahend = TLanes.Broadcast(newMaximum);
        TVector sums = default;
        for (i = 0; i + Lanes.Count <= count; i += Lanes.Count)
        {
            var e = Elementwise.Exp<TLanes, TVector>(TLanes.Subtract(TLanes.Load(scores + i), subtrahend));
            TLanes.Store(e, scores + i);
            sums = TLanes.Add(sums, e);
        }

        if (i < count)
        {
            var e = Elementwise.Exp<TLanes, TVector>(TLanes.Subtract(Lanes.LoadPartial<TLanes, TVector>(scores + i, count - i), subtrahend));
            Lanes.StorePartial<TLanes, TVector>(e, scores + i, count - i);
            sums = TLanes.Add(sums, Lanes.LoadPartial<TLanes, TVector>(scores + i, count - i));
        }

        maximum = newMaximum;
        sum = MathF.FusedMultiplyAdd(sum, correction, TLanes.Sum(sums));
        return correction;
    }

    /// <summary>
    /// Takes one more block of scores into the running softmaxes of sixteen queries, a lane each: scores become <c>e^(s - maximum)</c> of the new running maximum, their sum, in ascending key, joins
    /// <paramref name="sums"/>. Start with -infinity and 0.
    /// </summary>
    /// <param name="scores">Scores <c>[count, 16]</c>.</param>
    /// <param name="count">Keys, at least 1.</param>
    /// <param name="limits">How many of the keys each lane sees, perhaps none; null: all.</param>
    /// <param name="maxima">Running maxima.</param>
    /// <param name="sums">Running sums.</param>
    /// <param name="factors">Receives <c>e^(old maximum - new maximum)</c>, by which what was accumulated before has to be multiplied: exactly 1 where the maximum stays, 0 where there was none.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void LaneBlock<TLanes, TVector>(float* scores, int count, float* limits, float* maxima, float* sums, float* factors)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        var end = scores + (count * Lanes.Count);
        if (limits != null)
        {
            TVector limit = TLanes.Load(limits), never = TLanes.Broadcast(float.NegativeInfinity), one = TLanes.Broadcast(1), key = TLanes.Broadcast(0);
            for (var y = scores; y < end; y += Lanes.Count, key = TLanes.Add(key, one))
                TLanes.Store(TLanes.SelectLess(key, limit, TLanes.Load(y), never), y);
        }

        TVector old = TLanes.Load(maxima), largest = old;
        for (var y = scores; y < end; y += Lanes.Count)
        {
            var score = TLanes.Load(y);
            largest = TLanes.SelectLess(largest, score, score, largest);
        }

        // A lane that has seen no key yet: e^(-infinity - 0) is the 0 that it needs.
        var subtrahend = TLanes.SelectLess(largest, TLanes.Broadcast(float.MinValue), TLanes.Broadcast(0), largest);
        var factor = Elementwise.Exp<TLanes, TVector>(TLanes.Subtract(old, subtrahend));
        TVector sum = default;
        for (var y = scores; y < end; y += Lanes.Count)
        {
            var e = Elementwise.Exp<TLanes, TVector>(TLanes.Subtract(TLanes.Load(y), subtrahend));
            TLanes.Store(e, y);
            sum = TLanes.Add(sum, e);
        }

        TLanes.Store(largest, maxima);
        TLanes.Store(factor, factors);
        TLanes.Store(TLanes.FusedMultiplyAdd(TLanes.Load(sums), factor, sum), sums);
    }

    /// <summary>Softmax of <paramref name="x"/> in place.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run<TLanes, TVector>(float* x, int count)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        float maximum = float.NegativeInfinity, sum = 0;
        Block<TLanes, TVector>(x, count, 1, ref maximum, ref sum);
        for (var i = 0; i < count; i++)
            x[i] /= sum;
    }

    /// <summary>
    /// Joins two parts of one softmax, each a sum of values weighted by <c>e^(s - maximum)</c> and the sum of the weights: <c>y = y f + x g</c> with the factors that bring both to the
    /// larger maximum.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Merge<TLanes, TVector>(float* y, ref float yMaximum, ref float ySum, float* x, float xMaximum, float xSum, int count)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        var maximum = MathF.Max(yMaximum, xMaximum);
        var f = yMaximum == maximum ? 1f : Exp<TLanes, TVector>(yMaximum - maximum);
        var g = xMaximum == maximum ? 1f : Exp<TLanes, TVector>(xMaximum - maximum);
        TVector yFactor = TLanes.Broadcast(f), xFactor = TLanes.Broadcast(g);
        for (var i = 0; i < count; i += Lanes.Count)
            Elementwise.Put<TLanes, TVector>(TLanes.FusedMultiplyAdd(Elementwise.Take<TLanes, TVector>(x + i, count - i), xFactor, TLanes.Multiply(Elementwise.Take<TLanes, TVector>(y + i, count - i), yFactor)), y + i, count - i);
        yMaximum = maximum;
        ySum = MathF.FusedMultiplyAdd(xSum, g, ySum * f);
    }

    private static float Exp<TLanes, TVector>(float x)
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        var lanes = stackalloc float[Lanes.Count];
        TLanes.Store(Elementwise.Exp<TLanes, TVector>(TLanes.Broadcast(x)), lanes);
        return lanes[0];
    }
}
