namespace Conclave.Engine.Sampling;

/// <summary>Working memory of <see cref="Sampler"/> and <see cref="LogProbabilities"/>: one per thread that samples.</summary>
public sealed class SamplerScratch
{
    /// <summary>Makes working memory for logits of <paramref name="vocabularySize"/> tokens.</summary>
    public SamplerScratch(int vocabularySize)
    {
        int padded = Lanes.Padded(vocabularySize);
        Edited = new float[padded];
        Weights = new float[padded];
        Kept = new float[padded];
        Maxima = new float[Lanes.BlockCount(vocabularySize)];
        Ids = new int[vocabularySize];
        Positions = new int[vocabularySize];
        Occurrences = new int[vocabularySize];
    }

    /// <summary>Logits after mask, bias and penalties.</summary>
    internal float[] Edited { get; }

    /// <summary>One weight a token that may be drawn, padded with zero weights to whole vectors.</summary>
    internal float[] Weights { get; }

    /// <summary>Logits that top-k left, then weights that matter for top-p.</summary>
    internal float[] Kept { get; }

    /// <summary>The largest logit of each block.</summary>
    internal float[] Maxima { get; }

    /// <summary>Tokens that top-k left.</summary>
    internal int[] Ids { get; }

    /// <summary>Places of the largest of many.</summary>
    internal int[] Positions { get; }

    /// <summary>Times each token occurs; all 0 between calls.</summary>
    internal int[] Occurrences { get; }
}
