using Microsoft.Extensions.DependencyInjection;
using Orleans.Runtime.Placement;

namespace Orleans.Runtime;

/// <summary>Finds the silo of a grain: where it lives, or where its class's director wants it.</summary>
internal sealed class PlacementService(SiloRuntime silo) : IPlacementContext
{
    private static readonly PlacementStrategy Default = new RandomPlacement();

    public SiloAddress LocalSilo => silo.Address;

    public SiloStatus LocalSiloStatus => silo.Status;

    /// <summary>The silo that a request for a grain goes to; notes in the request whether placement picked it.</summary>
    public async ValueTask<SiloAddress> LocateAsync(Message request)
    {
        GrainAddress? address = await silo.Directory.LookupAsync(request.Target);
        if (address?.SiloAddress is { } living)
        {
            if (!living.Equals(silo.Address) || silo.Status == SiloStatus.Active || silo.Holds(request.Target)) return living;
            // An entry that outlived its activation on a silo that takes no more grains.
            await silo.Directory.UnregisterAsync(address);
        }
        if (request.IsPlaced && silo.Status == SiloStatus.Active) return silo.Address;
        GrainInterfaceType interfaceType = request.Method is { } method ? GrainInterfaceType.Create(method.Owner.Name) : default;
        SiloAddress chosen = await PlaceAsync(request.Target, interfaceType, request.Context);
        request.IsPlaced = !chosen.Equals(silo.Address);
        return chosen;
    }

    /// <exception cref="OrleansException">No silo may hold the grain, or the director picked one that may not.</exception>
    public async ValueTask<SiloAddress> PlaceAsync(GrainId grainId, GrainInterfaceType interfaceType, Dictionary<string, object>? context)
    {
        PlacementStrategy strategy = silo.Catalog.GetClass(grainId.Type).Placement ?? Default;
        IPlacementDirector director = silo.Services.GetKeyedService<IPlacementDirector>(strategy.GetType())
            ?? throw new OrleansConfigurationException($"No placement director is registered for {strategy.GetType()}; call AddPlacementDirector on the silo builder.");
        var target = new PlacementTarget(grainId, context, interfaceType, 0);
        while (true)
        {
            ClusterMembershipSnapshot members = silo.Membership.Current;
            SiloAddress chosen = await director.OnAddActivation(strategy, target, this);
            if (GetCompatibleSilos(target).Contains(chosen)) return chosen;
            // It may have left while the director picked it; then there is another one to pick.
            if (ReferenceEquals(members, silo.Membership.Current)) throw new OrleansException($"The director of {strategy.GetType().Name} picked {chosen} for grain {grainId}, which is not an active silo.");
        }
    }

    public SiloAddress[] GetCompatibleSilos(PlacementTarget target)
    {
        SiloAddress[] silos = [.. silo.Membership.Current.Members.Values.Where(member => member.Status == SiloStatus.Active).Select(member => member.SiloAddress)];
        return silos.Length > 0 ? silos : throw new SiloUnavailableException($"No active silo is left for grain {target.GrainIdentity}.");
    }
}

/// <summary>Directors of the framework's own strategies.</summary>
internal sealed class RandomPlacementDirector : IPlacementDirector
{
    public Task<SiloAddress> OnAddActivation(PlacementStrategy strategy, PlacementTarget target, IPlacementContext context)
    {
        SiloAddress[] silos = context.GetCompatibleSilos(target);
        return Task.FromResult(IPlacementDirector.GetPlacementHint(target.RequestContextData, silos) ?? silos[Random.Shared.Next(silos.Length)]);
    }
}

/// <inheritdoc cref="RandomPlacementDirector"/>
internal sealed class PreferLocalPlacementDirector : IPlacementDirector
{
    public Task<SiloAddress> OnAddActivation(PlacementStrategy strategy, PlacementTarget target, IPlacementContext context)
    {
        SiloAddress[] silos = context.GetCompatibleSilos(target);
        if (IPlacementDirector.GetPlacementHint(target.RequestContextData, silos) is { } hint) return Task.FromResult(hint);
        return Task.FromResult(silos.Contains(context.LocalSilo) ? context.LocalSilo : silos[Random.Shared.Next(silos.Length)]);
    }
}

/// <inheritdoc cref="RandomPlacementDirector"/>
internal sealed class HashBasedPlacementDirector : IPlacementDirector
{
    public Task<SiloAddress> OnAddActivation(PlacementStrategy strategy, PlacementTarget target, IPlacementContext context)
    {
        SiloAddress[] silos = context.GetCompatibleSilos(target);
        if (IPlacementDirector.GetPlacementHint(target.RequestContextData, silos) is { } hint) return Task.FromResult(hint);
        Array.Sort(silos);
        return Task.FromResult(silos[StableHash.Of(target.GrainIdentity.ToString()) % (uint)silos.Length]);
    }
}
