namespace Conclave.Grains;

/// <summary>Times that a rank keeps towards gateways and other ranks.</summary>
public sealed record RankOptions
{
    /// <summary>An empty chunk is sent when no token was ready for this long. Gateways take several missing ones for a dead rank.</summary>
    public int KeepAliveMs { get; init; } = 200;

    /// <summary>A sequence whose stream nobody has read for this long is cancelled: its gateway is gone. Gateways read on whatever their clients do.</summary>
    public int LeaseMs { get; init; } = 10_000;

    /// <summary>From this age of a step on, those who wait for its tokens are told that it is unusual.</summary>
    public int StallMs { get; init; } = 2000;

    /// <summary>A step that takes longer is taken for a hang: the rank reports a fault and gives its sequences up to others.</summary>
    public int StepDeadlineMs { get; init; } = 60_000;

    /// <summary>KV pages of a sequence that another rank sent are kept for this long until a gateway asks for the sequence.</summary>
    public int ParkMs { get; init; } = 10_000;

    /// <summary>Checks every value.</summary>
    /// <exception cref="ArgumentException">The message names the value and its range.</exception>
    public void Validate()
    {
        Check(KeepAliveMs, nameof(KeepAliveMs), least: 1);
        Check(LeaseMs, nameof(LeaseMs), least: 2 * KeepAliveMs);
        Check(StallMs, nameof(StallMs), least: 1);
        Check(StepDeadlineMs, nameof(StepDeadlineMs), least: 1);
        Check(ParkMs, nameof(ParkMs), least: 1);
    }

    private static void Check(int value, string name, int least)
    {
        if (value < least) throw new ArgumentException($"rank option {name}: {value} is out of range; it must be at least {least}");
    }
}
