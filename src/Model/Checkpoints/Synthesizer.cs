using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Conclave.Model.Checkpoints;

/// <summary>
/// Writes checkpoints of any configuration with random weights, official names and a trivial tokenizer, for load tests. Weights stream to
/// disk in constant memory and depend on seed, tensor name and position only. Deviations keep activations near one.
/// </summary>
public static class Synthesizer
{
    /// <summary>Largest data of one file, about that of the published shards.</summary>
    public const long DefaultShardSizeBytes = 4_000_000_000;

    private const int PieceSizeBytes = 1 << 20;

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    /// <summary>Bytes of all tensors, the total of the progress reports.</summary>
    /// <param name="config">The architecture.</param>
    /// <param name="weights"><see cref="DType.BF16"/> or <see cref="DType.F8E4M3"/>.</param>
    public static long SizeBytes(ModelConfig config, DType weights) => Plan(config, weights).Sum(tensor => tensor.Spec.SizeBytes);

    /// <summary>Writes a checkpoint into <paramref name="outputDirectory"/>, which must be empty or absent.</summary>
    /// <param name="configPath">A <c>config.json</c>; it is copied with its quantization made to fit <paramref name="weights"/>.</param>
    /// <param name="seed">Of the weights.</param>
    /// <param name="weights">Type of the large matrices: <see cref="DType.BF16"/>, or <see cref="DType.F8E4M3"/> in blocks.</param>
    /// <param name="outputDirectory">Where to write.</param>
    /// <param name="progress">Told the bytes written so far, about every megabyte.</param>
    /// <param name="cancellation">Stops between two pieces; what is written stays and is not a readable checkpoint.</param>
    /// <param name="shardSizeBytes">Files are closed before their data exceeds this (a larger single tensor gets its own).</param>
    /// <exception cref="CheckpointException">The configuration is not usable, or the directory is not empty or not writable.</exception>
    public static void Write(
        string configPath,
        ulong seed,
        DType weights,
        string outputDirectory,
        IProgress<long>? progress = null,
        CancellationToken cancellation = default,
        long shardSizeBytes = DefaultShardSizeBytes)
    {
        var config = ModelConfig.LoadFile(configPath);
        try
        {
            if (Directory.Exists(outputDirectory) && Directory.EnumerateFileSystemEntries(outputDirectory).Any())
                throw new CheckpointException($"{outputDirectory}: the directory is not empty; name a new one, so that old and new files do not mix.");
            Directory.CreateDirectory(outputDirectory);
            WriteConfig(configPath, weights, outputDirectory);
            SyntheticTokenizer.Write(config, outputDirectory);
            WriteShards(Shards(Plan(config, weights), shardSizeBytes), seed, outputDirectory, progress, cancellation);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException($"{outputDirectory}: cannot be written: {error.Message}", error);
        }
    }

    private static void WriteConfig(string source, DType weights, string directory)
    {
        var root = JsonNode.Parse(File.ReadAllText(source))!.AsObject();
        root.Remove("quantization_config");
        root["torch_dtype"] = "bfloat16";
        if (weights == DType.F8E4M3)
        {
            root["quantization_config"] = new JsonObject
            {
                ["activation_scheme"] = "dynamic",
                ["fmt"] = "e4m3",
                ["quant_method"] = "fp8",
                ["weight_block_size"] = new JsonArray(TensorCatalog.QuantizationBlock, TensorCatalog.QuantizationBlock),
            };
        }
        File.WriteAllText(Path.Combine(directory, "config.json"), root.ToJsonString(Indented) + "\n");
    }

    /// <summary>Every tensor to write, in order; the block scales of an FP8 matrix follow it.</summary>
    private static List<PlannedTensor> Plan(ModelConfig config, DType weights)
    {
        if (weights is not (DType.BF16 or DType.F8E4M3))
            throw new ArgumentOutOfRangeException(nameof(weights), weights, "Weights are synthesized in BF16 or F8_E4M3.");
        var plan = new List<PlannedTensor>();
        foreach (var tensor in TensorCatalog.Stored(config))
        {
            var type = TensorCatalog.StoredType(tensor.Role, weights);
            var (mean, deviation) = Distribution(tensor);
            plan.Add(new PlannedTensor(new TensorSpec(tensor.Name, type, tensor.Shape), mean, deviation));
            if (type != DType.F8E4M3)
                continue;
            var scale = RandomWeights.BlockScale(deviation);
            plan.Add(new PlannedTensor(new TensorSpec(TensorCatalog.ScaleName(tensor.Name), DType.F32, TensorCatalog.ScaleShape(tensor.Shape)), scale, scale / 16));
        }
        return plan;
    }

    private static (float Mean, float Deviation) Distribution(ExpectedTensor tensor) => tensor.Role switch
    {
        TensorRole.Scale => (1, 0.05f),
        TensorRole.Bias => (0, 0.01f),
        _ when tensor.Kind == TensorKind.Embedding || tensor.SharedWith == TensorCatalog.Embedding => (0, 1),
        _ => (0, 1 / MathF.Sqrt(tensor.Shape[1])),
    };

    private static List<List<PlannedTensor>> Shards(List<PlannedTensor> plan, long shardSizeBytes)
    {
        var shards = new List<List<PlannedTensor>> { new() };
        var size = 0L;
        foreach (var tensor in plan)
        {
            if (size > 0 && size + tensor.Spec.SizeBytes > shardSizeBytes)
            {
                shards.Add([]);
                size = 0;
            }
            shards[^1].Add(tensor);
            size += tensor.Spec.SizeBytes;
        }
        return shards;
    }

    private static void WriteShards(List<List<PlannedTensor>> shards, ulong seed, string directory, IProgress<long>? progress, CancellationToken cancellation)
    {
        var written = 0L;
        var map = new JsonObject();
        for (var i = 0; i < shards.Count; i++)
        {
            var name = shards.Count == 1 ? "model.safetensors" : $"model-{i + 1:D5}-of-{shards.Count:D6}.safetensors";
            using var writer = new SafetensorsWriter(Path.Combine(directory, name), [.. shards[i].Select(tensor => tensor.Spec)]);
            foreach (var tensor in shards[i])
            {
                map[tensor.Spec.Name] = name;
                WriteTensor(writer, tensor, seed, cancellation, pieceSizeBytes => progress?.Report(written += pieceSizeBytes));
            }
            writer.Complete();
        }
        if (shards.Count == 1)
            return;
        var index = new JsonObject { ["metadata"] = new JsonObject { ["total_size"] = shards.Sum(shard => shard.Sum(tensor => tensor.Spec.SizeBytes)) }, ["weight_map"] = map };
        File.WriteAllText(Path.Combine(directory, "model.safetensors.index.json"), index.ToJsonString(Indented) + "\n");
    }

    private static void WriteTensor(SafetensorsWriter writer, PlannedTensor tensor, ulong seed, CancellationToken cancellation, Action<int> report)
    {
        var (spec, mean, deviation) = tensor;
        var weights = new RandomWeights(seed, spec.Name);
        var elementSizeBytes = spec.DType.SizeBytes();
        var buffer = new byte[Math.Min(PieceSizeBytes, spec.SizeBytes)];
        for (var offset = 0L; offset < spec.SizeBytes; offset += buffer.Length)
        {
            cancellation.ThrowIfCancellationRequested();
            var piece = buffer.AsSpan(0, (int)Math.Min(buffer.Length, spec.SizeBytes - offset));
            var first = offset / elementSizeBytes;
            if (spec.DType == DType.F8E4M3)
                weights.FillE4M3(first, piece);
            else if (spec.DType == DType.BF16)
                weights.FillBFloat16(first, MemoryMarshal.Cast<byte, ushort>(piece), mean, deviation);
            else
                weights.Fill(first, MemoryMarshal.Cast<byte, float>(piece), mean, deviation);
            writer.Write<byte>(piece);
            report(piece.Length);
        }
    }

    /// <summary>A tensor to write; mean and deviation do not concern FP8 codes, whose scales carry the size.</summary>
    private sealed record PlannedTensor(TensorSpec Spec, float Mean, float Deviation);
}
