namespace Conclave.Engine.Pages;

/// <summary>Where evicted prefix pages are kept.</summary>
public sealed record KvDiskOptions
{
    /// <summary>A directory of this engine alone; made if it is missing.</summary>
    public required string Directory { get; init; }

    /// <summary>Most bytes of page files; the oldest are deleted for new ones.</summary>
    public required long SizeBytes { get; init; }

    /// <summary>
    /// Everything apart from layout and tokens that latents depend on: the weights, and how they are computed with. Pages of another identity are never served, they are deleted. Set by
    /// who knows the model, not by the operator.
    /// </summary>
    public string Identity { get; init; } = "";
}
