using System.Text.Json;

namespace Conclave.Engine.Grammars;

/// <summary>Names that references may use: the <c>$id</c> of a schema within the document, and the <c>$anchor</c> or <c>$dynamicAnchor</c> of a part of it.</summary>
internal sealed class SchemaAnchors
{
    // Relative names need something that they are relative to.
    private static readonly Uri Nowhere = new("https://schema.invalid/");

    // Their values are no schemas.
    private static readonly string[] Data = ["const", "enum", "default", "examples"];

    // By path, and by address.
    private readonly Dictionary<string, (Uri Address, JsonElement Value)> _resources = [];
    private readonly Dictionary<Uri, string> _paths = [];

    // By path of the resource and name; null: there are several.
    private readonly Dictionary<(string Resource, string Name), SchemaSource?> _anchors = [];

    public SchemaAnchors(JsonElement root)
    {
        Add("#", Nowhere, root);
        Walk(root, "#", "#");
    }

    /// <summary>The schema that <paramref name="address"/> names where it stands at <paramref name="path"/>, or the one around that place if it is empty; null if there is none.</summary>
    public SchemaSource? Find(string address, string path)
    {
        string around = path;
        while (!_resources.ContainsKey(around))
            around = around[..around.LastIndexOf('/')];
        if (address.Length > 0 && (!Uri.TryCreate(_resources[around].Address, address, out Uri? uri) || !_paths.TryGetValue(uri, out around!)))
            return null;
        return new SchemaSource(_resources[around].Value, around);
    }

    /// <summary>The part of <paramref name="resource"/> with an anchor of this name; null if there is none, or several.</summary>
    public SchemaSource? FindAnchor(SchemaSource resource, string name) => _anchors.GetValueOrDefault((resource.Path, name));

    private void Walk(JsonElement value, string path, string resource)
    {
        if (value.ValueKind == JsonValueKind.Array)
        {
            int index = 0;
            foreach (JsonElement element in value.EnumerateArray())
                Walk(element, $"{path}/{index++}", resource);
        }

        if (value.ValueKind != JsonValueKind.Object)
            return;
        if (Text(value, "$id") is { Length: > 0 } id)
        {
            if (id[0] == '#')
                AddAnchor(resource, id[1..], value, path);
            else if (Uri.TryCreate(_resources[resource].Address, id.Split('#')[0], out Uri? address))
                Add(resource = path, address, value);
        }

        foreach (string keyword in (string[])["$anchor", "$dynamicAnchor"])
        {
            if (Text(value, keyword) is { } name)
                AddAnchor(resource, name, value, path);
        }

        foreach (JsonProperty member in value.EnumerateObject())
        {
            if (!Data.Contains(member.Name, StringComparer.Ordinal))
                Walk(member.Value, $"{path}/{SchemaDocument.Escape(member.Name)}", resource);
        }
    }

    private static string? Text(JsonElement schema, string keyword) =>
        schema.TryGetProperty(keyword, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private void Add(string path, Uri address, JsonElement value)
    {
        _resources[path] = (address, value);
        _paths.TryAdd(address, path);
    }

    private void AddAnchor(string resource, string name, JsonElement value, string path)
    {
        if (!_anchors.TryAdd((resource, name), new SchemaSource(value, path)) && _anchors[(resource, name)]?.Path != path)
            _anchors[(resource, name)] = null;
    }
}
