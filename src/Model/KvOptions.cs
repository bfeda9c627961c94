namespace Conclave.Model;

/// <summary>How cached latents and indexer keys are stored. They are rounded when stored, so that every later reader sees the same values.</summary>
public enum KvType
{
    /// <summary>float32, as computed.</summary>
    F32,

    /// <summary>bfloat16, rounded to nearest even.</summary>
    BF16,

    /// <summary>
    /// As in the FP8 KV cache of DeepSeek-V3.2: the latent as E4M3 with a float32 power-of-two scale per 128 columns, the rotated key as bfloat16; indexer keys
    /// as E4M3 with one scale a key.
    /// </summary>
    FP8,
}

/// <summary>What an operator chooses about KV pages.</summary>
public sealed record KvOptions
{
    /// <summary>Stored type. Tokens depend on it.</summary>
    public KvType Type { get; init; } = KvType.F32;

    /// <summary>Tokens of a page, a multiple of <see cref="KvLayout.BlockTokens"/>; also the unit of the prefix cache. Tokens do not depend on it.</summary>
    public int PageTokens { get; init; } = KvLayout.BlockTokens;

    /// <summary>Checks the values.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Naming the option and its range.</exception>
    public void Validate()
    {
        if (!Enum.IsDefined(Type))
            throw new ArgumentOutOfRangeException(nameof(Type), Type, "KV type (--kv-dtype) must be F32, BF16 or FP8.");
        if (PageTokens < KvLayout.BlockTokens || PageTokens > KvLayout.MaxPageTokens || PageTokens % KvLayout.BlockTokens != 0)
            throw new ArgumentOutOfRangeException(nameof(PageTokens), PageTokens, $"Page size (--page-tokens) must be a multiple of {KvLayout.BlockTokens} between {KvLayout.BlockTokens} and {KvLayout.MaxPageTokens} tokens.");
    }
}
