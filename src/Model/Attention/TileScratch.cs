using Conclave.Model.Kernels;

namespace Conclave.Model.Attention;

/// <summary>What attention has of a tile behind some of its keys: weighted sums of latents, and maxima and sums of the weights.</summary>
internal readonly unsafe struct TilePart(float* data, int width)
{
    /// <summary>Weighted sums of the queries, <see cref="Stride"/> floats apart.</summary>
    public float* Outputs => data;

    /// <summary>Floats from one query's outputs to the next: not a power of two, so that a column of them is spread over the caches.</summary>
    public long Stride => StrideOf(width);

    /// <summary>Running maxima of the queries.</summary>
    public float* Maxima => data + (LatentAttention.TileQueries * Stride);

    /// <summary>Running sums of the queries.</summary>
    public float* Sums => Maxima + LatentAttention.TileQueries;

    /// <summary>Floats of a part of latents of <paramref name="width"/>.</summary>
    public static long Floats(int width) => LatentAttention.TileQueries * (StrideOf(width) + 2);

    /// <summary>Weighted sum of one query.</summary>
    public float* Output(int query) => data + (query * Stride);

    /// <summary>No key has been seen; the outputs are left as they are.</summary>
    public void Clear(int vectors)
    {
        new Span<float>(Maxima, vectors * Lanes.Count).Fill(float.NegativeInfinity);
        new Span<float>(Sums, vectors * Lanes.Count).Clear();
    }

    private static long StrideOf(int width) => AttentionBuffers.Padded(width) + Lanes.Count;
}

/// <summary>One thread's memory for the tile under way.</summary>
internal readonly unsafe struct TileScratch
{
    private const int Most = LatentAttention.TileQueries;

    /// <summary>Cuts <see cref="Floats"/> floats from <paramref name="data"/> on into parts.</summary>
    public TileScratch(ModelConfig c, float* data)
    {
        var width = AttentionBuffers.Padded(c.LatentWidth);
        Keys = data;
        Queries = Keys + ((long)KvLayout.BlockTokens * width);
        Scores = Queries + ((long)Most * width);
        Factors = Scores + (Most * KvLayout.BlockTokens);
        Limits = Factors + Most;
        Total = new TilePart(Limits + Most, c.KvLoraRank);
        Part = new TilePart(Limits + Most + TilePart.Floats(c.KvLoraRank), c.KvLoraRank);
    }

    /// <summary>A block of latents <c>[64, latent width]</c>.</summary>
    public float* Keys { get; }

    /// <summary>Queries in lanes <c>[vectors, latent width, 16]</c>.</summary>
    public float* Queries { get; }

    /// <summary>Scores of a block, then weights <c>[vectors, 64, 16]</c>.</summary>
    public float* Scores { get; }

    /// <summary>What the queries' outputs so far are multiplied with.</summary>
    public float* Factors { get; }

    /// <summary>How many keys of a block each query sees.</summary>
    public float* Limits { get; }

    /// <summary>The segments so far.</summary>
    public TilePart Total { get; }

    /// <summary>The segment under way.</summary>
    public TilePart Part { get; }

    /// <summary>Floats that a tile needs.</summary>
    public static long Floats(ModelConfig c) =>
        ((KvLayout.BlockTokens + Most) * (long)AttentionBuffers.Padded(c.LatentWidth)) + (Most * (KvLayout.BlockTokens + 2)) + (2 * TilePart.Floats(c.KvLoraRank));
}
