namespace Conclave.Engine.Scheduling;

/// <summary>How quickly sequences end, measured over the time that steps take: what a client that is refused is told to wait for. Not thread-safe.</summary>
internal sealed class DepartureRate
{
    /// <summary>Longest time that a client is told to wait.</summary>
    public const int MaxSeconds = 60;

    private const double NewWeight = 0.2;

    private double _secondsPerDeparture;
    private double _busySeconds;

    /// <summary>Counts a step and the sequences that ended with it.</summary>
    public void Record(int departures, double stepSeconds)
    {
        _busySeconds += stepSeconds;
        if (departures == 0)
            return;
        double each = _busySeconds / departures;
        _secondsPerDeparture = _secondsPerDeparture == 0 ? each : (_secondsPerDeparture * (1 - NewWeight)) + (each * NewWeight);
        _busySeconds = 0;
    }

    /// <summary>Whole seconds, at least 1, until <paramref name="places"/> places of the queue are free.</summary>
    public int SecondsUntil(int places)
    {
        // Nothing may have ended for longer than usual.
        double each = Math.Max(_secondsPerDeparture, _busySeconds);
        return (int)Math.Clamp(Math.Ceiling(each * places), 1, MaxSeconds);
    }
}
