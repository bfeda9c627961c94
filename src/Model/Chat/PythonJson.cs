using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Conclave.Model.Chat;

/// <summary>
/// JSON text in the style of Python's <c>json.dumps(value, ensure_ascii=False)</c>, which the models were trained with: <c>", "</c> between items,
/// <c>": "</c> after keys, non-ASCII characters as they are, numbers as given.
/// </summary>
public static class PythonJson
{
    // Deep enough for any sensible schema or argument, shallow enough for recursion.
    private static readonly JsonDocumentOptions Options = new() { MaxDepth = 512 };

    /// <summary>Parses JSON text; null if it is not valid JSON.</summary>
    public static JsonElement? TryParse(string text)
    {
        try
        {
            using var document = JsonDocument.Parse(text, Options);
            return document.RootElement.Clone();
        }
        catch (Exception error) when (error is JsonException or ArgumentException)
        {
            // ArgumentException: an unpaired surrogate, which is not Unicode text at all.
            return null;
        }
    }

    /// <summary>Writes a value.</summary>
    public static string Write(JsonElement value)
    {
        var text = new StringBuilder();
        Write(text, value);
        return text.ToString();
    }

    /// <summary>Writes a string with its quotes. An unpaired surrogate, which no JSON text can hold, becomes U+FFFD.</summary>
    public static void WriteString(StringBuilder text, ReadOnlySpan<char> value)
    {
        text.Append('"');
        for (var i = 0; i < value.Length; i++)
        {
            var character = value[i];
            if (char.IsHighSurrogate(character) && i + 1 < value.Length && char.IsLowSurrogate(value[i + 1]))
            {
                text.Append(character).Append(value[++i]);
                continue;
            }

            _ = character switch
            {
                '"' => text.Append("\\\""),
                '\\' => text.Append("\\\\"),
                '\n' => text.Append("\\n"),
                '\r' => text.Append("\\r"),
                '\t' => text.Append("\\t"),
                '\b' => text.Append("\\b"),
                '\f' => text.Append("\\f"),
                < ' ' => text.Append(CultureInfo.InvariantCulture, $"\\u{(int)character:x4}"),
                _ => text.Append(char.IsSurrogate(character) ? '\uFFFD' : character),
            };
        }

        text.Append('"');
    }

    /// <summary>The properties of an object in the order given. Of a repeated name the first place and the last value count, as in a Python dict.</summary>
    internal static List<(string Name, JsonElement Value)> Properties(JsonElement value)
    {
        var properties = new List<(string, JsonElement)>();
        var places = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var property in value.EnumerateObject())
        {
            var name = Decode(() => property.Name);
            if (places.TryAdd(name, properties.Count)) properties.Add((name, property.Value));
            else properties[places[name]] = (name, property.Value);
        }

        return properties;
    }

    /// <summary>The text of a JSON string; null for any other kind of value.</summary>
    internal static string? StringOf(JsonElement value) => value.ValueKind == JsonValueKind.String ? Decode(() => value.GetString()!) : null;

    private static string Decode(Func<string> read)
    {
        try
        {
            return read();
        }
        catch (InvalidOperationException error)
        {
            throw new ChatFormatException("A JSON string holds an unpaired surrogate escape (\\ud800 to \\udfff), which is not text", innerException: error);
        }
    }

    private static void Write(StringBuilder text, JsonElement value)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.Object:
                WriteObject(text, value);
                break;
            case JsonValueKind.Array:
                WriteArray(text, value);
                break;
            case JsonValueKind.String:
                WriteString(text, StringOf(value));
                break;
            default:
                text.Append(value.GetRawText());
                break;
        }
    }

    private static void WriteObject(StringBuilder text, JsonElement value)
    {
        var separator = "{";
        foreach (var (name, item) in Properties(value))
        {
            text.Append(separator);
            WriteString(text, name);
            text.Append(": ");
            Write(text, item);
            separator = ", ";
        }

        text.Append(separator == "{" ? "{}" : "}");
    }

    private static void WriteArray(StringBuilder text, JsonElement value)
    {
        var separator = "[";
        foreach (var item in value.EnumerateArray())
        {
            text.Append(separator);
            Write(text, item);
            separator = ", ";
        }

        text.Append(separator == "[" ? "[]" : "]");
    }
}
