using Conclave.Model.Checkpoints;

namespace Conclave.Model.Experts;

/// <summary>A set of (layer, expert) pairs whose weights are at hand: what one slot of expert memory holds.</summary>
public sealed class ExpertShard
{
    /// <summary>Binds the weights of <paramref name="experts"/> in place.</summary>
    public ExpertShard(Checkpoint checkpoint, IEnumerable<(int Layer, int Expert)> experts) => throw new NotImplementedException();

    /// <summary>Whether the pair is held.</summary>
    public bool Holds(int layer, int expert) => throw new NotImplementedException();
}

/// <summary>Experts of this process, called directly: the single-silo case pays nothing for the seam.</summary>
public sealed class LocalExpertDispatch : IExpertDispatch
{
    /// <summary>Evaluates experts of <paramref name="shards"/> on <paramref name="workers"/>.</summary>
    public LocalExpertDispatch(ModelConfig config, IReadOnlyList<ExpertShard> shards, WorkerPool workers) => throw new NotImplementedException();

    /// <inheritdoc/>
    public void Begin(int layer, in RoutedRows rows) => throw new NotImplementedException();

    /// <inheritdoc/>
    public void Complete(int layer, in RoutedRows rows) => throw new NotImplementedException();
}
