using System.Runtime.CompilerServices;
using System.Text.Json;

namespace Conclave.Engine.Grammars;

/// <summary>Reads keywords into facts. What restricts and is not known here is an error, never ignored.</summary>
internal sealed class SchemaKeywords
{
    // Each pair of branches is looked at.
    private const int MaxOneOf = 200;

    // Of these each is told from the other.
    private const int MaxOverlaps = 3000;

    // Keywords read, those read again in another combination included: more takes longer than anybody would wait.
    private const int MaxRead = 200_000;

    // Properties that take as long as a keyword.
    private const int PropertiesPerRead = 16;

    // For one value. Nobody writes more; each is carried along.
    private const int MaxReferences = 256;

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

        if (source.Value.TryGetProperty("unevaluatedProperties", out _) || source.Value.TryGetProperty("unevaluatedItems", out _))
            source = source with { Askers = [.. source.Askers.Union([source.Path]).Order(StringComparer.Ordinal)] };

        // What other keywords refer to goes first. (OrderBy keeps the order of the others.)
        foreach (JsonProperty keyword in source.Value.EnumerateObject().OrderBy(IsReferredTo))
            facts = Add(facts, new SchemaKeyword(keyword.Name, keyword.Value, $"{source.Path}/{SchemaDocument.Escape(keyword.Name)}", source));
        return facts;
    }

    private static int IsReferredTo(JsonProperty keyword) =>
        keyword.Name is "properties" or "patternProperties" or "prefixItems" || (keyword.Name == "items" && keyword.Value.ValueKind == JsonValueKind.Array) ? 0 : 1;

    private SchemaFacts Add(SchemaFacts facts, SchemaKeyword keyword)
    {
        Count(keyword, 1 + (facts.Properties.Count / PropertiesPerRead));
        facts = Read(facts, keyword);
        return keyword.Owner.Askers.Count > 0 && SchemaUnevaluated.IsEvaluating(keyword) ? facts with { Evaluated = [.. facts.Evaluated, keyword] } : facts;
    }

    /// <summary>Counts what takes time.</summary>
    /// <exception cref="OperatingException">It takes too long.</exception>
    public void Count(SchemaKeyword keyword, int count = 1)
    {
        if ((_readCount += count) > MaxRead)
            throw keyword.Error("the schema combines its parts in too many ways; make it simpler");
        EnsureShallow(keyword.Path);
    }

    /// <summary>What a thread's stack cannot hold is an error, not the end of the process.</summary>
    /// <exception cref="OperatingException">The stack is almost full.</exception>
    public static void EnsureShallow(string path)
    {
        if (!RuntimeHelpers.TryEnsureSufficientExecutionStack())
            throw SchemaDocument.Error(path, "parts are nested too deep here; make the schema simpler");
    }

    private SchemaFacts Read(SchemaFacts facts, SchemaKeyword keyword) => keyword.Name switch
    {
        "type" => facts with { Types = (facts.Types ?? SchemaTypes.All) & ReadTypes(keyword) },
        "enum" => WithValues(facts, [.. keyword.Elements().Select(element => element.Value)]),
        "const" => WithValues(facts, [keyword.Value]),
        "$ref" or "$dynamicRef" or "$recursiveRef" => AddReference(facts, keyword, isNegated: false),
        "allOf" => keyword.Elements().Select(keyword.InPlace).Aggregate(facts, Add),
        "anyOf" => Choose(facts, [.. keyword.Elements().Select(element => SchemaWay.Of(keyword.InPlace(element)))]),
        "oneOf" => Choose(facts, ExactlyOne(keyword)),
        "not" => Add(facts, keyword.Schema.Negated),
        "if" => AddCondition(facts, keyword),
        "unevaluatedProperties" => facts with { Unevaluated = [.. facts.Unevaluated, keyword], Implied = facts.Implied | SchemaTypes.Object },
        "unevaluatedItems" => facts with { Unevaluated = [.. facts.Unevaluated, keyword], Implied = facts.Implied | SchemaTypes.Array },
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
        var ways = branches.Select(branch => new List<SchemaSource> { keyword.InPlace(branch) }).ToArray();
        int overlaps = 0;
        for (int i = 0; i < branches.Count; i++)
        {
            for (int j = i + 1; j < branches.Count; j++)
            {
                if (AreDisjoint(new SchemaSources([branches[i], branches[j]]), depth: 3))
                    continue;
                if (++overlaps > MaxOverlaps)
                    throw keyword.Error("has too many branches that are not plainly different; use anyOf, or give each a property with a const of its own");
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
        if (then is null && other is null && keyword.Owner.Askers.Count == 0)
            return facts;
        SchemaSource condition = keyword.InPlace(keyword.Schema);
        return Choose(facts,
        [
            SchemaWay.Of(then is null ? [condition] : [condition, keyword.InPlace(then)]),
            SchemaWay.Of(other is null ? [condition.Negated] : [condition.Negated, keyword.InPlace(other)]),
        ]);
    }

    /// <summary>Follows a reference, or (<paramref name="isNegated"/>) demands what does not fit what it leads to.</summary>
    public SchemaFacts AddReference(SchemaFacts facts, SchemaKeyword keyword, bool isNegated)
    {
        SchemaSource target = keyword.InPlace(_document.Resolve(keyword.String(), keyword.Path));
        if (isNegated)
            target = target.Negated;
        if (_active.Contains(target.Key) || facts.Ancestors.Contains(target.Key))
            throw keyword.Error("refers to itself without an object or a list between");
        if (facts.References.Contains(target.Key))
            return facts;
        if (facts.References.Count >= MaxReferences)
            throw keyword.Error($"more than {MaxReferences} references are followed for one value; make the schema simpler");
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

    private static SchemaFacts WithValues(SchemaFacts facts, IReadOnlyList<JsonElement> values)
    {
        if (facts.Values is null)
            return facts with { Values = values };
        var keys = values.Select(JsonKey.Of).ToHashSet(StringComparer.Ordinal);
        return facts with { Values = [.. facts.Values.Where(known => keys.Contains(JsonKey.Of(known)))] };
    }

    private static SchemaFacts? AddObject(SchemaFacts facts, SchemaKeyword keyword)
    {
        SchemaFacts? added = keyword.Name switch
        {
            "properties" => facts.WithProperties([.. keyword.Members()]),
            "required" => facts with { Required = [.. facts.Required.Union(keyword.Strings())] },
            "additionalProperties" => WithAdditional(facts, keyword),
            "propertyNames" => facts with { PropertyNames = And(facts.PropertyNames, keyword.Schema) },

            // What others say of additional names they say of these too.
            "patternProperties" => facts with { PatternProperties = [.. facts.PatternProperties, .. keyword.Members().Select(member => new SchemaProperty(member.Name, And(facts.Additional, member.Source)))] },
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

            // Where the property is not there the schema must not speak of others: unevaluatedProperties would hear it.
            SchemaWay then = isList ? SchemaWay.Of(known => Requiring(known, needed)) : new SchemaWay(SchemaSources.Of(keyword.InPlace(source)), known => Requiring(known, [name]));
            facts = Choose(facts, [SchemaWay.Of(known => known.Without(name)), then]);
        }

        return facts with { Implied = facts.Implied | SchemaTypes.Object };

        static SchemaFacts Requiring(SchemaFacts known, string[] names) => known with { Required = [.. known.Required.Union(names)] };
    }

    private static SchemaFacts WithAdditional(SchemaFacts facts, SchemaKeyword keyword)
    {
        // It speaks of names that its own schema does not know, though others may.
        HashSet<string> own = Names("properties"), patterns = Names("patternProperties");
        return facts with
        {
            Properties = [.. facts.Properties.Select(property => own.Contains(property.Name) ? property : property with { Sources = property.Sources.And(keyword.Schema) })],
            PatternProperties = [.. facts.PatternProperties.Select(pattern => patterns.Contains(pattern.Name) ? pattern : pattern with { Sources = pattern.Sources.And(keyword.Schema) })],
            Additional = And(facts.Additional, keyword.Schema),
        };

        HashSet<string> Names(string name) => keyword.Owner.Value.TryGetProperty(name, out JsonElement names) && names.ValueKind == JsonValueKind.Object
            ? [.. names.EnumerateObject().Select(member => member.Name)] : [];
    }

    private static SchemaFacts? AddArray(SchemaFacts facts, SchemaKeyword keyword)
    {
        SchemaFacts? added = keyword.Name switch
        {
            "prefixItems" => WithPrefix(facts, keyword),
            "items" when keyword.Value.ValueKind == JsonValueKind.Array => WithPrefix(facts, keyword),
            "items" => facts.WithItems(keyword.OwnPrefix("prefixItems") ?? 0, keyword.Schema),
            "additionalItems" => keyword.OwnPrefix("items") is { } prefix ? facts.WithItems(prefix, keyword.Schema) : facts,
            "minItems" => facts with { MinItems = Math.Max(facts.MinItems, keyword.Count()) },
            "maxItems" => facts with { MaxItems = Math.Min(facts.MaxItems ?? int.MaxValue, keyword.Count()) },
            "uniqueItems" => facts with { IsUnique = facts.IsUnique || keyword.Value.ValueKind == JsonValueKind.True },
            "contains" => facts with { Contains = [.. facts.Contains, new SchemaContains(keyword.Schema, keyword.CountOf("minContains") ?? 1, keyword.CountOf("maxContains"))] },
            _ => null,
        };
        return added is null ? null : added with { Implied = added.Implied | SchemaTypes.Array };
    }

    private static SchemaFacts WithPrefix(SchemaFacts facts, SchemaKeyword keyword)
    {
        IReadOnlyList<SchemaSource> own = keyword.OwnPrefix(keyword.Name) == 0 ? [] : keyword.Elements();
        return facts with
        {
            PrefixItems = [.. Enumerable.Range(0, Math.Max(own.Count, facts.PrefixItems.Count)).Select(i => i < own.Count ? facts.ItemAt(i).And(own[i]) : facts.ItemAt(i))],
        };
    }

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
