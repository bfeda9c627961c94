using System.Text.Json;

namespace Conclave.Engine.Grammars;

/// <summary>One keyword of a schema, read strictly.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Value">Its value.</param>
/// <param name="Path">Where it stands.</param>
/// <param name="Owner">The schema it belongs to.</param>
internal sealed record SchemaKeyword(string Name, JsonElement Value, string Path, SchemaSource Owner)
{
    /// <summary>The value as a schema.</summary>
    public SchemaSource Schema => new(Value, Path);

    /// <summary>Another keyword of the same schema, as a schema; null if there is none.</summary>
    public SchemaSource? Sibling(string name) =>
        Owner.Value.TryGetProperty(name, out JsonElement value) ? new SchemaSource(value, $"{Owner.Path}/{name}") : null;

    /// <summary>A schema for the same value as the owner's: who asks the owner what it speaks of asks it too.</summary>
    public SchemaSource InPlace(SchemaSource source) => source with { Askers = Owner.Askers };

    public OperatingException Error(string problem) => SchemaDocument.Error(Path, problem);

    public string String() => Value.ValueKind == JsonValueKind.String ? Value.GetString()! : throw Error("must be a string");

    /// <summary>A whole number from 0 on.</summary>
    public int Count() => Value.ValueKind == JsonValueKind.Number && Value.TryGetDouble(out double count) && count is >= 0 and <= int.MaxValue && count == Math.Floor(count)
        ? (int)count : throw Error("must be a whole number from 0 on");

    /// <summary>A whole number that another keyword of the same schema gives; null if there is none.</summary>
    public int? CountOf(string name) => Sibling(name) is { } sibling ? new SchemaKeyword(name, sibling.Value, sibling.Path, Owner).Count() : null;

    /// <summary>At least one element.</summary>
    public IReadOnlyList<SchemaSource> Elements()
    {
        if (Value.ValueKind != JsonValueKind.Array || Value.GetArrayLength() == 0)
            throw Error("must be a list with at least one element");
        return [.. Value.EnumerateArray().Select((element, index) => new SchemaSource(element, $"{Path}/{index}"))];
    }

    public IEnumerable<string> Strings() => Value.ValueKind == JsonValueKind.Array && Value.EnumerateArray().All(element => element.ValueKind == JsonValueKind.String)
        ? Value.EnumerateArray().Select(element => element.GetString()!) : throw Error("must be a list of strings");

    /// <summary>Number of elements that a list of schemas called <paramref name="name"/> in the same schema speaks of; null if there is no such list.</summary>
    public int? OwnPrefix(string name) => Owner.Value.TryGetProperty(name, out JsonElement list) && list.ValueKind == JsonValueKind.Array ? list.GetArrayLength() : null;

    /// <summary>An object's members, each a schema. Of a repeated name the last counts.</summary>
    public IEnumerable<(string Name, SchemaSource Source)> Members()
    {
        if (Value.ValueKind != JsonValueKind.Object)
            throw Error("must be an object");
        return Value.EnumerateObject().GroupBy(member => member.Name).Select(same => (same.Key, new SchemaSource(same.Last().Value, $"{Path}/{SchemaDocument.Escape(same.Key)}")));
    }
}
