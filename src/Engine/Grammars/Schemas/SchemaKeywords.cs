using System.Text.Json;

namespace Conclave.Engine.Grammars;

/// <summary>Reads keywords into facts. What restricts and is not known here is an error, never ignored.</summary>
internal sealed class SchemaKeywords(SchemaDocument document)
{
    // References that are being followed.
    private readonly HashSet<string> _active = [];

    /// <summary><paramref name="facts"/> and what <paramref name="source"/> demands beyond them.</summary>
    /// <exception cref="OperatingException">A keyword is wrong, unsupported, or contradicts the facts in a way that cannot be told; the message names its path.</exception>
    public SchemaFacts Add(SchemaFacts facts, SchemaSource source)
    {
        switch (source.Value.ValueKind)
        {
            case JsonValueKind.True:
                return facts;
            case JsonValueKind.False:
                return facts with { IsNever = true };
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

    private SchemaFacts Add(SchemaFacts facts, SchemaKeyword keyword) => keyword.Name switch
    {
        "type" => facts with { Types = (facts.Types ?? SchemaTypes.All) & ReadTypes(keyword) },
        "enum" => WithValues(facts, [.. keyword.Elements().Select(element => element.Value)]),
        "const" => WithValues(facts, [keyword.Value]),
        "$ref" => AddReference(facts, keyword),
        "allOf" => keyword.Elements().Aggregate(facts, Add),
        "anyOf" or "oneOf" => facts with { Choices = [.. facts.Choices, keyword.Elements()] },
        _ => AddObject(facts, keyword) ?? AddArray(facts, keyword) ?? AddScalar(facts, keyword) ?? Refuse(facts, keyword),
    };

    private SchemaFacts AddReference(SchemaFacts facts, SchemaKeyword keyword)
    {
        SchemaSource target = document.Resolve(keyword.String(), keyword.Path);
        if (_active.Contains(target.Path) || facts.Ancestors.Contains(target.Path))
            throw keyword.Error("refers to itself without an object or a list between");
        if (facts.References.Contains(target.Path))
            return facts;
        _active.Add(target.Path);
        facts = Add(facts with { References = [.. facts.References, target.Path] }, target);
        _active.Remove(target.Path);
        return facts;
    }

    private static SchemaTypes ReadTypes(SchemaKeyword keyword)
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

    private static SchemaFacts WithProperties(SchemaFacts facts, SchemaKeyword keyword)
    {
        // Names that earlier schemas do not know fall under their additionalProperties.
        List<SchemaProperty> properties = [.. facts.Properties];
        foreach ((string name, SchemaSource source) in keyword.Members())
        {
            int known = properties.FindIndex(property => property.Name == name);
            if (known >= 0)
                properties[known] = properties[known] with { Sources = properties[known].Sources.And(source) };
            else
                properties.Add(new SchemaProperty(name, facts.Additional?.And(source) ?? SchemaSources.Of(source)));
        }

        return facts with { Properties = properties };
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
            "uniqueItems" when keyword.Value.ValueKind == JsonValueKind.True => throw keyword.Error("is not supported; leave it out or use an enum"),
            _ => null,
        };
        return added is null ? null : added with { Implied = added.Implied | SchemaTypes.Array };
    }

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
                facts with { Patterns = [.. facts.Patterns, (pattern ?? throw keyword.Error($"'{keyword.String()}' is not supported; supported are {StringFormats.Names}"), keyword.Path)] },
            _ => null,
        };
        if (text is not null)
            return text with { Implied = text.Implied | SchemaTypes.String };
        NumberLimits? limits = SchemaNumbers.Add(facts.Numbers, keyword);
        return limits is null ? null : facts with { Numbers = limits, Implied = facts.Implied | SchemaTypes.Number };
    }

    private static SchemaFacts Refuse(SchemaFacts facts, SchemaKeyword keyword) => keyword.Name switch
    {
        "not" or "if" or "then" or "else" or "dependentRequired" or "dependentSchemas" or "dependencies" or "contains" or "minContains" or "maxContains"
            or "unevaluatedItems" or "unevaluatedProperties" or "$dynamicRef" or "$recursiveRef" or "disallow" or "extends" or "divisibleBy" =>
            throw keyword.Error("is not supported; leave it out or say it with other keywords"),

        // All others are annotations, or unknown, which JSON Schema treats alike.
        _ => facts,
    };

    private static SchemaSources And(SchemaSources? sources, SchemaSource source) => sources?.And(source) ?? SchemaSources.Of(source);
}
