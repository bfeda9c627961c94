namespace Conclave.Compat.Tests;

/// <summary>A clock that stands still until a test moves it on. Its timers fire then, one after another on the thread of the test.</summary>
internal sealed class HandClock : TimeProvider
{
    private readonly Lock _gate = new();
    private readonly List<HandTimer> _timers = [];
    private long _ticks = new DateTime(2026, 1, 1, 0, 0, 0, DateTimeKind.Utc).Ticks;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => Volatile.Read(ref _ticks);

    public override DateTimeOffset GetUtcNow() => new(GetTimestamp(), TimeSpan.Zero);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new HandTimer(this, () => callback(state));
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>Whether a timer is due in exactly so long: whoever made it waits now.</summary>
    public bool IsAwaited(TimeSpan time)
    {
        lock (_gate) return _timers.Any(timer => timer.Due == _ticks + time.Ticks);
    }

    public void Advance(TimeSpan time)
    {
        long end = GetTimestamp() + time.Ticks;
        while (Next(end) is { } timer) timer.Fire();
        Volatile.Write(ref _ticks, end);
    }

    /// <summary>The next timer that is due by then; the clock shows its time.</summary>
    private HandTimer? Next(long end)
    {
        lock (_gate)
        {
            HandTimer? next = _timers.Where(timer => timer.Due <= end).MinBy(timer => timer.Due);
            if (next is null) return null;
            Volatile.Write(ref _ticks, Math.Max(_ticks, next.Due));
            next.Due += next.Period;
            if (next.Period <= 0) _timers.Remove(next);
            return next;
        }
    }

    private sealed class HandTimer(HandClock clock, Action fire) : ITimer
    {
        public long Due { get; set; }

        /// <summary>In ticks; 0 for a timer that fires once.</summary>
        public long Period { get; private set; }

        public void Fire() => fire();

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (clock._gate)
            {
                clock._timers.Remove(this);
                if (dueTime == Timeout.InfiniteTimeSpan) return true;
                (Due, Period) = (clock._ticks + dueTime.Ticks, period == Timeout.InfiniteTimeSpan ? 0 : period.Ticks);
                clock._timers.Add(this);
                return true;
            }
        }

        public void Dispose()
        {
            lock (clock._gate) clock._timers.Remove(this);
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return default;
        }
    }
}
