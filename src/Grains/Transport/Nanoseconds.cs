namespace Conclave.Grains.Transport;

/// <summary>Monotonic time as one number.</summary>
internal static class Nanoseconds
{
    public const long PerMillisecond = 1_000_000, PerMicrosecond = 1_000;

    /// <summary>Nanoseconds of the clock's monotonic counter. On Linux all processes of a machine share it.</summary>
    public static long NowNs(this TimeProvider clock) => clock.TimestampFrequency == 1_000_000_000
        ? clock.GetTimestamp()
        : (long)(clock.GetTimestamp() * (1e9 / clock.TimestampFrequency));

    /// <summary>Nanoseconds of a time span, at most half of what a counter can hold.</summary>
    public static long ToNs(this TimeSpan span) => span.Ticks > long.MaxValue / 200 ? long.MaxValue / 2 : span.Ticks * 100;

    /// <summary>Milliseconds to wait for at least <paramref name="ns"/>, 0 to <paramref name="maxMs"/>.</summary>
    public static int CeilingMs(long ns, int maxMs) => (int)Math.Clamp((ns + PerMillisecond - 1) / PerMillisecond, 0, maxMs);
}
