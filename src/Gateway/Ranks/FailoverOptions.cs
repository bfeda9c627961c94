namespace Conclave.Gateway.Ranks;

/// <summary>How a gateway watches ranks, and how long it goes on trying for a request.</summary>
public sealed record FailoverOptions
{
    /// <summary>
    /// A stream from which nothing came for this long, not even an empty chunk, is taken for dead and its sequence resumed elsewhere. A false alarm costs a
    /// prefill and nothing else. Time in which this process itself was starved does not count.
    /// </summary>
    public int SilenceMs { get; init; } = 600;

    /// <summary>A request is given up, as unavailable, when no rank has brought it forward for this long.</summary>
    public int PatienceMs { get; init; } = 60_000;

    /// <summary>Ranks are looked at this often; at once when one has failed.</summary>
    public int RefreshMs { get; init; } = 500;

    /// <summary>How long a rank may take to tell its state; one that is late gets no new sequences until it answers.</summary>
    public int ProbeTimeoutMs { get; init; } = 500;

    /// <summary>How long the cluster may take to tell its ranks; the last ones known are used meanwhile.</summary>
    public int ViewTimeoutMs { get; init; } = 1000;

    /// <summary>Most completions under way in this process; more are refused as overloaded.</summary>
    public int MaxCompletions { get; init; } = 4096;

    /// <summary>Checks every value.</summary>
    /// <exception cref="ArgumentException">The message names the value and its range.</exception>
    public void Validate()
    {
        Check(SilenceMs, nameof(SilenceMs));
        Check(PatienceMs, nameof(PatienceMs));
        Check(RefreshMs, nameof(RefreshMs));
        Check(ProbeTimeoutMs, nameof(ProbeTimeoutMs));
        Check(ViewTimeoutMs, nameof(ViewTimeoutMs));
        Check(MaxCompletions, nameof(MaxCompletions));
    }

    private static void Check(int value, string name)
    {
        if (value < 1) throw new ArgumentException($"gateway option {name}: {value} is out of range; it must be at least 1");
    }
}
