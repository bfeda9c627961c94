using Orleans.Runtime;

namespace Orleans.Runtime
{
    /// <summary>Names a way to pick the silo for a new activation; an <see cref="Placement.IPlacementDirector"/> carries it out.</summary>
    [Serializable, GenerateSerializer, Immutable]
    public abstract class PlacementStrategy;

    /// <summary>Any silo with equal chance.</summary>
    [Serializable, GenerateSerializer, Immutable]
    public sealed class RandomPlacement : PlacementStrategy;

    /// <summary>The silo of the caller if it may hold the grain, else any.</summary>
    [Serializable, GenerateSerializer, Immutable]
    public sealed class PreferLocalPlacement : PlacementStrategy;

    /// <summary>The silo that a hash of the grain's identity picks.</summary>
    [Serializable, GenerateSerializer, Immutable]
    public sealed class HashBasedPlacement : PlacementStrategy;
}

namespace Orleans.Placement
{
    /// <summary>Base of the attributes that give a grain class its placement.</summary>
    [AttributeUsage(AttributeTargets.Class)]
    public abstract class PlacementAttribute : Attribute
    {
        /// <summary>Ties the attribute to a strategy.</summary>
        protected PlacementAttribute(PlacementStrategy placement) => PlacementStrategy = placement ?? throw new ArgumentNullException(nameof(placement));

        /// <summary>The strategy.</summary>
        public PlacementStrategy PlacementStrategy { get; }
    }

    /// <summary>Places activations at random.</summary>
    [AttributeUsage(AttributeTargets.Class)]
    public sealed class RandomPlacementAttribute() : PlacementAttribute(new RandomPlacement());

    /// <summary>Places activations on the caller's silo if possible.</summary>
    [AttributeUsage(AttributeTargets.Class)]
    public sealed class PreferLocalPlacementAttribute() : PlacementAttribute(new PreferLocalPlacement());

    /// <summary>Places activations by a hash of the grain's identity.</summary>
    [AttributeUsage(AttributeTargets.Class)]
    public sealed class HashBasedPlacementAttribute() : PlacementAttribute(new HashBasedPlacement());
}
