using Conclave.Model.Kernels;

namespace Conclave.Model.Checkpoints;

/// <summary>
/// A checkpoint directory in the Hugging Face layout: <c>config.json</c> and memory-mapped safetensors, one file or shards with an index.
/// Opening maps everything and reads headers only. The files must not be shortened while it is open.
/// </summary>
public sealed class Checkpoint : IDisposable
{
    private readonly IReadOnlyList<SafetensorsFile> _files;

    private Checkpoint(string directory, ModelConfig config, IReadOnlyList<SafetensorsFile> files, CheckedTensors tensors, ComputeType compute)
    {
        Int8 = compute == ComputeType.W8A8 ? new Int8Weights() : null;
        Directory = directory;
        Config = tensors.MissingPredictLayers == 0 ? config : config with { NextTokenPredictLayers = config.NextTokenPredictLayers - tensors.MissingPredictLayers };
        MissingPredictLayers = tensors.MissingPredictLayers;
        Tensors = tensors.ByName;
        _files = files;
    }

    /// <summary>The directory it was opened from.</summary>
    public string Directory { get; }

    /// <summary>The architecture; without MTP layers that the configuration announces but no file holds.</summary>
    public ModelConfig Config { get; }

    /// <summary>MTP layers that the configuration announces but no file holds, as some conversions leave them out.</summary>
    public int MissingPredictLayers { get; }

    /// <summary>
    /// All tensors by name. Where a checkpoint leaves out a tensor that repeats another (a tied head, the embedding and head of an MTP layer),
    /// its name leads to that other one.
    /// </summary>
    public IReadOnlyDictionary<string, TensorView> Tensors { get; }

    /// <summary>The large matrices in 8 bits, if products are computed so.</summary>
    public Int8Weights? Int8 { get; }

    /// <summary>Tensors that the files hold, in use or not.</summary>
    public int StoredTensorCount => _files.Sum(file => file.Tensors.Count + file.UnsupportedTensors.Count);

    /// <summary>Opens and validates <paramref name="directory"/>: every header, offset, name, type and shape is checked before the first read.</summary>
    /// <param name="directory">The directory.</param>
    /// <param name="compute">The arithmetic that its weights are bound for.</param>
    /// <exception cref="CheckpointException">The message names the file and tensor.</exception>
    public static Checkpoint Open(string directory, ComputeType compute = ComputeType.F32)
    {
        var config = ModelConfig.Load(directory);
        var files = CheckpointFiles.Open(directory);
        try
        {
            return new Checkpoint(directory, config, files, CheckedTensors.Of(directory, config, files), compute);
        }
        catch
        {
            Close(files);
            throw;
        }
    }

    /// <summary>Whether tensors are mapped files, which come back when they are read again.</summary>
    internal bool IsMapped => _files.Count > 0;

    /// <summary>A checkpoint without files: <paramref name="tensors"/> are the caller's memory, and all that <paramref name="config"/> calls for.</summary>
    internal static Checkpoint Of(ModelConfig config, IReadOnlyDictionary<string, TensorView> tensors, ComputeType compute = ComputeType.F32) => new("memory", config, [], new CheckedTensors(tensors, 0), compute);

    /// <summary>The tensor <paramref name="name"/>, which must have exactly <paramref name="shape"/>.</summary>
    /// <exception cref="CheckpointException">Missing, or of another shape.</exception>
    public TensorView Require(string name, params ReadOnlySpan<long> shape)
    {
        if (!Tensors.TryGetValue(name, out var tensor))
            throw CheckedTensors.Missing(Directory, name, _files);
        if (!shape.SequenceEqual(tensor.Shape as long[] ?? [.. tensor.Shape]))
            throw CheckedTensors.WrongShape(CheckedTensors.FileOf(tensor.Name, _files), tensor, shape);
        return tensor;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Int8?.Dispose();
        Close(_files);
    }

    private static void Close(IReadOnlyList<SafetensorsFile> files)
    {
        foreach (var file in files)
            file.Dispose();
    }
}
