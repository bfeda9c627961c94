using Conclave.Model;

namespace Conclave.Cli.Commands.Bench;

/// <summary>
/// What a whole model would give, estimated from one dense and one MoE layer: no measurement. Every silo is a rank with its own sequences and holds its share of the routed experts and all
/// other weights; experts are chosen alike often; what an MoE layer takes grows with the bytes it reads; communication hides behind computation.
/// </summary>
/// <param name="Silos">Silos like this machine.</param>
/// <param name="Batch">Sequences that decode on each.</param>
/// <param name="TokensPerSecond">Tokens per second of all silos.</param>
/// <param name="WeightGbPerSilo">Weights that each silo holds.</param>
internal sealed record WholeModelEstimate(int Silos, int Batch, double TokensPerSecond, double WeightGbPerSilo)
{
    /// <summary>Extrapolates from the layers measured with <paramref name="batch"/> rows.</summary>
    public static WholeModelEstimate Of(ModelConfig whole, IReadOnlyList<LayerFigures> layers, LayerWork work, double memoryGigabytesPerSecond, int silos, int batch)
    {
        LayerFigures dense = layers.First(l => l.Layer == "dense" && l.Rows == batch && l.Work == "decode"), moe = layers.First(l => l.Layer == "moe" && l.Rows == batch && l.Work == "decode");
        double measuredBytes = work.AlwaysBytes[1] + (moe.Experts * work.ExpertBytes);
        double expectedBytes = work.AlwaysBytes[1] + (Chosen(whole, silos, batch) * work.ExpertBytes);
        double headBytes = 2.0 * whole.VocabularySize * whole.HiddenSize;
        int moeLayers = Enumerable.Range(0, whole.LayerCount).Count(whole.IsMoeLayer);
        double seconds = ((whole.LayerCount - moeLayers) * dense.Ms / 1e3) + (moeLayers * moe.Ms / 1e3 * expectedBytes / measuredBytes) + (headBytes / memoryGigabytesPerSecond / 1e9);
        double weights = ((whole.LayerCount - moeLayers) * work.AlwaysBytes[0]) + (moeLayers * (work.AlwaysBytes[1] + (work.ExpertBytes * whole.RoutedExpertCount / silos))) + (2 * headBytes);
        return new WholeModelEstimate(silos, batch, silos * batch / seconds, weights / 1e9);
    }

    /// <summary>Different experts of one silo that the rows of all silos choose in a layer, on average.</summary>
    private static double Chosen(ModelConfig whole, int silos, int batch) =>
        (double)whole.RoutedExpertCount / silos * (1 - Math.Pow(1 - ((double)whole.ExpertsPerToken / whole.RoutedExpertCount), (double)silos * batch));
}
