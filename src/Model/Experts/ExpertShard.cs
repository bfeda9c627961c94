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

    /// <summary>
    /// Brings every page that the weights of a pair lie in into memory, so that the first step that needs them does not wait for the disk. Returns their size in bytes.
    /// </summary>
    public long Touch(int layer, int expert)
    {
        var weights = _weights[(layer, expert)];
        return weights.Gate.Touch() + weights.Up.Touch() + weights.Down.Touch();
    }

    /// <summary>Undoes <see cref="Touch"/>: the weights of a pair leave this process's memory. Whoever still reads them has them back, from the disk at worst.</summary>
    public void Release(int layer, int expert)
    {
        var weights = _weights[(layer, expert)];
        weights.Gate.Release();
        weights.Up.Release();
        weights.Down.Release();
    }

    /// <summary>Weights of a pair that is held.</summary>
    internal MlpWeights Weights(int layer, int expert) => _weights[(layer, expert)];
}

/// <summary>The experts at hand in one process, from any number of shards; immutable.</summary>
public sealed class ExpertTable
{
    private readonly MlpWeights[][] _weights;

    /// <summary>Joins <paramref name="shards"/>; several may hold the same expert.</summary>
    public ExpertTable(ModelConfig config, IEnumerable<ExpertShard> shards)
    {
        _weights = new MlpWeights[config.LayerCount + config.NextTokenPredictLayers][];
        for (var layer = 0; layer < _weights.Length; layer++)
            _weights[layer] = new MlpWeights[config.RoutedExpertCount];
        foreach (var shard in shards)
        {
            foreach (var (layer, expert) in shard.Experts)
                _weights[layer][expert] = shard.Weights(layer, expert);
        }

        HoldsAll = ExpertShard.AllOf(config).All(pair => Holds(pair.Layer, pair.Expert));
    }

    /// <summary>Whether no expert of the model is missing.</summary>
    public bool HoldsAll { get; }

    /// <summary>Whether the weights of the pair are here.</summary>
    public bool Holds(int layer, int expert) =>
        (uint)layer < (uint)_weights.Length && (uint)expert < (uint)_weights[layer].Length && _weights[layer][expert].Width > 0;

    /// <summary>Weights of the experts of <paramref name="layer"/>; those not held have width 0.</summary>
    internal MlpWeights[] Layer(int layer) => _weights[layer];
}
