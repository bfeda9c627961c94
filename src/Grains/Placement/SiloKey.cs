using Orleans.Runtime;

namespace Conclave.Grains;

/// <summary>Grain keys that name the silo they belong to: <c>name/silo</c>, with the silo's parsable address behind the last slash.</summary>
public static class SiloKey
{
    /// <summary>The key of the rank on <paramref name="silo"/>.</summary>
    public static string Rank(string silo) => $"rank/{silo}";

    /// <summary>The key of expert slot <paramref name="slot"/> on <paramref name="silo"/>.</summary>
    public static string Slot(int slot, string silo) => $"slot{slot}/{silo}";

    /// <summary>The key of sequence <paramref name="sequenceId"/> whose pages are on <paramref name="silo"/>.</summary>
    public static string Sequence(Guid sequenceId, string silo) => $"{sequenceId:N}/{silo}";

    /// <summary>The silo that <paramref name="key"/> names.</summary>
    /// <exception cref="FormatException">It names none.</exception>
    public static SiloAddress Silo(string key)
    {
        int slash = key.LastIndexOf('/');
        return slash >= 0 ? SiloAddress.FromParsableString(key[(slash + 1)..]) : throw new FormatException($"grain key '{key}' names no silo");
    }
}
