using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Orleans.Runtime;

/// <content>The start and the end of an activation.</content>
internal sealed partial class Activation
{
    private readonly TaskCompletionSource _deactivated = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly HashSet<IDisposable> _timers = [];
    private readonly List<IActivationState> _states = [];
    private AsyncServiceScope? _scope;
    private SiloAddress? _migrationTarget;

    public object? GrainInstance { get; private set; }

    public IServiceProvider ActivationServices => _scope?.ServiceProvider ?? throw new InvalidOperationException($"Grain {GrainId} has no services yet.");

    public Task Deactivated => _deactivated.Task;

    /// <summary>Starts the activation; the requests it has got wait meanwhile.</summary>
    /// <param name="previous">The activation that it takes over from, if it moved here.</param>
    /// <param name="state">What that one packed.</param>
    public Task<bool> StartAsync(GrainAddress? previous = null, MigrationState? state = null)
    {
        var started = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        _scheduler.Run(async () => started.SetResult(await ActivateAsync(previous, state)));
        return started.Task;
    }

    public void Deactivate(DeactivationReason deactivationReason, CancellationToken cancellationToken = default)
    {
        lock (_gate)
        {
            if (_stage >= Stage.Deactivating || _deactivation is not null) return;
            _deactivation = deactivationReason;
        }
        _scheduler.Run(_streams.AbortAllAsync);
        Pump();
    }

    public void Migrate(Dictionary<string, object>? requestContext, CancellationToken cancellationToken = default) =>
        _scheduler.Run(() => StartMovingAsync(requestContext ?? []));

    public GrainTimer<TState> AddTimer<TState>(Func<TState, CancellationToken, Task> callback, TState state, GrainTimerCreationOptions options)
    {
        var timer = new GrainTimer<TState>(this, callback, state, options);
        lock (_gate) _timers.Add(timer);
        timer.Start();
        return timer;
    }

    public void RemoveTimer(IDisposable timer)
    {
        lock (_gate) _timers.Remove(timer);
    }

    public void AddState(IActivationState state) => _states.Add(state);

    /// <summary>Drops the activation without a word to the grain: the silo is dead.</summary>
    public void Abandon()
    {
        List<Message> orphans;
        lock (_gate)
        {
            if (_stage == Stage.Ended) return;
            _stage = Stage.Ended;
            orphans = [.. _waiting];
            _waiting.Clear();
        }
        DisposeTimers();
        _scheduler.Run(_streams.AbortAllAsync);
        foreach (Message message in orphans) Silo.Reject(message, new SiloUnavailableException($"Silo {Silo.Address} was stopped."));
        _deactivated.TrySetResult();
    }

    private async Task<bool> ActivateAsync(GrainAddress? previous, MigrationState? state)
    {
        try
        {
            GrainAddress winner = await Silo.Directory.RegisterAsync(Address, previous);
            if (!winner.Equals(Address))
            {
                await LeaveAsync(registered: false, failure: null);
                return false;
            }
            using var timeout = new CancellationTokenSource(Silo.CollectionOptions.ActivationTimeout, Silo.Clock);
            _scope = Silo.Services.CreateAsyncScope();
            _scope.Value.ServiceProvider.GetRequiredService<GrainContextHolder>().Context = this;
            GrainInstance = Silo.Activator.Create(this);
            if (state is not null) Rehydrate(state);
            foreach (IActivationState part in _states) await part.LoadAsync();
            if (GrainInstance is IGrainBase grain) await grain.OnActivateAsync(timeout.Token);
            lock (_gate)
            {
                if (_stage != Stage.Creating) return false;
                _stage = Stage.Valid;
            }
            Pump();
            return true;
        }
        catch (Exception e)
        {
            LogActivationFailed(GrainId, e);
            await LeaveAsync(registered: true, e);
            return false;
        }
    }

    private async Task EndAsync(DeactivationReason reason)
    {
        DisposeTimers();
        await _streams.AbortAllAsync();
        using (var timeout = new CancellationTokenSource(Silo.CollectionOptions.DeactivationTimeout, Silo.Clock))
        {
            try
            {
                if (GrainInstance is IGrainBase grain) await grain.OnDeactivateAsync(reason, timeout.Token).WaitAsync(timeout.Token);
            }
            catch (Exception e)
            {
                LogDeactivationFailed(GrainId, e);
            }
        }
        bool moved = _migrationTarget is not null && await TryMoveAsync(_migrationTarget);
        await LeaveAsync(registered: !moved, failure: null);
    }

    /// <summary>Lets placement pick a silo; if that is this one, the activation stays as it is.</summary>
    private async Task StartMovingAsync(Dictionary<string, object> context)
    {
        try
        {
            SiloAddress target = await Silo.Placement.PlaceAsync(GrainId, default, context);
            if (target.Equals(Silo.Address)) return;
            lock (_gate)
            {
                if (_deactivation is not null || _stage >= Stage.Deactivating) return;
                _migrationTarget = target;
            }
            Deactivate(new DeactivationReason(DeactivationReasonCode.Migrating, $"The grain moves to {target}."));
        }
        catch (Exception e)
        {
            LogPlacementFailed(GrainId, e);
        }
    }

    private async Task<bool> TryMoveAsync(SiloAddress target)
    {
        try
        {
            var state = new MigrationState(Silo.Codecs);
            if (GrainInstance is IGrainMigrationParticipant participant) participant.OnDehydrate(state);
            foreach (IActivationState part in _states) part.OnDehydrate(state);
            await Silo.MoveAsync(Address, target, state);
            return true;
        }
        catch (Exception e)
        {
            LogMigrationFailed(GrainId, e);
            return false;
        }
    }

    private void Rehydrate(MigrationState state)
    {
        foreach (IActivationState part in _states) part.OnRehydrate(state);
        if (GrainInstance is IGrainMigrationParticipant participant) participant.OnRehydrate(state);
    }

    /// <summary>Takes the activation out of the silo and hands its requests over: to the next activation, or back with a failure.</summary>
    private async Task LeaveAsync(bool registered, Exception? failure)
    {
        DisposeTimers();
        if (registered) await Silo.Directory.UnregisterAsync(Address);
        Silo.Remove(this);
        List<Message> waiting;
        lock (_gate)
        {
            if (_stage == Stage.Ended) return;
            _stage = Stage.Ended;
            waiting = [.. _waiting.Where(message => message.LocalWork is null)];
            _waiting.Clear();
        }
        foreach (Message message in waiting)
        {
            if (failure is null) Silo.Route(message);
            else Silo.Reject(message, failure);
        }
        _deactivated.TrySetResult();
        await DisposeAsync();
    }

    private async Task DisposeAsync()
    {
        try
        {
            if (GrainInstance is IAsyncDisposable asynchronous) await asynchronous.DisposeAsync();
            else (GrainInstance as IDisposable)?.Dispose();
            if (_scope is { } scope) await scope.DisposeAsync();
        }
        catch (Exception e)
        {
            LogDeactivationFailed(GrainId, e);
        }
    }

    private void DisposeTimers()
    {
        IDisposable[] timers;
        lock (_gate) timers = [.. _timers];
        foreach (IDisposable timer in timers) timer.Dispose();
    }

    [LoggerMessage(LogLevel.Error, "Grain {Grain} could not be activated")]
    private partial void LogActivationFailed(GrainId grain, Exception exception);

    [LoggerMessage(LogLevel.Error, "Grain {Grain} failed while it was deactivated")]
    private partial void LogDeactivationFailed(GrainId grain, Exception exception);

    [LoggerMessage(LogLevel.Error, "No silo could be picked for grain {Grain} to move to; it stays")]
    private partial void LogPlacementFailed(GrainId grain, Exception exception);

    [LoggerMessage(LogLevel.Error, "Grain {Grain} could not move to another silo; its state in memory is lost")]
    private partial void LogMigrationFailed(GrainId grain, Exception exception);
}

/// <summary>Gives the services of an activation its context.</summary>
internal sealed class GrainContextHolder
{
    public Activation? Context { get; set; }
}

/// <summary>The activation whose turn runs.</summary>
internal sealed class GrainContextAccessor : IGrainContextAccessor
{
    public IGrainContext? GrainContext => Activation.Current;
}

/// <summary>State that the runtime keeps for an activation.</summary>
internal interface IActivationState
{
    Task LoadAsync();

    void OnDehydrate(IDehydrationContext context);

    void OnRehydrate(IRehydrationContext context);
}
