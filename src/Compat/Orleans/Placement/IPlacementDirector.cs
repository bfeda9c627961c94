namespace Orleans.Runtime.Placement;

/// <summary>Picks silos for new activations of the grains of one strategy.</summary>
public interface IPlacementDirector
{
    /// <summary>Key of the request context under which a caller or a migrating grain may name the silo it wants.</summary>
    const string PlacementHintKey = nameof(PlacementHintKey);

    /// <summary>Picks the silo for a new activation.</summary>
    Task<SiloAddress> OnAddActivation(PlacementStrategy strategy, PlacementTarget target, IPlacementContext context);

    /// <summary>The hinted silo, if there is one and the grain may live there.</summary>
    static SiloAddress? GetPlacementHint(Dictionary<string, object>? requestContextData, SiloAddress[] compatibleSilos) =>
        requestContextData is not null && requestContextData.TryGetValue(PlacementHintKey, out object? value)
        && value is SiloAddress hint && compatibleSilos.Contains(hint) ? hint : null;
}

/// <summary>What a director may know.</summary>
public interface IPlacementContext
{
    /// <summary>The silo that asks.</summary>
    SiloAddress LocalSilo { get; }

    /// <summary>The status of the silo that asks.</summary>
    SiloStatus LocalSiloStatus { get; }

    /// <summary>The active silos that can hold the grain, in a new array.</summary>
    /// <exception cref="OrleansException">There is none.</exception>
    SiloAddress[] GetCompatibleSilos(PlacementTarget target);
}

/// <summary>The grain to be placed.</summary>
public readonly struct PlacementTarget(GrainId grainIdentity, Dictionary<string, object>? requestContextData, GrainInterfaceType interfaceType, ushort interfaceVersion)
{
    /// <summary>The grain.</summary>
    public GrainId GrainIdentity { get; } = grainIdentity;

    /// <summary>The interface of the first call.</summary>
    public GrainInterfaceType InterfaceType { get; } = interfaceType;

    /// <summary>The version of the interface; always 0 here.</summary>
    public ushort InterfaceVersion { get; } = interfaceVersion;

    /// <summary>The request context of the first call or of the migration.</summary>
    public Dictionary<string, object>? RequestContextData { get; } = requestContextData;
}
