using System.Text.Json;

namespace Conclave.Engine.Grammars;

/// <summary>Reads keywords into facts. What restricts and is not known here is an error, never ignored.</summary>
internal sealed class SchemaKeywords
{
    // Each pair of branches is looked at.
    private const int MaxOneOf = 200;

    // Keywords read, those read again in another combination included: more takes longer than anybody would wait.
    private const int MaxRead = 200_000;

    private readonly SchemaDocument _document;
    private readonly SchemaNegation _negation;

    // References that are being followed.
    private readonly HashSet<string> _active = [];
    private int _readCount;

    public SchemaKeywords(SchemaDocument document) => (_document, _negation) = (document, new SchemaNegation(this));

    /// <summary><paramref name="facts"/> and what a way demands.</summary>
    /// <exception cref="OperatingException">A keyword is wrong, unsupported, or contradicts the facts in a way that cannot be told; the message names its path.</exception>
    public SchemaFacts Add(SchemaFacts facts, SchemaWay way)
    {
        foreach (SchemaSource source in way.Sources.All)
            facts = Add(facts, source);
        return way.Demand is { } demand ? demand(facts) : facts;
    }

    /// <summary><paramref name="facts"/> and what <paramref name="source"/> demands beyond them.</summary>
    /// <exception cref="OperatingException">A keyword is wrong, unsupported, or contradicts the facts in a way that cannot be told; the message names its path.</exception>
    public SchemaFacts Add(SchemaFacts facts, SchemaSource source)
    {
        switch (source.Value.ValueKind)
        {
            case JsonValueKind.True or JsonValueKind.False:
                return (source.Value.ValueKind == JsonValueKind.True) == source.IsNegated ? facts with { IsNever = true } : facts;
            case JsonValueKind.Object when source.IsNegated:
                return Choose(facts, _negation.Ways(source));
            case JsonValueKind.Object:
                break;
            default:
                throw SchemaDocument.Error(source.Path, "must be a schema: an object, true or false");
        }

        // What other keywords refer to goes first. (OrderBy keeps the order of the others.)
        foreach (JsonProperty keyword in source.Value.EnumerateObject().OrderBy(keyword => keyword.Name is "properties" or "prefixItems" ? 0 : 1))
            facts = Add(facts, new SchemaKeyword(keyword.Name, keyword.Value, $"{source.Path}/{SchemaDocument.Escape(keyword.Name)}", source));
        return facts;
    }

    private SchemaFacts Add(SchemaFacts facts, SchemaKeyword keyword)
    {
        Count(keyword);
        return Read(facts, keyword);
    }

    /// <summary>Counts what takes time.</summary>
    /// <exception cref="OperatingException">It takes too long.</exception>
    public void Count(SchemaKeyword keyword)
    {
        if (++_readCount > MaxRead)
            throw keyword.Error("the schema combines its parts in too many ways; make it simpler");
    }

    private SchemaFacts Read(SchemaFacts facts, SchemaKeyword keyword) => keyword.Name switch
    {
        "type" => facts with { Types = (facts.Types ?? SchemaTypes.All) & ReadTypes(keyword) },
        "enum" => WithValues(facts, [.. keyword.Elements().Select(element => element.Value)]),
        "const" => WithValues(facts, [keyword.Value]),
        "$ref" => AddReference(facts, keyword, isNegated: false),
        "allOf" => keyword.Elements().Aggregate(facts, Add),
        "anyOf" => Choose(facts, [.. keyword.Elements().Select(element => SchemaWay.Of(element))]),
        "oneOf" => Choose(facts, ExactlyOne(keyword)),
        "not" => Add(facts, keyword.Schema.Negated),
        "if" => AddCondition(facts, keyword),
        _ => AddObject(facts, keyword) ?? AddDependencies(facts, keyword) ?? AddArray(facts, keyword) ?? AddScalar(facts, keyword)
            ?? (IsRestricting(keyword) ? throw keyword.Error("is not supported; leave it out or say it with other keywords") : facts),
    };

    /// <summary><paramref name="facts"/> and one of <paramref name="ways"/>.</summary>
    private SchemaFacts Choose(SchemaFacts facts, IReadOnlyList<SchemaWay> ways) => ways switch
    {
        [] => facts with { IsNever = true },
        [{ Demand: not null } only] => Add(facts, only),
        _ => facts with { Choices = [.. facts.Choices, ways] },
    };

    /// <summary>The branches of a <c>oneOf</c>, each without what fits another one too; where two have nothing in common nothing needs to be said.</summary>
    private IReadOnlyList<SchemaWay> ExactlyOne(SchemaKeyword keyword)
    {
        IReadOnlyList<SchemaSource> branches = keyword.Elements();
        if (branches.Count > MaxOneOf)
            throw keyword.Error($"has more than {MaxOneOf} branches; use anyOf, or an enum");
        var ways = branches.Select(branch => new List<SchemaSource> { branch }).ToArray();
        for (int i = 0; i < branches.Count; i++)
        {
            for (int j = i + 1; j < branches.Count; j++)
            {
                if (AreDisjoint(new SchemaSources([branches[i], branches[j]]), depth: 3))
                    continue;
                ways[i].Add(branches[j].Negated);
                ways[j].Add(branches[i].Negated);
            }
        }

        return [.. ways.Select(way => SchemaWay.Of([.. way]))];
    }

    /// <summary>Whether it is plain that no value fits all: by their types, values or bounds, or those of a property that all objects have.</summary>
    private bool AreDisjoint(SchemaSources sources, int depth)
    {
        SchemaFacts facts;
        try
        {
            facts = sources.All.Aggregate(new SchemaFacts { Path = sources.Path }, Add);
        }
        catch (OperatingException)
        {
            // What cannot be said at once may yet be said one by one.
            return false;
        }

        SchemaTypes types = facts.Types ?? SchemaTypes.All;
        return facts.IsHopeless
            || (facts.Values is { } values && !values.Any(value => SchemaReader.Allows(facts, types, value)))
            || ((types & ~SchemaTypes.Number) == 0 && facts.Numbers.IsEmpty)
            || (types == SchemaTypes.String && (facts.MinLength > facts.MaxLength || StringFormats.AreExclusive(facts.Formats)))
            || (types == SchemaTypes.Array && facts.MinItems > facts.MaxItems)
            || (types == SchemaTypes.Object && depth > 0 && facts.Properties.Any(property => facts.Required.Contains(property.Name) && AreDisjoint(property.Sources, depth - 1)));
    }

    private SchemaFacts AddCondition(SchemaFacts facts, SchemaKeyword keyword)
    {
        SchemaSource? then = keyword.Sibling("then"), other = keyword.Sibling("else");
        return then is null && other is null ? facts : Choose(facts,
        [
            SchemaWay.Of(then is null ? [keyword.Schema] : [keyword.Schema, then]),
            SchemaWay.Of(other is null ? [keyword.Schema.Negated] : [keyword.Schema.Negated, other]),
        ]);
    }

    /// <summary>Follows a reference, or (<paramref name="isNegated"/>) demands what does not fit what it leads to.</summary>
    public SchemaFacts AddReference(SchemaFacts facts, SchemaKeyword keyword, bool isNegated)
    {
        SchemaSource target = _document.Resolve(keyword.String(), keyword.Path) with { IsNegated = isNegated };
        if (_active.Contains(target.Key) || facts.Ancestors.Contains(target.Key))
            throw keyword.Error("refers to itself without an object or a list between");
        if (facts.References.Contains(target.Key))
            return facts;
        _active.Add(target.Key);
        facts = Add(facts with { References = [.. facts.References, target.Key] }, target);
        _active.Remove(target.Key);
        return facts;
    }

    /// <summary>The types that <c>type</c> names, with null where <c>nullable</c> says so.</summary>
    public static SchemaTypes ReadTypes(SchemaKeyword keyword)
    {
        SchemaTypes types = SchemaTypes.None;
        foreach (SchemaSource name in keyword.Value.ValueKind == JsonValueKind.Array ? keyword.Elements() : [new SchemaSource(keyword.Value, keyword.Path)])
        {
            types |= (name.Value.ValueKind == JsonValueKind.String ? name.Value.GetString() : null) switch
            {
                "null" => SchemaTypes.Null,
                "boolean" => SchemaTypes.Boolean,
                "object" => SchemaTypes.Object,
                "array" => SchemaTypes.Array,
                "integer" => SchemaTypes.Integer,
                "number" => SchemaTypes.Number,
                "string" => SchemaTypes.String,
                _ => throw SchemaDocument.Error(name.Path, "must be 'null', 'boolean', 'object', 'array', 'integer', 'number' or 'string'"),
            };
        }

        bool isNullable = keyword.Owner.Value.TryGetProperty("nullable", out JsonElement nullable) && nullable.ValueKind == JsonValueKind.True;
        return isNullable ? types | SchemaTypes.Null : types;
    }

    private static SchemaFacts WithValues(SchemaFacts facts, IReadOnlyList<JsonElement> values) => facts with
    {
        Values = facts.Values is null ? values : [.. facts.Values.Where(known => values.Any(value => JsonElement.DeepEquals(known, value)))],
    };

    private static SchemaFacts? AddObject(SchemaFacts facts, SchemaKeyword keyword)
    {
        SchemaFacts? added = keyword.Name switch
        {
            "properties" => WithProperties(facts, keyword),
            "required" => facts with { Required = [.. facts.Required.Union(keyword.Strings())] },
            "additionalProperties" => WithAdditional(facts, keyword),
            "propertyNames" => facts with { PropertyNames = And(facts.PropertyNames, keyword.Schema) },
            "patternProperties" => facts with { PatternProperties = [.. facts.PatternProperties, .. keyword.Members().Select(member => new SchemaProperty(member.Name, SchemaSources.Of(member.Source)))] },
            "minProperties" => facts with { MinProperties = Math.Max(facts.MinProperties, keyword.Count()) },
            "maxProperties" => facts with { MaxProperties = Math.Min(facts.MaxProperties ?? int.MaxValue, keyword.Count()) },
            _ => null,
        };
        return added is null ? null : added with { Implied = added.Implied | SchemaTypes.Object };
    }

    /// <summary>A property that is there brings others, or a schema, with it.</summary>
    private SchemaFacts? AddDependencies(SchemaFacts facts, SchemaKeyword keyword)
    {
        if (keyword.Name is not ("dependentRequired" or "dependentSchemas" or "dependencies"))
            return null;
        foreach ((string name, SchemaSource source) in keyword.Members())
        {
            bool isList = keyword.Name == "dependentRequired" || source.Value.ValueKind == JsonValueKind.Array;
            string[] needed = isList ? [.. new SchemaKeyword(name, source.Value, source.Path, keyword.Owner).Strings()] : [];
            SchemaWay then = isList ? SchemaWay.Of(known => known with { Required = [.. known.Required.Union(needed)] }) : SchemaWay.Of(source);
            facts = Choose(facts, [SchemaWay.Of(known => known.Without(name)), then]);
        }

        return facts with { Implied = facts.Implied | SchemaTypes.Object };
    }

    private static SchemaFacts WithProperties(SchemaFacts facts, SchemaKeyword keyword)
    {
        foreach ((string name, SchemaSource source) in keyword.Members())
            facts = facts.WithProperty(name, source);
        return facts;
    }

    private static SchemaFacts WithAdditional(SchemaFacts facts, SchemaKeyword keyword)
    {
        // It speaks of names that its own schema does not know, though others may.
        var own = keyword.Owner.Value.TryGetProperty("properties", out JsonElement names) && names.ValueKind == JsonValueKind.Object
            ? names.EnumerateObject().Select(member => member.Name).ToHashSet() : [];
        return facts with
        {
            Properties = [.. facts.Properties.Select(property => own.Contains(property.Name) ? property : property with { Sources = property.Sources.And(keyword.Schema) })],
            Additional = And(facts.Additional, keyword.Schema),
        };
    }

    private static SchemaFacts? AddArray(SchemaFacts facts, SchemaKeyword keyword)
    {
        SchemaFacts? added = keyword.Name switch
        {
            "prefixItems" => WithPrefix(facts, keyword),
            "items" when keyword.Value.ValueKind == JsonValueKind.Array => WithPrefix(facts, keyword),
            "items" when facts.PrefixItems.Count > 0 && !keyword.Owner.Value.TryGetProperty("prefixItems", out _) => throw keyword.Error("cannot be combined with the prefixItems of another schema"),
            "items" => facts with { Items = And(facts.Items, keyword.Schema) },
            "additionalItems" => keyword.Owner.Value.TryGetProperty("items", out JsonElement items) && items.ValueKind == JsonValueKind.Array
                ? facts with { Items = And(facts.Items, keyword.Schema) } : facts,
            "minItems" => facts with { MinItems = Math.Max(facts.MinItems, keyword.Count()) },
            "maxItems" => facts with { MaxItems = Math.Min(facts.MaxItems ?? int.MaxValue, keyword.Count()) },
            "uniqueItems" => facts with { IsUnique = facts.IsUnique || keyword.Value.ValueKind == JsonValueKind.True },
            "contains" => facts with { Contains = [.. facts.Contains, new SchemaContains(keyword.Schema, CountOf(keyword, "minContains") ?? 1, CountOf(keyword, "maxContains"))] },
            _ => null,
        };
        return added is null ? null : added with { Implied = added.Implied | SchemaTypes.Array };
    }

    private static int? CountOf(SchemaKeyword keyword, string name) =>
        keyword.Sibling(name) is { } sibling ? new SchemaKeyword(name, sibling.Value, sibling.Path, keyword.Owner).Count() : null;

    private static SchemaFacts WithPrefix(SchemaFacts facts, SchemaKeyword keyword) => facts.PrefixItems.Count == 0 && facts.Items is null
        ? facts with { PrefixItems = [.. keyword.Elements().Select(SchemaSources.Of)] }
        : throw keyword.Error("cannot be combined with the items of another schema");

    private static SchemaFacts? AddScalar(SchemaFacts facts, SchemaKeyword keyword)
    {
        SchemaFacts? text = keyword.Name switch
        {
            "minLength" => facts with { MinLength = Math.Max(facts.MinLength, keyword.Count()) },
            "maxLength" => facts with { MaxLength = Math.Min(facts.MaxLength ?? int.MaxValue, keyword.Count()) },
            "pattern" => facts with { Patterns = [.. facts.Patterns, (keyword.String(), keyword.Path)] },
            "format" when StringFormats.Find(keyword.String(), out bool isAnnotation) is var pattern && !isAnnotation =>
                facts with { Formats = [.. facts.Formats, keyword.String()], Patterns = [.. facts.Patterns, (pattern ?? throw keyword.Error($"'{keyword.String()}' is not supported; supported are {StringFormats.Names}"), keyword.Path)] },
            _ => null,
        };
        if (text is not null)
            return text with { Implied = text.Implied | SchemaTypes.String };
        NumberLimits? limits = SchemaNumbers.Add(facts.Numbers, keyword);
        return limits is null ? null : facts with { Numbers = limits, Implied = facts.Implied | SchemaTypes.Number };
    }

    /// <summary>A keyword that restricts and is not known here. All others are annotations, or unknown, which JSON Schema treats alike.</summary>
    public static bool IsRestricting(SchemaKeyword keyword) => keyword.Name is "additionalProperties" or "patternProperties" or "propertyNames" or "prefixItems" or "items" or "additionalItems"
        or "contains" or "uniqueItems" or "dependencies" or "minimum" or "maximum" or "exclusiveMinimum" or "exclusiveMaximum"
        or "unevaluatedItems" or "unevaluatedProperties" or "$dynamicRef" or "$recursiveRef" or "disallow" or "extends" or "divisibleBy"
        || (keyword.Name == "format" && (StringFormats.Find(keyword.String(), out bool isAnnotation) is not null || !isAnnotation));

    private static SchemaSources And(SchemaSources? sources, SchemaSource source) => sources?.And(source) ?? SchemaSources.Of(source);
}
