namespace Conclave.Gateway.Ranks;

/// <summary>Telling a silent rank from a busy machine.</summary>
internal static class Hearing
{
    private const int Slices = 6;

    /// <summary>So many more slices are waited in all, however late they end.</summary>
    private const int MostSlices = 4 * Slices;

    /// <summary>
    /// Waits until <paramref name="answer"/> is there, in whatever way it ends; false = not within <paramref name="silenceMs"/>. The time is taken in slices, and those that end late do
    /// not count: a process that is starved of processors itself must not blame others for silence.
    /// </summary>
    public static async ValueTask<bool> Hears(Task answer, int silenceMs, TimeProvider clock)
    {
        var slice = TimeSpan.FromMilliseconds(Math.Max(1, silenceMs / Slices));
        for (int all = 0, punctual = 0; all < MostSlices && punctual < Slices && !answer.IsCompleted; all++)
        {
            long start = clock.GetTimestamp();
            await answer.WaitAsync(slice, clock).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (clock.GetElapsedTime(start) < 2 * slice) punctual++;
        }

        return answer.IsCompleted;
    }
}
