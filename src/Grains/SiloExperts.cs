using System.Collections.Concurrent;
using Conclave.Model;
using Conclave.Model.Checkpoints;
using Conclave.Model.Experts;

namespace Conclave.Grains;

/// <summary>
/// The experts that a silo's slots hold, and the rank's way to them. Shard grains put weights in, the step loop reads an immutable
/// dispatcher that is swapped as a whole when the map changes.
/// </summary>
public sealed class SiloExperts(Checkpoint checkpoint, WorkerPool workers) : IExpertDispatch, IDisposable
{
    private static readonly ShardStatus Nothing = new() { MapVersion = 0, ExpertCount = 0 };
    private readonly ConcurrentDictionary<string, ExpertShard> _shards = new();
    private readonly ConcurrentDictionary<string, ShardStatus> _status = new();
    // A step may still run on a dispatcher that was replaced, so all of them live as long as this.
    private readonly ConcurrentBag<LocalExpertDispatch> _dispatches = [];
    private volatile LocalExpertDispatch? _dispatch;

    /// <summary>Makes the weights of a slot ready, in place of what it held. A version at or below the one asked for last is ignored.</summary>
    public void Hold(string slotKey, ShardLoad load)
    {
        if (_status.TryGetValue(slotKey, out ShardStatus? held) && held.LoadingVersion >= load.MapVersion) return;
        try
        {
            _shards[slotKey] = new ExpertShard(checkpoint, load.Layers.Zip(load.Experts, (layer, expert) => (layer, expert)));
            _status[slotKey] = new ShardStatus { MapVersion = load.MapVersion, LoadingVersion = load.MapVersion, ExpertCount = load.Experts.Length, ReadyCount = load.Experts.Length };
        }
        catch (CheckpointException e)
        {
            _status[slotKey] = (held ?? Nothing) with { LoadingVersion = load.MapVersion, ReadyCount = 0, Fault = e.Message };
        }
    }

    /// <summary>Lets go of weights that only versions below <paramref name="mapVersion"/> need.</summary>
    public void Retain(string slotKey, long mapVersion)
    {
        if (_status.TryGetValue(slotKey, out ShardStatus? held) && held.MapVersion < mapVersion) _shards.TryRemove(slotKey, out _);
    }

    /// <summary>What a slot holds.</summary>
    public ShardStatus Status(string slotKey) => _status.GetValueOrDefault(slotKey, Nothing);

    /// <summary>Answers from now on by <paramref name="map"/>, whose slots have acknowledged.</summary>
    /// <exception cref="InvalidOperationException">A slot of the map is not held here.</exception>
    public void Use(ExpertMap map)
    {
        ExpertShard[] shards = [.. map.SlotKeys.Select(key => _shards.TryGetValue(key, out ExpertShard? shard)
            ? shard
            : throw new InvalidOperationException($"slot {key} of map version {map.Version} is not held by this silo"))];
        _dispatch = new LocalExpertDispatch(checkpoint.Config, shards, workers);
        _dispatches.Add(_dispatch);
    }

    /// <summary>Frees scratch memory; no step may run any more.</summary>
    public void Dispose()
    {
        foreach (LocalExpertDispatch dispatch in _dispatches) dispatch.Dispose();
    }

    /// <inheritdoc/>
    public int BeginStep(int rowCount, int layerCount) => Dispatch.BeginStep(rowCount, layerCount);

    /// <inheritdoc/>
    public void EndStep() => Dispatch.EndStep();

    /// <inheritdoc/>
    public void Begin(int layer, in RoutedRows rows) => Dispatch.Begin(layer, rows);

    /// <inheritdoc/>
    public void Complete(int layer, in RoutedRows rows) => Dispatch.Complete(layer, rows);

    private LocalExpertDispatch Dispatch => _dispatch ?? throw new InvalidOperationException("no expert map is in use yet");
}
