using System.Text.Json;

namespace Conclave.Model.Checkpoints;

/// <summary>Finds and maps the safetensors files of a model directory: <c>model.safetensors</c>, or the shards its index names.</summary>
internal static class CheckpointFiles
{
    private const string SingleName = "model.safetensors";
    private const string IndexName = "model.safetensors.index.json";

    // The index of the largest published checkpoint takes 9 MB.
    private const long MaxIndexSizeBytes = 1 << 28;

    /// <summary>Maps every file of <paramref name="directory"/>; all or none.</summary>
    public static IReadOnlyList<SafetensorsFile> Open(string directory)
    {
        var single = Path.Combine(directory, SingleName);
        if (File.Exists(single))
            return [SafetensorsFile.Open(single)];
        var index = Path.Combine(directory, IndexName);
        if (!File.Exists(index))
            throw new CheckpointException($"{directory}: neither {SingleName} nor {IndexName} is there; point to a directory with the published safetensors files.");
        var shardsByTensor = ReadIndex(index);
        var files = new Dictionary<string, SafetensorsFile>(StringComparer.Ordinal);
        try
        {
            foreach (var shard in shardsByTensor.Values.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal))
                files.Add(shard, OpenShard(directory, shard, index, shardsByTensor));
            foreach (var (tensor, shard) in shardsByTensor)
            {
                var file = files[shard];
                if (!file.Tensors.ContainsKey(tensor) && !file.UnsupportedTensors.ContainsKey(tensor))
                    throw new CheckpointException($"{index}: tensor {tensor} should be in {file.Path} but is not; the index and the shards are of different versions.");
            }
            return [.. files.Values];
        }
        catch
        {
            foreach (var file in files.Values)
                file.Dispose();
            throw;
        }
    }

    private static SafetensorsFile OpenShard(string directory, string shard, string index, Dictionary<string, string> shardsByTensor)
    {
        var path = Path.Combine(directory, shard);
        if (File.Exists(path))
            return SafetensorsFile.Open(path);
        var tensor = shardsByTensor.First(entry => entry.Value == shard).Key;
        throw new CheckpointException($"{path}: missing, but {index} says that it holds {tensor}; download the shard.");
    }

    private static Dictionary<string, string> ReadIndex(string path)
    {
        var shards = new Dictionary<string, string>(StringComparer.Ordinal);
        try
        {
            if (new FileInfo(path).Length > MaxIndexSizeBytes)
                throw new CheckpointException($"{path}: too large for an index; it is damaged.");
            using var document = JsonDocument.Parse(File.ReadAllBytes(path), new JsonDocumentOptions { AllowDuplicateProperties = false });
            if (document.RootElement.ValueKind != JsonValueKind.Object || !document.RootElement.TryGetProperty("weight_map", out var map) || map.ValueKind != JsonValueKind.Object)
                throw new CheckpointException($"{path}: no object weight_map in it; take the index published with the shards.");
            if (map.GetPropertyCount() == 0)
                throw new CheckpointException($"{path}: weight_map holds no tensor; take the index published with the shards.");
            foreach (var entry in map.EnumerateObject())
            {
                if (entry.Value.ValueKind != JsonValueKind.String)
                    throw new CheckpointException($"{path}: weight_map of tensor {entry.Name} is no file name.");
                shards.Add(entry.Name, CheckName(entry.Value.GetString()!, entry.Name, path));
            }
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            throw new CheckpointException($"{path}: not valid JSON: {error.Message}", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException($"{path}: cannot be read: {error.Message}", error);
        }
        return shards;
    }

    /// <summary>Shards lie next to their index: a name that leads elsewhere is refused.</summary>
    private static string CheckName(string shard, string tensor, string index)
    {
        if (shard is "" or "." or ".." || shard.AsSpan().ContainsAny('/', '\\', '\0'))
            throw new CheckpointException($"{index}: tensor {tensor} is said to be in \"{shard}\", which is no plain file name; shards must lie next to the index.");
        return shard;
    }
}
