namespace Conclave.Model.Checkpoints;

/// <summary>A checkpoint directory in the Hugging Face layout: <c>config.json</c> and memory-mapped safetensors, one file or shards with an index.</summary>
public sealed class Checkpoint : IDisposable
{
    /// <summary>The directory it was opened from.</summary>
    public string Directory => throw new NotImplementedException();

    /// <summary>The architecture.</summary>
    public ModelConfig Config => throw new NotImplementedException();

    /// <summary>All tensors by name.</summary>
    public IReadOnlyDictionary<string, TensorView> Tensors => throw new NotImplementedException();

    /// <summary>Opens and validates <paramref name="directory"/>: every header and offset is checked before the first read.</summary>
    /// <exception cref="CheckpointException">The message names the file and tensor.</exception>
    public static Checkpoint Open(string directory) => throw new NotImplementedException();

    /// <summary>The tensor <paramref name="name"/>, which must have exactly <paramref name="shape"/>.</summary>
    /// <exception cref="CheckpointException">Missing, or of another shape.</exception>
    public TensorView Require(string name, params ReadOnlySpan<long> shape) => throw new NotImplementedException();

    /// <inheritdoc/>
    public void Dispose() => throw new NotImplementedException();
}
