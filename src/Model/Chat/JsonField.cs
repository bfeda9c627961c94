using System.Text.Json;

namespace Conclave.Model.Chat;

/// <summary>A JSON value and where it stands, so that an error can name the field.</summary>
/// <param name="Value">The value; undefined if the field is missing.</param>
/// <param name="Path">Such as <c>messages[1].content</c>; empty for the root.</param>
public readonly record struct JsonField(JsonElement Value, string Path)
{
    /// <summary>A field of this object; null if it is absent or null.</summary>
    public JsonField? this[string name] =>
        Value.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? new JsonField(value, PathOf(name)) : null;

    /// <summary>A field of this object that must be there.</summary>
    public JsonField Required(string name) => this[name] ?? throw new JsonField(default, PathOf(name)).Error("is required");

    /// <summary>Checks that this is an object, and returns it.</summary>
    public JsonField RequireObject() => Value.ValueKind == JsonValueKind.Object ? this : throw Error("must be an object");

    /// <summary>The items of this list.</summary>
    public IEnumerable<JsonField> Items()
    {
        if (Value.ValueKind == JsonValueKind.Undefined) throw Error("is required");
        if (Value.ValueKind != JsonValueKind.Array) throw Error("must be a list");
        var path = Path;
        return Value.EnumerateArray().Select((item, index) => new JsonField(item, $"{path}[{index}]"));
    }

    /// <summary>The text of this string.</summary>
    public string String()
    {
        if (Value.ValueKind != JsonValueKind.String) throw Error("must be a string");
        try
        {
            return Value.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw Error("holds an unpaired surrogate escape (\\ud800 to \\udfff), which is not text");
        }
    }

    /// <summary>The value of this boolean.</summary>
    public bool Bool() => Value.ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => throw Error("must be true or false"),
    };

    /// <summary>The value of this number, finite.</summary>
    public double Number() =>
        Value.ValueKind == JsonValueKind.Number && Value.TryGetDouble(out double number) && double.IsFinite(number) ? number : throw Error("must be a finite number");

    /// <summary>The value of this integer.</summary>
    public long Integer() =>
        Value.ValueKind == JsonValueKind.Number && Value.TryGetInt64(out long number) ? number : throw Error("must be an integer");

    /// <summary>An error about this field.</summary>
    public ChatFormatException Error(string problem) =>
        new(Path.Length == 0 ? $"The request {problem}" : $"{Path}: {problem}", Path.Length == 0 ? null : Path);

    private string PathOf(string name) => Path.Length == 0 ? name : $"{Path}.{name}";
}
