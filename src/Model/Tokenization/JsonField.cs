using System.Globalization;
using System.Text.Json;

namespace Conclave.Model.Tokenization;

/// <summary>A JSON value that knows its file and key, so that every complaint can name them.</summary>
internal readonly record struct JsonField(string File, string Key, JsonElement Value)
{
    public bool IsNull => Value.ValueKind is JsonValueKind.Undefined or JsonValueKind.Null;

    public static JsonField Read(string path)
    {
        try
        {
            using var document = JsonDocument.Parse(System.IO.File.ReadAllBytes(path));
            return new JsonField(path, "", document.RootElement.Clone()).Object();
        }
        catch (JsonException e)
        {
            throw new CheckpointException($"{path}: not valid JSON: {e.Message}", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException($"{path}: cannot be read: {e.Message}", e);
        }
    }

    public JsonField this[string name]
        => new(File, Key.Length == 0 ? name : $"{Key}.{name}",
            Value.ValueKind == JsonValueKind.Object && Value.TryGetProperty(name, out var child) ? child : default);

    public JsonField Object() => Value.ValueKind == JsonValueKind.Object ? this : throw Error("must be an object");

    public IEnumerable<JsonField> Items()
    {
        if (Value.ValueKind != JsonValueKind.Array)
        {
            throw Error("must be an array");
        }

        var (file, key) = (File, Key);
        return Value.EnumerateArray().Select((item, i) => new JsonField(file, $"{key}[{i}]", item));
    }

    public string String()
    {
        try
        {
            return Value.ValueKind == JsonValueKind.String ? Value.GetString()! : throw Error("must be a string");
        }
        catch (InvalidOperationException)
        {
            // A lone surrogate, as an escape, passes the JSON parser.
            throw Error("must be valid Unicode");
        }
    }

    public bool Bool(bool fallback) => Value.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ when IsNull => fallback,
        _ => throw Error("must be true or false"),
    };

    public int Int()
        => Value.ValueKind == JsonValueKind.Number && Value.TryGetInt32(out var number)
            ? number
            : throw Error("must be a whole number");

    public int? OptionalInt() => IsNull ? null : Int();

    public double? OptionalNumber()
        => IsNull ? null
            : Value.ValueKind == JsonValueKind.Number && Value.TryGetDouble(out var number) ? number
            : throw Error("must be a number");

    public CheckpointException Error(string problem)
    {
        var found = Value.ValueKind switch
        {
            JsonValueKind.Undefined => "nothing",
            JsonValueKind.Object or JsonValueKind.Array => Value.ValueKind.ToString().ToLowerInvariant(),
            _ => Value.GetRawText(),
        };
        var shown = found.Length > 80 ? string.Create(CultureInfo.InvariantCulture, $"{found.AsSpan(0, 80)}...") : found;
        return new CheckpointException($"{File}: {(Key.Length == 0 ? "the root" : Key)} {problem} (found {shown})");
    }
}
