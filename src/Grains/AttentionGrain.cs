using Conclave.Engine;
using Orleans;
using Orleans.Runtime;

namespace Conclave.Grains;

/// <summary>Owns one sequence on its rank.</summary>
[SiloPlacement]
public sealed class AttentionGrain(Rank rank) : Grain, IAttentionGrain
{
    private Guid? _sequenceId;

    /// <inheritdoc/>
    public async Task Open(GenerateCommand command)
    {
        try
        {
            await rank.Prepare(command);
            rank.Open(command);
            _sequenceId = command.SequenceId;
            // A long completion calls this grain at its end only: it must not be collected as idle before.
            DelayDeactivation(TimeSpan.MaxValue);
        }
        catch (OperatingException e)
        {
            throw ClusterException.From(e);
        }
    }

    /// <inheritdoc/>
    public Task Close()
    {
        if (_sequenceId is { } id) rank.Close(id);
        _sequenceId = null;
        DeactivateOnIdle();
        return Task.CompletedTask;
    }

    /// <summary>A grain that goes takes its pages with it.</summary>
    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        if (_sequenceId is { } id) rank.Close(id);
        return Task.CompletedTask;
    }
}
