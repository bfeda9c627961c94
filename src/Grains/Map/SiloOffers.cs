namespace Conclave.Grains;

/// <summary>Comparing offers: records compare collections by reference.</summary>
internal static class SiloOffers
{
    /// <summary>Whether both say the same.</summary>
    public static bool AreEqual(SiloOffer? one, SiloOffer? other)
    {
        if (one is null || other is null) return one is null && other is null;
        return one with { Labels = other.Labels } == other && one.Labels.Count == other.Labels.Count && !one.Labels.Except(other.Labels).Any();
    }
}
