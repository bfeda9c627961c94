namespace Conclave.Model.Checkpoints;

/// <summary>The tensors of all files of a checkpoint, compared with what its configuration calls for.</summary>
/// <param name="ByName">Tensors by name, stand-ins of absent shared ones included.</param>
/// <param name="MissingPredictLayers">Trailing MTP layers of which nothing is there.</param>
internal sealed record CheckedTensors(IReadOnlyDictionary<string, TensorView> ByName, int MissingPredictLayers)
{
    /// <summary>Merges the tensors of <paramref name="files"/> and checks each that <paramref name="config"/> calls for.</summary>
    /// <exception cref="CheckpointException">One is in two files, missing, or of a wrong type or shape.</exception>
    public static CheckedTensors Of(string directory, ModelConfig config, IReadOnlyList<SafetensorsFile> files)
    {
        var tensors = Merge(files);
        var present = PresentPredictLayers(config, tensors);
        foreach (var expected in TensorCatalog.All(config with { NextTokenPredictLayers = present }))
        {
            if (tensors.TryGetValue(expected.Name, out var tensor))
                Check(expected, tensor, tensors, directory, files);
            else
                tensors[expected.Name] = StandIn(expected, tensors) ?? throw Missing(directory, expected.Name, files);
        }
        return new CheckedTensors(tensors, config.NextTokenPredictLayers - present);
    }

    /// <summary>The error that no file of <paramref name="directory"/> has a usable tensor <paramref name="name"/>.</summary>
    public static CheckpointException Missing(string directory, string name, IReadOnlyList<SafetensorsFile> files)
    {
        foreach (var file in files)
        {
            if (file.UnsupportedTensors.TryGetValue(name, out var type))
                return new CheckpointException($"{file.Path}: tensor {name} is of type {type}, which is not supported; convert it to F32, F16, BF16 or F8_E4M3.");
        }
        var where = files.Count == 1 ? files[0].Path : directory;
        return new CheckpointException($"{where}: tensor {name} is missing; config.json calls for it. Is the download complete, and config.json of the same model?");
    }

    /// <summary>The error that <paramref name="tensor"/> is not <paramref name="expected"/> in shape.</summary>
    public static CheckpointException WrongShape(string file, TensorView tensor, ReadOnlySpan<long> expected) =>
        new($"{file}: tensor {tensor.Name} has shape [{string.Join(", ", tensor.Shape)}], config.json calls for [{string.Join(", ", expected.ToArray())}]; take both from the same model.");

    /// <summary>Path of the file that holds <paramref name="name"/>.</summary>
    public static string FileOf(string name, IReadOnlyList<SafetensorsFile> files) =>
        files.First(file => file.Tensors.ContainsKey(name)).Path;

    private static Dictionary<string, TensorView> Merge(IReadOnlyList<SafetensorsFile> files)
    {
        var tensors = new Dictionary<string, TensorView>(files.Sum(file => file.Tensors.Count), StringComparer.Ordinal);
        foreach (var file in files)
        {
            foreach (var (name, tensor) in file.Tensors)
            {
                if (!tensors.TryAdd(name, tensor))
                    throw new CheckpointException($"{file.Path}: tensor {name} is also in {FileOf(name, files)}; remove the shard that is not in the index's set.");
            }
        }
        return tensors;
    }

    /// <summary>MTP layers counted until the first of which no file has anything.</summary>
    private static int PresentPredictLayers(ModelConfig config, Dictionary<string, TensorView> tensors)
    {
        var present = config.NextTokenPredictLayers;
        while (present > 0 && !TensorCatalog.OfLayer(config, config.LayerCount + present - 1).Any(tensor => tensors.ContainsKey(tensor.Name)))
            present--;
        return present;
    }

    private static TensorView? StandIn(ExpectedTensor expected, Dictionary<string, TensorView> tensors)
    {
        if (expected.SharedWith is not { } other)
            return null;
        if (tensors.TryGetValue(other, out var tensor))
            return tensor;
        // An MTP head shares the main head, which the catalog lists later and which may itself be tied to the embedding.
        return other == TensorCatalog.Head ? tensors.GetValueOrDefault(TensorCatalog.Embedding) : null;
    }

    private static void Check(ExpectedTensor expected, TensorView tensor, Dictionary<string, TensorView> tensors, string directory, IReadOnlyList<SafetensorsFile> files)
    {
        if (!tensor.Shape.SequenceEqual(expected.Shape))
            throw WrongShape(FileOf(tensor.Name, files), tensor, expected.Shape);
        if (tensor.DType is DType.F32 or DType.F16 or DType.BF16)
            return;
        if (tensor.DType != DType.F8E4M3 || expected.Role != TensorRole.QuantizableMatrix)
            throw new CheckpointException($"{FileOf(tensor.Name, files)}: tensor {tensor.Name} is of type {tensor.DType.Name()}; the published checkpoints keep it in F32, F16 or BF16.");
        var scaleName = TensorCatalog.ScaleName(expected.Name);
        if (!tensors.TryGetValue(scaleName, out var scale))
            throw Missing(directory, scaleName, files);
        var scaleShape = TensorCatalog.ScaleShape(expected.Shape);
        if (!scale.Shape.SequenceEqual(scaleShape))
            throw WrongShape(FileOf(scaleName, files), scale, scaleShape);
        if (scale.DType != DType.F32)
            throw new CheckpointException($"{FileOf(scaleName, files)}: tensor {scaleName} is of type {scale.DType.Name()}; block scales are F32.");
    }
}
