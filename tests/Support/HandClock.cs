namespace Conclave.Tests.Support;

/// <summary>A clock that is set by hand, timers and all: no time passes while a starved thread stands still, and none is too short for it.</summary>
internal sealed class HandClock : TimeProvider
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly Lock _gate = new();
    private readonly List<HandTimer> _timers = [];

    // Since the start, as a machine's clock counts from its own; never zero.
    private long _ticks = TimeSpan.TicksPerHour;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    /// <summary>Of the times that somebody waits for now the shortest, as it was when the wait began; null if nobody does.</summary>
    public TimeSpan? ShortestWait
    {
        get
        {
            lock (_gate) return _timers.Count == 0 ? null : _timers.Min(timer => timer.Wait);
        }
    }

    public override long GetTimestamp() => Volatile.Read(ref _ticks);

    public override DateTimeOffset GetUtcNow() => Start.AddTicks(GetTimestamp());

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new HandTimer(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>Whether somebody's timer is due in exactly <paramref name="time"/>: whoever set it waits now.</summary>
    public bool IsAwaited(TimeSpan time)
    {
        lock (_gate) return _timers.Exists(timer => timer.DueTicks == _ticks + time.Ticks);
    }

    /// <summary>Lets <paramref name="time"/> pass; what is due meanwhile is called on this thread, in order.</summary>
    public void Advance(TimeSpan time)
    {
        long end = GetTimestamp() + time.Ticks;
        while (TakeDue(end) is { } timer) timer.Call();
        lock (_gate) _ticks = Math.Max(_ticks, end);
    }

    /// <summary>Goes to where the first of those waits ends that were to last <paramref name="most"/> at most; stays where it is if there is none.</summary>
    public void EndShortWait(TimeSpan most)
    {
        long left;
        lock (_gate) left = _timers.Where(timer => timer.Wait <= most).Select(timer => timer.DueTicks - _ticks).DefaultIfEmpty(-1).Min();
        if (left >= 0) Advance(TimeSpan.FromTicks(left));
    }

    /// <summary>The first timer that is due until <paramref name="endTicks"/>, when it is due; null if there is none.</summary>
    private HandTimer? TakeDue(long endTicks)
    {
        lock (_gate)
        {
            if (_timers.MinBy(timer => timer.DueTicks) is not { } next || next.DueTicks > endTicks) return null;
            _ticks = Math.Max(_ticks, next.DueTicks);
            if (next.PeriodTicks > 0) next.DueTicks += next.PeriodTicks;
            else _timers.Remove(next);
            return next;
        }
    }

    private sealed class HandTimer(HandClock clock, TimerCallback callback, object? state) : ITimer
    {
        public long DueTicks { get; set; }

        public long PeriodTicks { get; private set; }

        /// <summary>What it was set to.</summary>
        public TimeSpan Wait { get; private set; }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            bool isNow = dueTime == TimeSpan.Zero;
            lock (clock._gate)
            {
                clock._timers.Remove(this);
                Wait = dueTime;
                PeriodTicks = period > TimeSpan.Zero ? period.Ticks : 0;
                DueTicks = clock._ticks + (isNow ? PeriodTicks : dueTime.Ticks);
                if (isNow ? PeriodTicks > 0 : dueTime > TimeSpan.Zero) clock._timers.Add(this);
            }

            if (isNow) ThreadPool.QueueUserWorkItem(_ => Call());
            return true;
        }

        public void Call() => callback(state);

        public void Dispose()
        {
            lock (clock._gate) clock._timers.Remove(this);
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
