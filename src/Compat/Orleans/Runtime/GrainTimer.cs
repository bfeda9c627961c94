namespace Orleans.Runtime;

/// <summary>A timer of a grain: each tick is a turn, and the next one is due a period after its end.</summary>
internal sealed class GrainTimer<TState> : IGrainTimer
{
    private readonly Activation _activation;
    private readonly Func<TState, CancellationToken, Task> _callback;
    private readonly TState _state;
    private readonly bool _interleave;
    private readonly bool _keepAlive;
    private readonly CancellationTokenSource _stop = new();
    private readonly ITimer _timer;
    private readonly Lock _gate = new();
    private TimeSpan _due;
    private TimeSpan _period;
    private int _version;
    private bool _disposed;

    public GrainTimer(Activation activation, Func<TState, CancellationToken, Task> callback, TState state, GrainTimerCreationOptions options)
    {
        ArgumentNullException.ThrowIfNull(callback);
        Check(options.DueTime, options.Period);
        (_activation, _callback, _state) = (activation, callback, state);
        (_interleave, _keepAlive, _due, _period) = (options.Interleave, options.KeepAlive, options.DueTime, options.Period);
        using (ExecutionContext.SuppressFlow())
            _timer = activation.Silo.Clock.CreateTimer(static timer => ((GrainTimer<TState>)timer!).Fire(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public void Start() => Change(_due, _period);

    public void Change(TimeSpan dueTime, TimeSpan period)
    {
        Check(dueTime, period);
        lock (_gate)
        {
            if (_disposed) return;
            (_due, _period) = (dueTime, period);
            _version++;
            _timer.Change(dueTime, Timeout.InfiniteTimeSpan);
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            if (_disposed) return;
            _disposed = true;
            _timer.Dispose();
        }
        _stop.Cancel();
        _activation.RemoveTimer(this);
    }

    private void Fire() =>
        _activation.Receive(new Message { Kind = MessageKind.Request, LocalWork = TickAsync, LocalInterleaves = _interleave, LocalKeepsAlive = _keepAlive });

    private async Task TickAsync()
    {
        int version;
        lock (_gate)
        {
            if (_disposed) return;
            version = _version;
        }
        try
        {
            await _callback(_state, _stop.Token);
        }
        finally
        {
            lock (_gate)
            {
                if (!_disposed && version == _version && _period > TimeSpan.Zero) _timer.Change(_period, Timeout.InfiniteTimeSpan);
            }
        }
    }

    private static void Check(TimeSpan dueTime, TimeSpan period)
    {
        if (dueTime < TimeSpan.Zero && dueTime != Timeout.InfiniteTimeSpan) throw new ArgumentOutOfRangeException(nameof(dueTime), dueTime, "A due time is zero, positive or Timeout.InfiniteTimeSpan.");
        if (period < TimeSpan.Zero && period != Timeout.InfiniteTimeSpan) throw new ArgumentOutOfRangeException(nameof(period), period, "A period is zero, positive or Timeout.InfiniteTimeSpan.");
    }
}
