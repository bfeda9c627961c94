using Orleans.Runtime;

namespace Orleans.Runtime
{
    /// <summary>Anything that can be called through a reference.</summary>
    public interface IAddressable;
}

namespace Orleans
{
    /// <summary>Base of all grain interfaces; use one of the interfaces that name the kind of key.</summary>
    public interface IGrain : IAddressable;

    /// <summary>Grains with string keys.</summary>
    public interface IGrainWithStringKey : IGrain;

    /// <summary>Grains with integer keys.</summary>
    public interface IGrainWithIntegerKey : IGrain;

    /// <summary>Grains with Guid keys.</summary>
    public interface IGrainWithGuidKey : IGrain;

    /// <summary>What the runtime needs of a grain class.</summary>
    public interface IGrainBase
    {
        /// <summary>The activation's context.</summary>
        IGrainContext GrainContext { get; }

        /// <summary>Runs before the first call.</summary>
        Task OnActivateAsync(CancellationToken token) => Task.CompletedTask;

        /// <summary>Runs after the last call.</summary>
        Task OnDeactivateAsync(DeactivationReason reason, CancellationToken token) => Task.CompletedTask;
    }
}
