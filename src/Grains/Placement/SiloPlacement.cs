using Orleans;
using Orleans.Concurrency;
using Orleans.Placement;
using Orleans.Runtime;
using Orleans.Runtime.Placement;

namespace Conclave.Grains;

/// <summary>Places a grain on the silo that its key names (see <see cref="SiloKey"/>), and nowhere else: its state is that silo's memory.</summary>
[Serializable, GenerateSerializer, Immutable]
public sealed class SiloPlacement : PlacementStrategy
{
    /// <summary>The only one needed.</summary>
    public static readonly SiloPlacement Instance = new();
}

/// <summary>Marks a grain class whose keys name their silo.</summary>
[AttributeUsage(AttributeTargets.Class)]
public sealed class SiloPlacementAttribute : PlacementAttribute
{
    /// <summary>Marks the class.</summary>
    public SiloPlacementAttribute() : base(SiloPlacement.Instance)
    {
    }
}

/// <summary>Finds the silo of a key. A migration hint wins, as Orleans asks of every director.</summary>
public sealed class SiloPlacementDirector : IPlacementDirector
{
    /// <inheritdoc/>
    public Task<SiloAddress> OnAddActivation(PlacementStrategy strategy, PlacementTarget target, IPlacementContext context)
    {
        SiloAddress[] silos = context.GetCompatibleSilos(target);
        if (IPlacementDirector.GetPlacementHint(target.RequestContextData, silos) is { } hint) return Task.FromResult(hint);
        SiloAddress wanted = SiloKey.Silo(target.GrainIdentity.Key.ToString()!);
        return silos.Contains(wanted)
            ? Task.FromResult(wanted)
            : Task.FromException<SiloAddress>(new SiloUnavailableException($"silo {wanted} of grain {target.GrainIdentity} is not in the cluster"));
    }
}
