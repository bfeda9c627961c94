using Conclave.Model;
using Conclave.Model.Checkpoints;
using Conclave.Model.Experts;

namespace Conclave.Grains;

/// <summary>
/// The expert weights that a silo's slots hold. Shard grains say what to hold, a thread of its own binds the weights and makes their memory present,
/// and whoever computes reads <see cref="Table"/>, an immutable snapshot of all that is ready. Safe for several threads.
/// </summary>
public sealed class SiloExperts : IDisposable
{
    // Reading weights in takes memory bandwidth and disk from the steps under way: half the time at most.
    private static readonly TimeSpan LoadSlice = TimeSpan.FromMilliseconds(2), Pause = TimeSpan.FromMilliseconds(2);
    private static readonly ShardStatus Nothing = new() { MapVersion = 0, ExpertCount = 0 };

    private readonly Checkpoint _checkpoint;
    private readonly TimeProvider _clock;
    private readonly IReadOnlyList<long> _sizesBytes;
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Slot> _slots = [];
    private readonly Queue<(string Key, ShardLoad Load)> _queue = [];
    private readonly Queue<ExpertShard> _letGo = [];
    private readonly AutoResetEvent _work = new(false);
    private readonly ManualResetEvent _stopping = new(false);
    private readonly Thread _loader;
    private volatile ExpertTable _table;

    /// <summary>Holds nothing yet. The checkpoint must outlive this object.</summary>
    public SiloExperts(Checkpoint checkpoint, TimeProvider clock)
    {
        (_checkpoint, _clock) = (checkpoint, clock);
        _sizesBytes = ExpertSizes.Of(checkpoint);
        _table = new ExpertTable(checkpoint.Config, []);
        _loader = new Thread(LoadAll) { IsBackground = true, Name = "conclave-expert-loader" };
        _loader.Start();
    }

    /// <summary>More or fewer experts are in <see cref="Table"/>. Called on the loader's or the caller's thread.</summary>
    public event Action? Changed;

    /// <summary>All experts that are ready, of every slot and version held.</summary>
    public ExpertTable Table => _table;

    /// <summary>
    /// Starts to make the weights of <paramref name="load"/> ready for a slot, beside those of older versions, and returns; see <see cref="Status"/>. A version at or below the
    /// one asked for last is ignored.
    /// </summary>
    public void Hold(string slotKey, ShardLoad load)
    {
        lock (_gate)
        {
            if (!_slots.TryGetValue(slotKey, out Slot? slot)) _slots[slotKey] = slot = new Slot();
            if (slot.Status.LoadingVersion >= load.MapVersion) return;
            slot.Status = slot.Status with { LoadingVersion = load.MapVersion, ReadyCount = 0, Fault = null };
            _queue.Enqueue((slotKey, load));
        }

        _work.Set();
    }

    /// <summary>Lets go of a slot's weights that only versions below <paramref name="mapVersion"/> need.</summary>
    public void Retain(string slotKey, long mapVersion)
    {
        lock (_gate)
        {
            if (!_slots.TryGetValue(slotKey, out Slot? slot)) return;
            // What is ready serves until something newer is.
            long[] old = [.. slot.Shards.Keys.Where(version => version < mapVersion && version < slot.Status.MapVersion)];
            if (old.Length == 0) return;
            foreach (long version in old)
            {
                if (slot.Shards.Remove(version, out ExpertShard? shard)) _letGo.Enqueue(shard);
            }

            Publish();
        }

        _work.Set();
        Changed?.Invoke();
    }

    /// <summary>What a slot holds.</summary>
    public ShardStatus Status(string slotKey)
    {
        lock (_gate) return _slots.TryGetValue(slotKey, out Slot? slot) ? slot.Status with { HeldBytes = HeldBytes(slot) } : Nothing;
    }

    /// <summary>Ends the loader. Whoever reads <see cref="Table"/> must have ended before.</summary>
    public void Dispose()
    {
        _stopping.Set();
        _loader.Join();
        _work.Dispose();
        _stopping.Dispose();
    }

    private void LoadAll()
    {
        // Silos on all cores: without it, loading takes from the steps under way what it needs.
        ThreadNiceness.Lower();
        WaitHandle[] signals = [_stopping, _work];
        while (WaitHandle.WaitAny(signals) != 0)
        {
            do
            {
                while (TryTake(out string key, out ShardLoad? load)) Load(key, load);
            }
            while (TryTakeLetGo(out ExpertShard? shard) && Release(shard));
        }
    }

    private bool TryTakeLetGo([System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out ExpertShard? shard)
    {
        lock (_gate) return _letGo.TryDequeue(out shard);
    }

    /// <summary>Gives the memory of weights back that no table has any more: a slot's budget is what it holds. False if the silo ends.</summary>
    private bool Release(ExpertShard shard)
    {
        long start = _clock.GetTimestamp();
        foreach ((int layer, int expert) in shard.Experts)
        {
            if (!_table.Holds(layer, expert)) shard.Release(layer, expert);
            if (_clock.GetElapsedTime(start) < LoadSlice) continue;
            if (_stopping.WaitOne(Pause)) return false;
            start = _clock.GetTimestamp();
        }

        return true;
    }

    private bool TryTake(out string key, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out ShardLoad? load)
    {
        lock (_gate)
        {
            bool found = _queue.TryDequeue(out (string Key, ShardLoad Load) next);
            (key, load) = next;
            return found;
        }
    }

    private void Load(string key, ShardLoad load)
    {
        try
        {
            var shard = new ExpertShard(_checkpoint, load.Layers.Zip(load.Experts, (layer, expert) => (layer, expert)));
            if (MakePresent(key, load, shard)) Add(key, load, shard);
        }
        catch (Exception e) when (e is CheckpointException or IOException or ArgumentException or KeyNotFoundException)
        {
            lock (_gate)
            {
                if (IsWanted(key, load, out Slot slot)) slot.Status = slot.Status with { Fault = e.Message };
            }
        }
    }

    /// <summary>Touches the weights that no table has yet; false if they are not wanted any more.</summary>
    private bool MakePresent(string key, ShardLoad load, ExpertShard shard)
    {
        long start = _clock.GetTimestamp();
        int ready = 0;
        foreach ((int layer, int expert) in shard.Experts)
        {
            if (!_table.Holds(layer, expert)) shard.Touch(layer, expert);
            ready++;
            if (_clock.GetElapsedTime(start) < LoadSlice) continue;
            lock (_gate)
            {
                if (!IsWanted(key, load, out Slot slot)) return false;
                slot.Status = slot.Status with { ReadyCount = ready };
            }

            if (_stopping.WaitOne(Pause)) return false;
            start = _clock.GetTimestamp();
        }

        return true;
    }

    private void Add(string key, ShardLoad load, ExpertShard shard)
    {
        lock (_gate)
        {
            if (!IsWanted(key, load, out Slot slot)) return;
            slot.Shards[load.MapVersion] = shard;
            slot.Status = slot.Status with { MapVersion = load.MapVersion, ExpertCount = shard.Experts.Count, ReadyCount = shard.Experts.Count };
            Publish();
        }

        Changed?.Invoke();
    }

    private bool IsWanted(string key, ShardLoad load, out Slot slot)
    {
        slot = _slots[key];
        return slot.Status.LoadingVersion == load.MapVersion;
    }

    private void Publish() => _table = new ExpertTable(_checkpoint.Config, _slots.Values.SelectMany(slot => slot.Shards.Values));

    private long HeldBytes(Slot slot) => slot.Shards.Values.SelectMany(shard => shard.Experts).Distinct().Sum(pair => _sizesBytes[pair.Layer]);

    /// <summary>The versions of one slot whose weights are ready, and what it was asked for.</summary>
    private sealed class Slot
    {
        public Dictionary<long, ExpertShard> Shards { get; } = [];

        public ShardStatus Status { get; set; } = Nothing;
    }
}
