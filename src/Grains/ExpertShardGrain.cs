using Orleans;

namespace Conclave.Grains;

/// <summary>One slot of expert memory; its weights live in <see cref="SiloExperts"/>, where step loop and transport read them without a grain call.</summary>
[SiloPlacement]
public sealed class ExpertShardGrain(SiloExperts experts) : Grain, IExpertShardGrain
{
    /// <inheritdoc/>
    public Task Load(ShardLoad load)
    {
        experts.Hold(this.GetPrimaryKeyString(), load);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task Retain(long mapVersion)
    {
        experts.Retain(this.GetPrimaryKeyString(), mapVersion);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<ShardStatus> Status() => Task.FromResult(experts.Status(this.GetPrimaryKeyString()));
}
