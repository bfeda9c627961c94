using Conclave.Engine;

namespace Conclave.Grains;

/// <summary>A sequence that a stream reads from a rank, and when it did so last.</summary>
public sealed class OpenSequence(Sequence sequence, TimeProvider clock)
{
    private long _lastRead = clock.GetTimestamp();

    /// <summary>Its tokens.</summary>
    public Sequence Sequence { get; } = sequence;

    /// <summary>The silo whose rank took it over; null while nobody did, or if any may.</summary>
    public string? MovedTo { get; internal set; }

    /// <summary>Time since somebody wanted to read it.</summary>
    public TimeSpan Unread => clock.GetElapsedTime(Volatile.Read(ref _lastRead));

    /// <summary>Its reader is there.</summary>
    public void Touch() => Volatile.Write(ref _lastRead, clock.GetTimestamp());
}
