using System.Text.Json;

namespace Conclave.Engine.Grammars;

/// <summary>A schema's JSON, and what references in it point to.</summary>
internal sealed class SchemaDocument
{
    // Deeper than any text that a parser of common depth accepts could need.
    private static readonly JsonDocumentOptions Options = new() { MaxDepth = 128 };

    /// <summary>The schema that nothing fits.</summary>
    public static SchemaSource False { get; } = new(JsonSerializer.SerializeToElement(false), "false");

    private readonly Lazy<SchemaAnchors> _anchors;

    private SchemaDocument(JsonElement root)
    {
        Root = new SchemaSource(root, "#");
        _anchors = new Lazy<SchemaAnchors>(() => new SchemaAnchors(root));
    }

    /// <summary>The whole.</summary>
    public SchemaSource Root { get; }

    /// <exception cref="OperatingException">It is no JSON, or too long.</exception>
    public static SchemaDocument Parse(string text)
    {
        if (text.Length > GrammarSpec.MaxLength)
            throw new OperatingException(OperatingError.InvalidRequest, $"schema: has more than {GrammarSpec.MaxLength} characters");
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
        int hash = reference.IndexOf('#');
        string address = hash < 0 ? reference : reference[..hash];
        string fragment = hash < 0 ? "" : Uri.UnescapeDataString(reference[(hash + 1)..]);
        SchemaSource from = _anchors.Value.Find(address, path)
            ?? throw Error(path, $"'{reference}' cannot be resolved; only references within the schema, such as '#/$defs/name', are supported");
        if (fragment is not ("" or ['/', ..]))
            return _anchors.Value.FindAnchor(from, fragment) ?? throw Error(path, $"'{reference}' points to nothing, or to several anchors of that name");
        JsonElement at = from.Value;
        foreach (string part in fragment.Split('/').Skip(1))
        {
            string name = part.Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal);
            bool isFound = at.ValueKind == JsonValueKind.Object ? at.TryGetProperty(name, out at)
                : at.ValueKind == JsonValueKind.Array && int.TryParse(name, out int index) && index >= 0 && index < at.GetArrayLength() && (at = at[index]).ValueKind != JsonValueKind.Undefined;
            if (!isFound)
                throw Error(path, $"'{reference}' points to nothing");
        }

        return new SchemaSource(at, from.Path + fragment);
    }

    /// <summary>A name as part of a pointer.</summary>
    public static string Escape(string name) => name.Replace("~", "~0", StringComparison.Ordinal).Replace("/", "~1", StringComparison.Ordinal);

    public static OperatingException Error(string path, string problem) => GrammarError.At($"schema {path}", problem);
}
