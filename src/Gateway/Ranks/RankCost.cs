namespace Conclave.Gateway.Ranks;

/// <summary>What it costs to send a sequence to a rank, in tokens to compute: the rule by which ranks are chosen.</summary>
internal static class RankCost
{
    /// <summary>What one sequence on a rank costs a further one, in prompt tokens: so much more of the prompt must be cached there to make up for it.</summary>
    public const int TokensPerSequence = 128;

    /// <summary>A rank that has so many more sequences than another is never preferred for what it has cached.</summary>
    public const int MostSequencesAhead = 8;

    /// <summary>Lower is better. Of ranks with the same load the one with the longest cached prefix is best, without a cached prefix the one with the least load.</summary>
    /// <param name="load">Sequences on the rank, at least 0.</param>
    /// <param name="cachedTokens">Tokens of the prompt that it may have in its pages.</param>
    public static long Of(int load, int cachedTokens) => ((long)load * TokensPerSequence) - Math.Min(cachedTokens, MostSequencesAhead * TokensPerSequence);
}
