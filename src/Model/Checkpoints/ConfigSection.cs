using System.Globalization;
using System.Text.Json;

namespace Conclave.Model.Checkpoints;

/// <summary>Typed access to one JSON object of a configuration file; every error names the file and the full key. A null value counts as absent.</summary>
/// <param name="element">The object.</param>
/// <param name="file">Path for messages.</param>
/// <param name="prefix">Keys around this object, each followed by a dot.</param>
internal sealed class ConfigSection(JsonElement element, string file, string prefix = "")
{
    /// <summary>Whether <paramref name="key"/> is written at all, null included.</summary>
    public bool IsWritten(string key) => element.TryGetProperty(key, out _);

    /// <summary>Whether <paramref name="key"/> has a value other than null.</summary>
    public bool Has(string key) => TryGet(key, out _);

    /// <summary>An integer within bounds; without a fallback the key is required.</summary>
    public int Integer(string key, int min, int max, int? fallback = null)
    {
        if (!TryGet(key, out var value))
            return fallback ?? throw Missing(key, $"an integer from {min} to {max}");
        // Python writes 4096 and, after some conversions, 4096.0: both are the integer.
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetDouble(out var number) || number != Math.Floor(number) || number < min || number > max)
            throw Wrong(key, $"it must be an integer from {min} to {max}");
        return (int)number;
    }

    /// <summary>A finite number within bounds; without a fallback the key is required.</summary>
    public double Number(string key, double min, double max, double? fallback = null)
    {
        var range = string.Create(CultureInfo.InvariantCulture, $"a number from {min} to {max}");
        if (!TryGet(key, out var value))
            return fallback ?? throw Missing(key, range);
        if (value.ValueKind != JsonValueKind.Number || !value.TryGetDouble(out var number) || !(number >= min && number <= max))
            throw Wrong(key, $"it must be {range}");
        return number;
    }

    /// <summary>A truth value.</summary>
    public bool Boolean(string key, bool fallback)
    {
        if (!TryGet(key, out var value))
            return fallback;
        return value.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw Wrong(key, "it must be true or false"),
        };
    }

    /// <summary>One of the values of <paramref name="known"/>; without a fallback the key is required.</summary>
    public T OneOf<T>(string key, IReadOnlyDictionary<string, T> known, string? fallback = null)
    {
        var choices = string.Join(", ", known.Keys);
        if (!TryGet(key, out var value))
            return known[fallback ?? throw Missing(key, $"one of: {choices}")];
        if (value.ValueKind != JsonValueKind.String || !known.TryGetValue(value.GetString()!, out var found))
            throw Wrong(key, $"supported are: {choices}");
        return found;
    }

    /// <summary>One integer or a list of them; empty where absent.</summary>
    public IReadOnlyList<int> Integers(string key, int min, int max)
    {
        if (!TryGet(key, out var value))
            return [];
        if (value.ValueKind != JsonValueKind.Array)
            return [Integer(key, min, max)];
        var list = new List<int>();
        foreach (var item in value.EnumerateArray())
        {
            if (item.ValueKind != JsonValueKind.Number || !item.TryGetInt32(out var number) || number < min || number > max)
                throw Wrong(key, $"it must hold integers from {min} to {max}");
            list.Add(number);
        }
        return list;
    }

    /// <summary>The object under <paramref name="key"/>, null where absent.</summary>
    public ConfigSection? Section(string key)
    {
        if (!TryGet(key, out var value))
            return null;
        if (value.ValueKind != JsonValueKind.Object)
            throw Wrong(key, "it must be an object or null");
        return new ConfigSection(value, file, prefix + key + ".");
    }

    /// <summary>The error that <paramref name="key"/> has a value this program cannot honour.</summary>
    public CheckpointException Wrong(string key, string remedy) =>
        new($"{file}: {prefix}{key} is {(TryGet(key, out var value) ? Shown(value) : "absent")}; {remedy}.");

    private CheckpointException Missing(string key, string wanted) => new($"{file}: {prefix}{key} is missing; set it to {wanted}.");

    private bool TryGet(string key, out JsonElement value) =>
        element.TryGetProperty(key, out value) && value.ValueKind != JsonValueKind.Null;

    private static string Shown(JsonElement value)
    {
        var text = value.GetRawText();
        return text.Length <= 60 ? text : text[..60] + "...";
    }
}
