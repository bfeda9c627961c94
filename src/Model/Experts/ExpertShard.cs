using Conclave.Model.Checkpoints;

namespace Conclave.Model.Experts;

/// <summary>A set of (layer, expert) pairs whose weights are at hand: what one slot of expert memory holds.</summary>
public sealed class ExpertShard
{
    private readonly Dictionary<(int Layer, int Expert), MlpWeights> _weights = [];

    /// <summary>Binds the weights of <paramref name="experts"/> in place.</summary>
    /// <exception cref="CheckpointException">A tensor is missing or has another shape.</exception>
    public ExpertShard(Checkpoint checkpoint, IEnumerable<(int Layer, int Expert)> experts)
    {
        var c = checkpoint.Config;
        foreach (var (layer, expert) in experts)
            _weights[(layer, expert)] = MlpWeights.Bind(checkpoint, $"model.layers.{layer}.mlp.experts.{expert}.", c.HiddenSize, c.MoeIntermediateSize);
    }

    /// <summary>The pairs held.</summary>
    public IReadOnlyCollection<(int Layer, int Expert)> Experts => _weights.Keys;

    /// <summary>Whether the pair is held.</summary>
    public bool Holds(int layer, int expert) => _weights.ContainsKey((layer, expert));

    /// <summary>Every routed expert of every layer of <paramref name="config"/>, MTP layers included.</summary>
    public static IEnumerable<(int Layer, int Expert)> AllOf(ModelConfig config) =>
        from layer in Enumerable.Range(0, config.LayerCount + config.NextTokenPredictLayers)
        where config.IsMoeLayer(layer)
        from expert in Enumerable.Range(0, config.RoutedExpertCount)
        select (layer, expert);

    /// <summary>Weights of a pair that is held.</summary>
    internal MlpWeights Weights(int layer, int expert) => _weights[(layer, expert)];
}
