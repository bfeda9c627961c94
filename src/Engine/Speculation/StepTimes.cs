namespace Conclave.Engine.Speculation;

/// <summary>What a piece of work takes by its size, learned from what it took: exact where sizes occur, between them a straight line.</summary>
internal sealed class StepTimes(int maxSize)
{
    // So many measurements back something weighs next to nothing; a hiccup counts as twice the usual time at most.
    private const double Weight = 1.0 / 8;
    private const double MostOfUsual = 2;

    private readonly double[] _milliseconds = new double[maxSize + 1];

    /// <summary>Takes note of what a piece of <paramref name="size"/> took.</summary>
    public void Add(int size, double milliseconds)
    {
        ref double known = ref _milliseconds[size];
        known = known == 0 ? milliseconds : known + (Weight * (Math.Min(milliseconds, known * MostOfUsual) - known));
    }

    /// <summary>What a piece of <paramref name="size"/> is likely to take, milliseconds; 0 if nothing is known of any size.</summary>
    public double Estimate(int size)
    {
        int below = size, above = size;
        while (below > 0 && _milliseconds[below] == 0)
            below--;
        while (above < maxSize && _milliseconds[above] == 0)
            above++;
        double low = _milliseconds[below], high = above <= maxSize ? _milliseconds[above] : 0;
        if (low == 0)
            return high;

        // Beyond all that is known: at worst it grows as its size does.
        if (high == 0)
            return low * size / below;
        return above == below ? low : low + ((high - low) * (size - below) / (above - below));
    }
}
