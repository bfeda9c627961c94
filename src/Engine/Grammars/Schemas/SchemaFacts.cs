using System.Text.Json;

namespace Conclave.Engine.Grammars;

/// <summary>The types of JSON Schema. A number may be whole, so <see cref="Number"/> contains <see cref="Integer"/>.</summary>
[Flags]
internal enum SchemaTypes
{
    None = 0,
    Null = 1,
    Boolean = 2,
    Object = 4,
    Array = 8,
    Integer = 16,
    Number = Integer | 32,
    String = 64,
    All = Null | Boolean | Object | Array | Number | String,
}

/// <summary>A schema somewhere in the document.</summary>
/// <param name="Value">Its JSON.</param>
/// <param name="Path">Where it stands, as a JSON pointer after <c>#</c>.</param>
internal sealed record SchemaSource(JsonElement Value, string Path);

/// <summary>Schemas that a value must all fit.</summary>
internal sealed record SchemaSources(IReadOnlyList<SchemaSource> All)
{
    /// <summary>Equal for the same schemas in the same order.</summary>
    public string Key => string.Join('\n', All.Select(source => source.Path));

    /// <summary>The path of the first, for errors.</summary>
    public string Path => All.Count > 0 ? All[0].Path : "#";

    public static SchemaSources Of(SchemaSource source) => new([source]);

    public SchemaSources And(SchemaSource other) => All.Any(source => source.Path == other.Path) ? this : new([.. All, other]);
}

/// <summary>A property with all that is demanded of it.</summary>
internal sealed record SchemaProperty(string Name, SchemaSources Sources);

/// <summary>Everything that one or more schemas together demand of a value. What is null or empty demands nothing.</summary>
internal sealed record SchemaFacts
{
    /// <summary>Where the first of them stands.</summary>
    public required string Path { get; init; }

    /// <summary>No value fits.</summary>
    public bool IsNever { get; init; }

    public SchemaTypes? Types { get; init; }

    /// <summary>Types that keywords speak of, where <c>type</c> does not say.</summary>
    public SchemaTypes Implied { get; init; }

    /// <summary>The only values.</summary>
    public IReadOnlyList<JsonElement>? Values { get; init; }

    /// <summary>In the order of their first mention.</summary>
    public IReadOnlyList<SchemaProperty> Properties { get; init; } = [];

    public IReadOnlyList<string> Required { get; init; } = [];

    /// <summary>Of properties that <see cref="Properties"/> does not name; null: the schemas do not say.</summary>
    public SchemaSources? Additional { get; init; }

    public SchemaSources? PropertyNames { get; init; }

    /// <summary>Of a property whose name matches, by pattern.</summary>
    public IReadOnlyList<SchemaProperty> PatternProperties { get; init; } = [];

    public int MinProperties { get; init; }

    public int? MaxProperties { get; init; }

    public IReadOnlyList<SchemaSources> PrefixItems { get; init; } = [];

    /// <summary>Of elements behind <see cref="PrefixItems"/>.</summary>
    public SchemaSources? Items { get; init; }

    public int MinItems { get; init; }

    public int? MaxItems { get; init; }

    public int MinLength { get; init; }

    public int? MaxLength { get; init; }

    /// <summary>Expressions that a string must all match somewhere, with their paths; those of formats too.</summary>
    public IReadOnlyList<(string Pattern, string Path)> Patterns { get; init; } = [];

    public NumberLimits Numbers { get; init; } = new();

    /// <summary>Of each group at least one schema must fit too.</summary>
    public IReadOnlyList<IReadOnlyList<SchemaSource>> Choices { get; init; } = [];

    /// <summary>References that were followed.</summary>
    public IReadOnlyList<string> References { get; init; } = [];

    /// <summary>Those of them that were followed before a choice was taken.</summary>
    public IReadOnlyList<string> Ancestors { get; init; } = [];
}
