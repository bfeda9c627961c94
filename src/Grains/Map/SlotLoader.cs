using Orleans;

namespace Conclave.Grains;

/// <summary>
/// Brings the slots of a target map to hold what it names. Slots load in the background; this asks and looks, again and again, since a call
/// may be lost or its outcome unknown. Lives inside a grain's turns.
/// </summary>
internal sealed class SlotLoader
{
    private readonly IGrainFactory _grains;
    private readonly ShardLoad[] _loads;
    private readonly Task[] _asking;

    /// <summary>Asks nobody yet.</summary>
    public SlotLoader(ExpertMap target, PlacementPlan plan, IGrainFactory grains)
    {
        (Target, Plan, _grains) = (target, plan, grains);
        _loads = [.. ExpertPlanner.Loads(target)];
        _asking = new Task[_loads.Length];
        Array.Fill(_asking, Task.CompletedTask);
        Statuses = new ShardStatus?[_loads.Length];
    }

    /// <summary>The map to be loaded.</summary>
    public ExpertMap Target { get; }

    /// <summary>The plan it comes from.</summary>
    public PlacementPlan Plan { get; }

    /// <summary>What each slot said last, in the order of the target's slots; null before it did.</summary>
    public ShardStatus?[] Statuses { get; }

    /// <summary>Pairs that each slot is to hold.</summary>
    public int TargetCount(int slot) => _loads[slot].Experts.Length;

    /// <summary>Whether every slot is ready.</summary>
    public bool IsReady => Array.TrueForAll(Statuses, status => status?.MapVersion == Target.Version);

    /// <summary>Why a slot cannot load what it should; null while all can.</summary>
    public string? Fault
    {
        get
        {
            for (int slot = 0; slot < Statuses.Length; slot++)
                if (Statuses[slot] is { Fault: { } fault } status && status.LoadingVersion == Target.Version)
                    return $"slot {Target.SlotKeys[slot]}: {fault}";
            return null;
        }
    }

    /// <summary>The last call that failed, for the log; null if none did since the last time it was taken.</summary>
    public string? TakeFailure()
    {
        string? failure = _failure;
        _failure = null;
        return failure;
    }

    private string? _failure;

    /// <summary>Asks the slots that are not ready, and waits for their answers, though no longer than <paramref name="limit"/>: one may hang.</summary>
    public Task AskAsync(TimeSpan limit, TimeProvider clock)
    {
        for (int slot = 0; slot < _asking.Length; slot++)
            if (_asking[slot].IsCompleted && Statuses[slot]?.MapVersion != Target.Version) _asking[slot] = AskSlotAsync(slot);
        return Task.WhenAny(Task.WhenAll(_asking), Task.Delay(limit, clock));
    }

    private async Task AskSlotAsync(int slot)
    {
        try
        {
            var grain = _grains.GetGrain<IExpertShardGrain>(Target.SlotKeys[slot]);
            if (!(Statuses[slot]?.LoadingVersion >= Target.Version)) await grain.Load(_loads[slot]);
            Statuses[slot] = await grain.Status();
        }
        catch (Exception e) when (Calls.MayBeRepeated(e))
        {
            _failure = $"{Target.SlotKeys[slot]}: {e.Message}";
        }
    }
}
