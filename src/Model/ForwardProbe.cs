namespace Conclave.Model;

/// <summary>Sees intermediate values of forward passes, on the thread that runs them: for tests and for counting expert loads. Costs nothing when absent.</summary>
public interface IForwardProbe
{
    /// <summary>Experts chosen in <paramref name="layer"/>: ids <c>[rows, k]</c>, ascending within a row, and their weights.</summary>
    void Routed(int layer, ReadOnlySpan<int> expertIds, ReadOnlySpan<float> weights);

    /// <summary>The residual stream after <paramref name="layer"/>, <c>[rows, HiddenSize]</c>.</summary>
    void LayerOutput(int layer, ReadOnlySpan<float> hidden);

    /// <summary>
    /// Key positions, ascending, that the lightning indexer keeps in <paramref name="layer"/> for row <paramref name="row"/> of the batch. Not reported for rows
    /// with no more keys than are kept: they attend to all.
    /// </summary>
    void KeysSelected(int layer, int row, ReadOnlySpan<int> positions);
}
