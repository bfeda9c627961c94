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
/// <param name="IsNegated">What does not fit it is meant.</param>
internal sealed record SchemaSource(JsonElement Value, string Path, bool IsNegated = false)
{
    /// <summary>Paths, in order, of the schemas around it that ask by an <c>unevaluated</c> keyword what this one speaks of.</summary>
    public IReadOnlyList<string> Askers { get; init; } = [];

    /// <summary>The schema of what does not fit this one. What it speaks of counts for nobody.</summary>
    public SchemaSource Negated => this with { IsNegated = !IsNegated, Askers = [] };

    /// <summary>Equal for the same schema.</summary>
    public string Key => Askers.Count > 0 ? $"{Path}@{string.Join('@', Askers)}" : IsNegated ? $"!{Path}" : Path;
}

/// <summary>Schemas that a value must all fit.</summary>
internal sealed record SchemaSources(IReadOnlyList<SchemaSource> All)
{
    /// <summary>Equal for the same schemas in the same order.</summary>
    public string Key => string.Join('\n', All.Select(source => source.Key));

    /// <summary>The path of the first, for errors.</summary>
    public string Path => All.Count > 0 ? All[0].Path : "#";

    public static SchemaSources Of(SchemaSource source) => new([source]);

    public SchemaSources And(SchemaSource other) => All.Any(source => source.Key == other.Key) ? this : new([.. All, other]);
}

/// <summary>One of several ways to fit: some schemas, and what no schema of the document says.</summary>
/// <param name="Sources">Schemas to fit.</param>
/// <param name="Demand">Adds to facts what else is demanded; null: nothing.</param>
internal sealed record SchemaWay(SchemaSources Sources, Func<SchemaFacts, SchemaFacts>? Demand = null)
{
    public static SchemaWay Of(params SchemaSource[] sources) => new(new SchemaSources(sources));

    public static SchemaWay Of(Func<SchemaFacts, SchemaFacts> demand) => new(new SchemaSources([]), demand);
}

/// <summary>Elements that a list must have.</summary>
/// <param name="Source">What they fit.</param>
/// <param name="Min">How many at least.</param>
/// <param name="Max">How many at most; null: any number.</param>
internal sealed record SchemaContains(SchemaSource Source, int Min, int? Max);

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

    /// <summary>Values that it must not be.</summary>
    public IReadOnlyList<JsonElement> Excluded { get; init; } = [];

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

    /// <summary>No two elements are equal.</summary>
    public bool IsUnique { get; init; }

    public IReadOnlyList<SchemaContains> Contains { get; init; } = [];

    public int MinLength { get; init; }

    public int? MaxLength { get; init; }

    /// <summary>Expressions that a string must all match somewhere, with their paths; those of formats too.</summary>
    public IReadOnlyList<(string Pattern, string Path)> Patterns { get; init; } = [];

    /// <summary>The formats among them.</summary>
    public IReadOnlyList<string> Formats { get; init; } = [];

    /// <summary>Expressions that a string must match nowhere.</summary>
    public IReadOnlyList<(string Pattern, string Path)> NotPatterns { get; init; } = [];

    public NumberLimits Numbers { get; init; } = new();

    /// <summary>The <c>unevaluated</c> keywords, for when all choices have been made.</summary>
    public IReadOnlyList<SchemaKeyword> Unevaluated { get; init; } = [];

    /// <summary>Keywords that say something of properties or elements to those who ask.</summary>
    public IReadOnlyList<SchemaKeyword> Evaluated { get; init; } = [];

    /// <summary>Of each group at least one way must be taken too.</summary>
    public IReadOnlyList<IReadOnlyList<SchemaWay>> Choices { get; init; } = [];

    /// <summary>References that were followed.</summary>
    public IReadOnlyList<string> References { get; init; } = [];

    /// <summary>Those of them that were followed before a choice was taken.</summary>
    public IReadOnlyList<string> Ancestors { get; init; } = [];

    /// <summary>No value fits, as far as can be seen without looking at choices and parts.</summary>
    public bool IsHopeless => IsNever || Types == SchemaTypes.None || Values is [];

    /// <summary>These, and one more demand on a property.</summary>
    public SchemaFacts WithProperty(string name, SchemaSource source) => WithProperties([(name, source)]);

    /// <summary>These, and one more demand on each of some properties.</summary>
    public SchemaFacts WithProperties(IReadOnlyList<(string Name, SchemaSource Source)> added)
    {
        List<SchemaProperty> properties = [.. Properties];
        var known = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int i = 0; i < properties.Count; i++)
            known[properties[i].Name] = i;
        foreach ((string name, SchemaSource source) in added)
        {
            if (known.TryGetValue(name, out int index))
            {
                properties[index] = properties[index] with { Sources = properties[index].Sources.And(source) };
                continue;
            }

            known.Add(name, properties.Count);
            properties.Add(new SchemaProperty(name, Additional?.And(source) ?? SchemaSources.Of(source)));
        }

        return this with { Properties = properties };
    }

    /// <summary>These, and objects do not have this property.</summary>
    public SchemaFacts Without(string name) => WithProperty(name, SchemaDocument.False);

    /// <summary>What the element at <paramref name="index"/> must fit.</summary>
    public SchemaSources ItemAt(int index) => index < PrefixItems.Count ? PrefixItems[index] : Items ?? new SchemaSources([]);

    /// <summary>These, and one more demand on the elements from <paramref name="first"/> on.</summary>
    public SchemaFacts WithItems(int first, SchemaSource source) => this with
    {
        PrefixItems = [.. Enumerable.Range(0, Math.Max(first, PrefixItems.Count)).Select(i => i < first ? ItemAt(i) : ItemAt(i).And(source))],
        Items = Items?.And(source) ?? SchemaSources.Of(source),
    };

    /// <summary>These, of some types only.</summary>
    public SchemaFacts OfTypes(SchemaTypes types) => this with { Types = (Types ?? SchemaTypes.All) & types };
}
