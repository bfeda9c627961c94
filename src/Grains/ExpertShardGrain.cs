using Conclave.Engine;
using Conclave.Model;
using Orleans;

namespace Conclave.Grains;

/// <summary>One slot of expert memory; its weights live in <see cref="SiloExperts"/>, where the step loop reads them without a grain call.</summary>
[SiloPlacement]
public sealed class ExpertShardGrain(SiloExperts experts) : Grain, IExpertShardGrain
{
    private ShardLoad? _held;

    /// <inheritdoc/>
    public Task Load(ShardLoad load)
    {
        if (_held is { } held && held.MapVersion >= load.MapVersion) return Task.CompletedTask;
        try
        {
            experts.Hold(this.GetPrimaryKeyString(), load);
        }
        catch (CheckpointException e)
        {
            throw new ClusterException(OperatingError.Internal, e.Message);
        }

        _held = load;
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task<ShardStatus> Status() =>
        Task.FromResult(new ShardStatus { MapVersion = _held?.MapVersion ?? 0, ExpertCount = _held?.Experts.Length ?? 0 });
}
