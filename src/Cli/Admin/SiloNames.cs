using Conclave.Grains;
using Orleans.Runtime;

namespace Conclave.Cli.Admin;

/// <summary>Finds silos by what people call them.</summary>
internal static class SiloNames
{
    /// <summary>IP address and port of a parsable address, which has the time of its start besides.</summary>
    public static string EndPoint(string silo) => SiloAddress.FromParsableString(silo).Endpoint.ToString();

    /// <summary>The silo with this name, number (<c>2</c> for <c>silo-2</c>), parsable address, or IP address and port.</summary>
    /// <exception cref="ArgumentException">There is none, or more than one.</exception>
    public static SiloOffer Find(IReadOnlyList<SiloOffer> silos, string wanted)
    {
        SiloOffer[] found = [.. silos.Where(silo => silo.Name == wanted || silo.Silo == wanted || silo.Name == $"silo-{wanted}" || EndPoint(silo.Silo) == wanted)];
        return found switch
        {
            [var one] => one,
            [] => throw new ArgumentException($"'{wanted}' is not a silo of this cluster: {string.Join(", ", silos.Select(silo => $"{silo.Name} ({silo.Silo})"))}"),
            _ => throw new ArgumentException($"'{wanted}' means more than one silo; use an address: {string.Join(", ", found.Select(silo => silo.Silo))}"),
        };
    }
}
