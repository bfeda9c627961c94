using System.Text.Json;

namespace Conclave.Model.Checkpoints;

/// <summary>One checked entry of a safetensors header. Offsets count from the start of the data.</summary>
/// <param name="Name">Tensor name.</param>
/// <param name="DTypeName">Element type as written.</param>
/// <param name="DType">Element type, null where this program has no use for it.</param>
/// <param name="Shape">Dimensions.</param>
/// <param name="Begin">First byte.</param>
/// <param name="End">One past the last byte.</param>
internal sealed record SafetensorsEntry(string Name, string DTypeName, DType? DType, long[] Shape, long Begin, long End);

/// <summary>The JSON header of a safetensors file: names, types, shapes and offsets, which must cover the data exactly, without holes or overlaps.</summary>
internal static class SafetensorsHeader
{
    private static readonly JsonDocumentOptions Options = new() { AllowDuplicateProperties = false, MaxDepth = 16 };

    /// <summary>Parses and checks <paramref name="header"/>, which describes <paramref name="dataSizeBytes"/> bytes of data.</summary>
    public static IReadOnlyList<SafetensorsEntry> Parse(byte[] header, long dataSizeBytes, string path)
    {
        var entries = new List<SafetensorsEntry>();
        try
        {
            using var document = JsonDocument.Parse(header, Options);
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                throw new CheckpointException($"{path}: the header is not a JSON object; this is no safetensors file or a damaged one.");
            foreach (var property in document.RootElement.EnumerateObject())
            {
                if (property.Name != "__metadata__")
                    entries.Add(ParseEntry(property.Name, property.Value, dataSizeBytes, path));
            }
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            throw new CheckpointException($"{path}: the header is not valid JSON ({error.Message}); this is no safetensors file or a damaged one.", error);
        }
        CheckCoverage(entries, dataSizeBytes, path);
        return entries;
    }

    private static SafetensorsEntry ParseEntry(string name, JsonElement value, long dataSizeBytes, string path)
    {
        CheckpointException Error(string problem) => new($"{path}: tensor {name}: {problem}.");
        if (value.ValueKind != JsonValueKind.Object)
            throw Error("its header entry is not an object");
        if (!value.TryGetProperty("dtype", out var type) || type.ValueKind != JsonValueKind.String)
            throw Error("its dtype is missing or not a string");
        if (!TryIntegers(value, "shape", out var shape))
            throw Error("its shape is missing or not a list of non-negative integers");
        if (!TryIntegers(value, "data_offsets", out var offsets) || offsets.Length != 2 || offsets[0] > offsets[1])
            throw Error("its data_offsets are not two ascending integers");
        if (offsets[1] > dataSizeBytes)
            throw Error($"its data ends at byte {offsets[1]} but the file holds {dataSizeBytes}: out of range, or the file is truncated; download it again");
        var typeName = type.GetString()!;
        var size = offsets[1] - offsets[0];
        if (DTypes.BitSizes.TryGetValue(typeName, out var bits) && SizeBytes(shape, bits) != size)
            throw Error($"shape [{string.Join(", ", shape)}] of {typeName} does not take the {size} bytes of its data_offsets");
        return new SafetensorsEntry(name, typeName, DTypes.Parse(typeName), shape, offsets[0], offsets[1]);
    }

    /// <summary>Bytes of a tensor, null where that overflows or is no whole number.</summary>
    private static long? SizeBytes(long[] shape, int bits)
    {
        var total = (Int128)bits;
        if (shape.Contains(0))
            return 0;
        foreach (var dimension in shape)
        {
            total *= dimension;
            if (total > long.MaxValue)
                return null;
        }
        return total % 8 == 0 ? (long)(total / 8) : null;
    }

    private static bool TryIntegers(JsonElement value, string key, out long[] integers)
    {
        integers = [];
        if (!value.TryGetProperty(key, out var list) || list.ValueKind != JsonValueKind.Array)
            return false;
        integers = new long[list.GetArrayLength()];
        var count = 0;
        foreach (var item in list.EnumerateArray())
        {
            if (item.ValueKind != JsonValueKind.Number || !item.TryGetInt64(out integers[count]) || integers[count++] < 0)
                return false;
        }
        return true;
    }

    private static void CheckCoverage(List<SafetensorsEntry> entries, long dataSizeBytes, string path)
    {
        var position = 0L;
        SafetensorsEntry? previous = null;
        foreach (var entry in entries.OrderBy(entry => entry.Begin).ThenBy(entry => entry.End))
        {
            if (entry.Begin < position)
                throw new CheckpointException($"{path}: tensor {entry.Name} overlaps {previous!.Name}: it begins at byte {entry.Begin}, the other ends at {position}.");
            if (entry.Begin > position)
                throw new CheckpointException($"{path}: tensor {entry.Name} begins at byte {entry.Begin}, leaving a hole from {position} that the format forbids.");
            position = entry.End;
            previous = entry;
        }
        if (position != dataSizeBytes)
            throw new CheckpointException($"{path}: the file holds {dataSizeBytes} bytes of data, its tensors {position}; it is damaged or was written to twice.");
    }
}
