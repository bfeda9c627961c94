using Microsoft.Extensions.Logging;

namespace Orleans.Runtime;

/// <summary>One activation of a grain: its queue of requests and the rule which of them may run now.</summary>
internal sealed partial class Activation : IGrainContext
{
    [ThreadStatic]
    private static Activation? CurrentOfThread;

    private readonly Lock _gate = new();
    private readonly List<Message> _waiting = [];
    private readonly List<Message> _executing = [];
    private readonly ActivationScheduler _scheduler;
    private readonly ServerStreams _streams;
    private readonly ILogger _logger;
    private Stage _stage = Stage.Creating;
    private DeactivationReason? _deactivation;
    private int _blocking;
    private bool _blockingIsReadOnly;
    private long _lastUsed;
    private long _keepUntil;

    public Activation(SiloRuntime silo, GrainClass grainClass, GrainId grainId)
    {
        Silo = silo;
        Class = grainClass;
        Address = new GrainAddress { GrainId = grainId, ActivationId = ActivationId.NewId(), SiloAddress = silo.Address };
        _logger = silo.Logger;
        _scheduler = new ActivationScheduler(this, silo.Clock, silo.Logger);
        _streams = new ServerStreams(silo);
        _lastUsed = silo.Clock.GetTimestamp();
    }

    private enum Stage
    {
        Creating,
        Valid,
        Deactivating,
        Ended,
    }

    /// <summary>The activation whose turn runs on this thread.</summary>
    public static Activation? Current { get => CurrentOfThread; set => CurrentOfThread = value; }

    public SiloRuntime Silo { get; }

    public GrainClass Class { get; }

    public GrainAddress Address { get; }

    public GrainId GrainId => Address.GrainId;

    public ActivationId ActivationId => Address.ActivationId;

    /// <summary>Takes a request; false if the activation has ended.</summary>
    public bool Receive(Message message)
    {
        lock (_gate)
        {
            if (_stage == Stage.Ended) return false;
            if (message.KeepsAlive) _lastUsed = Silo.Clock.GetTimestamp();
            if (!MayStart(message))
            {
                _waiting.Add(message);
                return true;
            }
            Begin(message);
        }
        _scheduler.Run(() => InvokeAsync(message));
        return true;
    }

    /// <summary>Whether the activation is here and takes requests, as opposed to being on its way in or out.</summary>
    public bool IsValid => _stage == Stage.Valid;

    /// <summary>Cancels a request by where it came from; false if it is not here.</summary>
    public bool Cancel(Connection? origin, long callId)
    {
        lock (_gate)
        {
            Message? message = _executing.Concat(_waiting).FirstOrDefault(m => m.CallId == callId && m.Method is not null && ReferenceEquals(m.Origin, origin));
            if (message is null) return false;
            Cancel(message);
            return true;
        }
    }

    /// <summary>Cancels all requests that came by a connection.</summary>
    public void CancelAll(Connection origin)
    {
        lock (_gate)
            foreach (Message message in _executing.Concat(_waiting).Where(m => ReferenceEquals(m.Origin, origin))) Cancel(message);
    }

    /// <summary>Whether nobody has used the activation for the collection age.</summary>
    public bool IsIdle(TimeSpan defaultAge)
    {
        TimeSpan age = Class.AgeLimit ?? defaultAge;
        lock (_gate)
        {
            return _stage == Stage.Valid && _deactivation is null && _executing.Count == 0 && _waiting.Count == 0 && age != TimeSpan.MaxValue
                && Silo.Clock.GetElapsedTime(_lastUsed) >= age && Silo.Clock.GetTimestamp() >= _keepUntil;
        }
    }

    public void DelayCollection(TimeSpan time)
    {
        lock (_gate)
        {
            _keepUntil = time < TimeSpan.Zero ? 0
                : time.TotalDays > 3650 ? long.MaxValue
                : Silo.Clock.GetTimestamp() + (long)(time.TotalSeconds * Silo.Clock.TimestampFrequency);
        }
    }

    /// <summary>Ends streams that nobody reads any more.</summary>
    public void Sweep(TimeSpan streamAge)
    {
        if (_streams.HasAbandoned(streamAge)) _scheduler.Run(() => _streams.DisposeAbandonedAsync(streamAge));
    }

    public bool Equals(IGrainContext? other) => ReferenceEquals(this, other);

    public override string ToString() => Address.ToString();

    private void Cancel(Message message)
    {
        message.IsCancelled = true;
        // The callbacks of the token are the grain's code, hence a turn.
        if (message.Cancellation is { } source)
        {
            _scheduler.Run(() =>
            {
                source.Cancel();
                return Task.CompletedTask;
            });
        }
        else if (message.Operation != Operation.Invoke)
        {
            _scheduler.Run(() => _streams.StopAsync(message.StreamId));
        }
    }

    private bool MayStart(Message message)
    {
        if (_stage != Stage.Valid) return false;
        bool interleaves = message.Interleaves || Class.IsReentrant;
        // Once the end is asked for, only what may run beside the requests under way still starts: they may depend on it.
        if (_deactivation is not null && !(interleaves && _executing.Count > 0)) return false;
        return interleaves || _blocking == 0 || (_blockingIsReadOnly && message.IsReadOnly);
    }

    private void Begin(Message message)
    {
        _executing.Add(message);
        if (message.Interleaves || Class.IsReentrant) return;
        if (_blocking++ == 0) _blockingIsReadOnly = message.IsReadOnly;
    }

    private async Task InvokeAsync(Message message)
    {
        object? result = null;
        Exception? failure = null;
        try
        {
            RequestContext.Import(message.Context);
            result = await ExecuteAsync(message);
        }
        catch (Exception e)
        {
            failure = e;
        }
        if (message.LocalWork is null) Silo.Respond(message, result, failure);
        else if (failure is not null) LogTimerFailed(GrainId, failure);
        Finish(message);
    }

    private ValueTask<object?> ExecuteAsync(Message message)
    {
        if (message.LocalWork is { } work) return new TaskShape().Complete(work());
        if (message.IsCancelled) throw new OperationCanceledException("The caller cancelled the call before it started.");
        GrainMethod method = message.Method!;
        if (message.Operation != Operation.Invoke) return _streams.ExecuteAsync(message, GrainInstance!);
        object?[] arguments = message.GetArguments(Silo.Codecs);
        if (method.TokenIndex >= 0)
        {
            message.Cancellation = new CancellationTokenSource();
            if (message.IsCancelled) message.Cancellation.Cancel();
            arguments[method.TokenIndex] = message.Cancellation.Token;
        }
        return method.Returns.Complete(method.Invoke(GrainInstance!, arguments));
    }

    private void Finish(Message message)
    {
        lock (_gate)
        {
            _executing.Remove(message);
            if (!message.Interleaves && !Class.IsReentrant) _blocking--;
            message.Cancellation?.Dispose();
            message.Cancellation = null;
            if (message.KeepsAlive) _lastUsed = Silo.Clock.GetTimestamp();
        }
        Pump();
    }

    /// <summary>Starts whatever may start now.</summary>
    private void Pump()
    {
        lock (_gate)
        {
            for (int i = 0; i < _waiting.Count;)
            {
                Message message = _waiting[i];
                if (!MayStart(message))
                {
                    i++;
                    continue;
                }
                _waiting.RemoveAt(i);
                Begin(message);
                _scheduler.Run(() => InvokeAsync(message));
            }
            if (_deactivation is not { } reason || _stage != Stage.Valid || _executing.Count > 0) return;
            _stage = Stage.Deactivating;
            _scheduler.Run(() => EndAsync(reason));
        }
    }

    [LoggerMessage(LogLevel.Error, "A timer callback of grain {Grain} failed")]
    private partial void LogTimerFailed(GrainId grain, Exception exception);
}
