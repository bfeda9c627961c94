namespace Conclave.Engine.Speculation;

/// <summary>How many tokens are drafted ahead for each decoding sequence. Tokens never depend on it: drafts are verified.</summary>
/// <param name="Drafts">Drafts a step, 0 (none) to <see cref="MaxDrafts"/>; the most of them where <paramref name="IsAuto"/>.</param>
/// <param name="IsAuto">The engine decides by what it measures.</param>
public readonly record struct SpeculationOptions(int Drafts, bool IsAuto)
{
    /// <summary>Most drafts a step.</summary>
    public const int MaxDrafts = 8;

    // What a module trained to look one token ahead still guesses well enough.
    private const int AutoDrafts = 3;

    /// <summary>No drafts.</summary>
    public static SpeculationOptions Off => new(0, false);

    /// <summary>As many as pay, where the checkpoint has an MTP module.</summary>
    public static SpeculationOptions Auto => new(AutoDrafts, true);

    /// <summary>So many, whether they pay or not.</summary>
    public static SpeculationOptions Always(int drafts) => new(drafts, false);
}
