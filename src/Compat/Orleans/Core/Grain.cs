using Microsoft.Extensions.DependencyInjection;
using Orleans.Runtime;

namespace Orleans;

/// <summary>Base class of grains: one activation in the cluster, one turn at a time.</summary>
public abstract class Grain : IGrainBase, IAddressable
{
    private readonly Activation _activation;

    /// <summary>Binds the grain to the activation that is being created.</summary>
    protected Grain() =>
        _activation = Activation.Current ?? throw new InvalidOperationException($"A grain of type {GetType()} can only be created by a silo; get a reference from IGrainFactory.GetGrain instead.");

    /// <inheritdoc/>
    public IGrainContext GrainContext => _activation;

    /// <summary>The silo that holds this activation, for logs.</summary>
    public string RuntimeIdentity => _activation.Silo.Address.ToString();

    /// <summary>The grain's identity, for logs.</summary>
    public string IdentityString => _activation.GrainId.ToString();

    /// <summary>Makes references to other grains.</summary>
    protected IGrainFactory GrainFactory => _activation.Silo.Factory;

    /// <summary>The activation's services.</summary>
    protected internal IServiceProvider ServiceProvider => _activation.ActivationServices;

    /// <summary>Runs before the first call; a failure fails the calls that caused the activation.</summary>
    public virtual Task OnActivateAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Runs after the last call of this activation.</summary>
    public virtual Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Deactivates once the calls under way are done; later calls go to a new activation.</summary>
    protected void DeactivateOnIdle() => GrainBaseExtensions.DeactivateOnIdle(this);

    /// <summary>Moves to the silo that placement picks (see the placement hint) once the calls under way are done.</summary>
    protected void MigrateOnIdle() => GrainBaseExtensions.MigrateOnIdle(this);

    /// <summary>Keeps an idle activation for at least this long; a negative value takes the delay back.</summary>
    protected void DelayDeactivation(TimeSpan timeSpan) => _activation.DelayCollection(timeSpan);
}
