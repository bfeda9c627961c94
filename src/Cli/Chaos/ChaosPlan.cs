namespace Conclave.Cli.Chaos;

/// <summary>What is done to a cluster.</summary>
internal enum ChaosKind
{
    /// <summary>A silo is killed without a word.</summary>
    Kill,

    /// <summary>A silo is frozen; after a while it goes on, or is killed.</summary>
    Stop,

    /// <summary>A new silo joins.</summary>
    Join,

    /// <summary>A silo is asked to leave.</summary>
    Drain,

    /// <summary>A gateway is killed; another takes its place.</summary>
    Gateway,
}

/// <summary>One thing to do.</summary>
/// <param name="AtMs">When, from the start of the load; later if the cluster has not recovered from the last one by then.</param>
/// <param name="Kind">What.</param>
/// <param name="Pick">Which: an index into those that live at that moment, modulo their number.</param>
/// <param name="HoldMs">How long a stopped silo stays frozen.</param>
/// <param name="Resumes">Whether a stopped silo goes on afterwards, rather than being killed.</param>
/// <param name="Overlaps">Whether it is done without waiting for the recovery from the last one.</param>
internal sealed record ChaosEvent(int AtMs, ChaosKind Kind, int Pick, int HoldMs, bool Resumes, bool Overlaps);

/// <summary>Draws the schedule: a pure function of its arguments.</summary>
internal static class ChaosPlan
{
    /// <summary>Silence before the first event and after the last, so that there is an undisturbed gap to compare with.</summary>
    public const int MarginMs = 3_000;

    /// <summary>
    /// Events over <paramref name="durationMs"/>. At no time are fewer than two silos left (and, with more than three, never more than one missing), or more
    /// than one more than at the start.
    /// </summary>
    public static IReadOnlyList<ChaosEvent> Create(int seed, int durationMs, int silos, int gateways)
    {
        var random = new Random(seed);
        var events = new List<ChaosEvent>();
        int alive = silos;
        for (int at = MarginMs; at <= durationMs - MarginMs; at += random.Next(2_500, 5_500))
        {
            ChaosKind kind = Draw(random, alive, silos, gateways);
            bool resumes = random.Next(2) == 0;
            // Short enough to be forgiven, or long enough to be given up.
            int hold = kind == ChaosKind.Stop ? (random.Next(4) == 0 ? random.Next(50, 300) : random.Next(3_000, 6_000)) : 0;
            bool overlaps = events is [.., { Kind: ChaosKind.Join }] && alive > Least(silos) + 1 && random.Next(3) == 0;
            events.Add(new ChaosEvent(at, kind, random.Next(1 << 16), hold, resumes, overlaps));
            alive += kind switch { ChaosKind.Join => 1, ChaosKind.Gateway => 0, _ => -1 };
        }

        return events;
    }

    /// <summary>Fewest silos left alive.</summary>
    public static int Least(int silos) => Math.Max(1, Math.Min(silos, Math.Max(2, silos - 1)));

    private static ChaosKind Draw(Random random, int alive, int silos, int gateways)
    {
        int dice = random.Next(100);
        if (gateways > 1 && dice < 10) return ChaosKind.Gateway;
        if (alive <= Least(silos)) return ChaosKind.Join;
        if (alive <= silos && dice < 25) return ChaosKind.Join;
        return dice < 60 ? ChaosKind.Kill : dice < 80 ? ChaosKind.Stop : ChaosKind.Drain;
    }
}
