using System.Text.Json;

namespace Conclave.Engine.Grammars;

/// <summary>A schema's JSON, and what references in it point to.</summary>
internal sealed class SchemaDocument
{
    // Deeper than any text that a parser of common depth accepts could need.
    private static readonly JsonDocumentOptions Options = new() { MaxDepth = 128 };

    /// <summary>The schema that nothing fits.</summary>
    public static SchemaSource False { get; } = new(JsonSerializer.SerializeToElement(false), "false");

    // Each is looked at, some more than once.
    private const int MaxLength = 4_000_000;

    private SchemaDocument(JsonElement root) => Root = new SchemaSource(root, "#");

    /// <summary>The whole.</summary>
    public SchemaSource Root { get; }

    /// <exception cref="OperatingException">It is no JSON, or too long.</exception>
    public static SchemaDocument Parse(string text)
    {
        if (text.Length > MaxLength)
            throw new OperatingException(OperatingError.InvalidRequest, $"schema: has more than {MaxLength} characters");
        try
        {
            using var document = JsonDocument.Parse(text, Options);
            return new SchemaDocument(document.RootElement.Clone());
        }
        catch (Exception error) when (error is JsonException or ArgumentException)
        {
            throw new OperatingException(OperatingError.InvalidRequest, $"schema: is not JSON: {error.Message}", error);
        }
    }

    /// <summary>The schema that a <c>$ref</c> at <paramref name="path"/> points to; its path is the pointer itself, so that equal ones are known as equal.</summary>
    /// <exception cref="OperatingException">It points nowhere, or outside.</exception>
    public SchemaSource Resolve(string reference, string path)
    {
        if (reference is not ("#" or ['#', '/', ..]))
            throw Error(path, $"'{reference}' cannot be resolved; only references within the schema, such as '#/$defs/name', are supported");
        JsonElement at = Root.Value;
        foreach (string part in reference.Split('/').Skip(1))
        {
            string name = Uri.UnescapeDataString(part).Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal);
            bool isFound = at.ValueKind == JsonValueKind.Object ? at.TryGetProperty(name, out at)
                : at.ValueKind == JsonValueKind.Array && int.TryParse(name, out int index) && index >= 0 && index < at.GetArrayLength() && (at = at[index]).ValueKind != JsonValueKind.Undefined;
            if (!isFound)
                throw Error(path, $"'{reference}' points to nothing");
        }

        return new SchemaSource(at, reference);
    }

    /// <summary>A name as part of a pointer.</summary>
    public static string Escape(string name) => name.Replace("~", "~0", StringComparison.Ordinal).Replace("/", "~1", StringComparison.Ordinal);

    public static OperatingException Error(string path, string problem) => GrammarError.At($"schema {path}", problem);
}
