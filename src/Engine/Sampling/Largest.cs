using Conclave.Model.Kernels;

namespace Conclave.Engine.Sampling;

/// <summary>Finds the few largest of a vocabulary's values without looking twice at the others.</summary>
internal static unsafe class Largest
{
    /// <summary>
    /// Copies the <paramref name="count"/> largest of <paramref name="values"/> (of equal ones those of lowest id; negative infinities never) to <paramref name="kept"/> and their ids
    /// to <paramref name="ids"/>, in order of id; returns how many there are.
    /// </summary>
    /// <param name="values"><c>[vocabulary]</c>, none NaN.</param>
    /// <param name="maxima">As <see cref="Lanes.FillMaxima"/> left them.</param>
    /// <param name="count">At least 1.</param>
    /// <param name="kept">As long as <paramref name="values"/>.</param>
    /// <param name="ids">As long as <paramref name="values"/>.</param>
    /// <param name="positions">Working memory, as long as <paramref name="values"/>.</param>
    public static int Select(ReadOnlySpan<float> values, ReadOnlySpan<float> maxima, int count, Span<float> kept, Span<int> ids, Span<int> positions)
    {
        // So many blocks have a value of at least this: nothing below it is among the largest.
        float floor = count < maxima.Length ? Smallest(maxima, Choose(maxima, count, positions)) : float.MinValue;
        int found = Lanes.Compact(values, MathF.Max(floor, float.MinValue), float.PositiveInfinity, kept, ids);
        if (found <= count)
            return found;

        Span<int> chosen = Choose(kept[..found], count, positions);
        for (int i = 0; i < chosen.Length; i++)
            (kept[i], ids[i]) = (kept[chosen[i]], ids[chosen[i]]);
        return count;
    }

    /// <summary>Places of the <paramref name="count"/> largest, fewer than there are, in order.</summary>
    private static Span<int> Choose(ReadOnlySpan<float> values, int count, Span<int> positions)
    {
        fixed (float* from = values)
        fixed (int* to = positions)
            TopK.Select((float*)from, values.Length, count, to);
        return positions[..count];
    }

    private static float Smallest(ReadOnlySpan<float> values, ReadOnlySpan<int> places)
    {
        float smallest = float.PositiveInfinity;
        foreach (int place in places)
            smallest = MathF.Min(smallest, values[place]);
        return smallest;
    }
}
