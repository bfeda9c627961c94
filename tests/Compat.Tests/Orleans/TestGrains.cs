using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Orleans;
using Orleans.Concurrency;
using Orleans.Placement;
using Orleans.Runtime;
using Orleans.Runtime.Placement;

namespace Conclave.Compat.Tests.Orleans;

/// <summary>What grains did, by key: tests look here instead of calling the grain.</summary>
internal static class Journal
{
    private static readonly ConcurrentDictionary<string, ConcurrentQueue<string>> Entries = new();

    public static void Add(string key, string entry) => Entries.GetOrAdd(key, _ => new()).Enqueue(entry);

    public static string[] Of(string key) => Entries.TryGetValue(key, out var entries) ? [.. entries] : [];
}

/// <summary>Doors that calls wait at, by the key of their grain: what a test wants to see under way stays so until it opens the door.</summary>
internal static class Doors
{
    private static readonly ConcurrentDictionary<string, TaskCompletionSource> Known = new();

    public static Task Opened(string key) => Of(key).Task;

    public static void Open(string key) => Of(key).TrySetResult();

    private static TaskCompletionSource Of(string key) => Known.GetOrAdd(key, _ => new(TaskCreationOptions.RunContinuationsAsynchronously));
}

public interface IWorkGrain : IGrainWithStringKey
{
    Task<int> Work(int milliseconds);

    /// <summary>Works until the door of the key is opened.</summary>
    Task<int> Hold();

    /// <inheritdoc cref="Hold"/>
    [AlwaysInterleave] Task HoldBeside();

    [AlwaysInterleave] Task<int> Peek();

    /// <summary>Ends once so many of these calls run at the same time; the most that did.</summary>
    [ReadOnly] Task<int> Look(int together);

    Task<bool> Cancellable(CancellationToken token);

    [ResponseTimeout("00:00:01")] Task<bool> Impatient(CancellationToken token);

    Task Nothing();

    Task Throw(string kind);

    Task<List<int>> Sum(List<int> numbers, int[] more);

    Task<object> Unserializable();

    Task Take(NotMarked value);

    Task<string> Self(IWorkGrain other);

    Task<string?> Context(string key);

    Task<SiloAddress> Where();

    Task End();

    IAsyncEnumerable<int> Count(int count, int delayMs, CancellationToken token = default);

    /// <summary>Produces nothing before the door of the key is opened.</summary>
    IAsyncEnumerable<int> CountAfterDoor(int count);

    IAsyncEnumerable<int> Broken(int after);

    Task<bool> StaysOnScheduler();
}

public sealed class NotMarked
{
    public int Value { get; set; }
}

[GenerateSerializer]
public sealed class QuotaException(string message, int limit) : Exception(message)
{
    [Id(0)] public int Limit { get; set; } = limit;
}

public sealed class WorkGrain(ILocalSiloDetails silo) : Grain, IWorkGrain
{
    private readonly TaskCompletionSource _together = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _running;
    private int _most;

    private string Key => this.GetPrimaryKeyString();

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        Journal.Add(Key, "activate");
        return Task.CompletedTask;
    }

    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        Journal.Add(Key, $"deactivate {reason.ReasonCode}");
        return Task.CompletedTask;
    }

    public Task<int> Work(int milliseconds) => CountedAsync(Task.Delay(milliseconds));

    public Task<int> Hold() => CountedAsync(Doors.Opened(Key));

    public Task HoldBeside()
    {
        Journal.Add(Key, "hold");
        return Doors.Opened(Key);
    }

    public Task<int> Peek() => Task.FromResult(_running);

    public Task<int> Look(int together)
    {
        if (_running + 1 == together) _together.SetResult();
        return CountedAsync(_together.Task);
    }

    public async Task<bool> Cancellable(CancellationToken token)
    {
        Journal.Add(Key, "waiting");
        try
        {
            await Task.Delay(Timeout.Infinite, token);
            return false;
        }
        catch (OperationCanceledException)
        {
            Journal.Add(Key, "cancelled");
            throw;
        }
    }

    public Task<bool> Impatient(CancellationToken token) => Cancellable(token);

    public Task Nothing() => Task.CompletedTask;

    public async Task Throw(string kind)
    {
        if (kind == "sync") ThrowNow();
        await Task.Yield();
        throw kind switch
        {
            "aggregate" => new AggregateException("several", new QuotaException("inner", 3)),
            "argument" => new ArgumentException("bad", nameof(kind)),
            "private" => new HiddenException("hidden"),
            _ => new QuotaException("too much", 7),
        };
    }

    public Task<List<int>> Sum(List<int> numbers, int[] more)
    {
        int sum = numbers.Sum() + more.Sum();
        numbers.Clear();
        more[0] = 99;
        return Task.FromResult(new List<int> { sum });
    }

    public Task<object> Unserializable() => Task.FromResult<object>(new NotMarked());

    public Task Take(NotMarked value) => Task.CompletedTask;

    public async Task<string> Self(IWorkGrain other)
    {
        await other.Nothing();
        return $"{this.AsReference<IWorkGrain>().GetPrimaryKeyString()} {other.GetPrimaryKeyString()} {other.Equals(GrainFactory.GetGrain<IWorkGrain>(other.GetPrimaryKeyString()))}";
    }

    public Task<string?> Context(string key) => Task.FromResult(RequestContext.Get(key)?.ToString());

    public Task<SiloAddress> Where() => Task.FromResult(silo.SiloAddress);

    public Task End()
    {
        DeactivateOnIdle();
        return Task.CompletedTask;
    }

    public async IAsyncEnumerable<int> Count(int count, int delayMs, [EnumeratorCancellation] CancellationToken token = default)
    {
        Journal.Add(Key, "producer started");
        try
        {
            for (int i = 0; i < count; i++)
            {
                if (delayMs > 0) await Task.Delay(delayMs, token);
                Journal.Add(Key, $"produce {i}");
                yield return i;
            }
        }
        finally
        {
            Journal.Add(Key, "producer ended");
        }
    }

    public async IAsyncEnumerable<int> CountAfterDoor(int count)
    {
        await Doors.Opened(Key);
        for (int i = 0; i < count; i++) yield return i;
    }

    public async IAsyncEnumerable<int> Broken(int after)
    {
        for (int i = 0; i < after; i++) yield return i;
        await Task.Yield();
        throw new QuotaException("stream", after);
    }

    public async Task<bool> StaysOnScheduler()
    {
        TaskScheduler before = TaskScheduler.Current;
        await Task.Delay(5);
        bool same = ReferenceEquals(before, TaskScheduler.Current);
        await Task.Yield();
        return same && ReferenceEquals(before, TaskScheduler.Current) && before != TaskScheduler.Default;
    }

    private async Task<int> CountedAsync(Task work)
    {
        _most = Math.Max(_most, ++_running);
        await work;
        _running--;
        return _most;
    }

    private static void ThrowNow() => throw new QuotaException("now", 1);

    private sealed class HiddenException(string message) : Exception(message);
}

[Serializable, GenerateSerializer, Immutable]
public sealed class HintedPlacement : PlacementStrategy;

[AttributeUsage(AttributeTargets.Class)]
public sealed class HintedPlacementAttribute() : PlacementAttribute(new HintedPlacement());

public sealed class HintedDirector : IPlacementDirector
{
    public Task<SiloAddress> OnAddActivation(PlacementStrategy strategy, PlacementTarget target, IPlacementContext context)
    {
        SiloAddress[] silos = context.GetCompatibleSilos(target);
        if (IPlacementDirector.GetPlacementHint(target.RequestContextData, silos) is { } hint) return Task.FromResult(hint);
        Array.Sort(silos);
        return Task.FromResult(silos[0]);
    }
}

[GenerateSerializer]
public sealed class Stored
{
    [Id(0)] public int Count { get; set; }
}

public interface IKeeperGrain : IGrainWithStringKey
{
    Task<int> Add(int value);

    Task Save();

    Task<int> Saved();

    Task Forget();

    Task MoveTo(SiloAddress target);

    Task<SiloAddress> Where();

    Task End();

    Task StartTimer(int periodMs, bool interleave);

    [AlwaysInterleave] Task<int> Ticks();

    /// <summary>Is busy for so long, and until so many ticks have come meanwhile; how many have.</summary>
    Task<int> Busy(int milliseconds, int ticks);
}

[HintedPlacement]
public sealed class KeeperGrain([PersistentState("stored", "store")] IPersistentState<Stored> state, ILocalSiloDetails silo) : Grain, IKeeperGrain, IGrainMigrationParticipant
{
    private List<int> _values = [];
    private int _ticks;
    private bool _inTick;

    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        Journal.Add(this.GetPrimaryKeyString(), $"deactivate {reason.ReasonCode}");
        return Task.CompletedTask;
    }

    public void OnDehydrate(IDehydrationContext context)
    {
        Journal.Add(this.GetPrimaryKeyString(), "dehydrate");
        Assert.False(context.TryAddValue("bad", new NotMarked()));
        context.TryAddValue("values", _values);
    }

    public void OnRehydrate(IRehydrationContext context)
    {
        if (context.TryGetValue("values", out List<int>? values)) _values = values!;
    }

    public Task<int> Add(int value)
    {
        _values.Add(value);
        return Task.FromResult(_values.Sum());
    }

    public Task Save()
    {
        state.State.Count = _values.Sum();
        return state.WriteStateAsync();
    }

    public Task<int> Saved() => Task.FromResult(state.RecordExists ? state.State.Count : -1);

    public Task Forget() => state.ClearStateAsync();

    public Task MoveTo(SiloAddress target)
    {
        RequestContext.Set(IPlacementDirector.PlacementHintKey, target);
        MigrateOnIdle();
        return Task.CompletedTask;
    }

    public Task<SiloAddress> Where() => Task.FromResult(silo.SiloAddress);

    public Task End()
    {
        DeactivateOnIdle();
        return Task.CompletedTask;
    }

    public Task StartTimer(int periodMs, bool interleave)
    {
        TimeSpan period = TimeSpan.FromMilliseconds(periodMs);
        this.RegisterGrainTimer(
            async _ =>
            {
                Assert.False(_inTick);
                _inTick = true;
                await Task.Yield();
                _ticks++;
                _inTick = false;
            },
            new GrainTimerCreationOptions { DueTime = period, Period = period, Interleave = interleave });
        return Task.CompletedTask;
    }

    public Task<int> Ticks() => Task.FromResult(_ticks);

    public async Task<int> Busy(int milliseconds, int ticks)
    {
        int before = _ticks;
        await Task.Delay(milliseconds);
        while (_ticks - before < ticks) await Task.Delay(5);
        return _ticks - before;
    }
}

public interface IVoidGrain : IGrainWithIntegerKey
{
    int NotAsync();
}

public interface IOrphanGrain : IGrainWithIntegerKey
{
    Task Call();
}
