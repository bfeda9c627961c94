using System.Text.Json;

namespace Conclave.Engine.Grammars;

/// <summary>
/// What does not fit a schema, as ways to break one of its keywords. Each way is exact or narrower, never wider; keywords that cannot be broken on purpose (formats, names
/// that no property declares) give none.
/// </summary>
internal sealed class SchemaNegation(SchemaKeywords keywords)
{
    /// <summary>The ways to break the schema that <paramref name="source"/> negates; none: it cannot be broken.</summary>
    /// <exception cref="OperatingException">A keyword is wrong, or nothing that could be broken is left.</exception>
    public IReadOnlyList<SchemaWay> Ways(SchemaSource source)
    {
        var ways = new List<SchemaWay>();
        bool isPartial = false;
        foreach (JsonProperty property in source.Value.EnumerateObject())
        {
            var keyword = new SchemaKeyword(property.Name, property.Value, $"{source.Path}/{SchemaDocument.Escape(property.Name)}", source with { IsNegated = false });
            IReadOnlyList<SchemaWay>? broken = Break(keyword);
            keywords.Count(keyword);
            isPartial |= broken is null;
            ways.AddRange(broken ?? []);
        }

        return ways.Count > 0 || !isPartial ? ways : throw SchemaDocument.Error(source.Path, "what does not fit this cannot be told; say it with other keywords");
    }

    /// <summary>Ways to break one keyword; empty if it demands nothing, null if there may be some that cannot be told.</summary>
    private IReadOnlyList<SchemaWay>? Break(SchemaKeyword keyword) => keyword.Name switch
    {
        "type" => BreakType(SchemaKeywords.ReadTypes(keyword)),
        "enum" => [SchemaWay.Of(facts => facts with { Excluded = [.. facts.Excluded, .. keyword.Elements().Select(element => element.Value)] })],
        "const" => [SchemaWay.Of(facts => facts with { Excluded = [.. facts.Excluded, keyword.Value] })],
        "$ref" or "$dynamicRef" or "$recursiveRef" => [SchemaWay.Of(facts => keywords.AddReference(facts, keyword, isNegated: true))],
        "allOf" => [.. keyword.Elements().Select(element => SchemaWay.Of(element.Negated))],
        "anyOf" => [SchemaWay.Of([.. keyword.Elements().Select(element => element.Negated)])],
        "oneOf" => [SchemaWay.Of([.. keyword.Elements().Select(element => element.Negated)]), .. Pairs(keyword.Elements())],
        "not" => [SchemaWay.Of(keyword.Schema)],
        "if" => BreakCondition(keyword),
        _ => BreakObject(keyword) ?? BreakArray(keyword) ?? BreakScalar(keyword) ?? (SchemaKeywords.IsRestricting(keyword) ? null : []),
    };

    private static SchemaWay[] BreakType(SchemaTypes types)
    {
        SchemaTypes others = SchemaTypes.All & ~types;
        if (types.HasFlag(SchemaTypes.Integer))
            others &= ~SchemaTypes.Number;
        List<SchemaWay> ways = others == SchemaTypes.None ? [] : [SchemaWay.Of(facts => facts.OfTypes(others))];

        // Numbers, but no whole ones.
        if ((types & SchemaTypes.Number) == SchemaTypes.Integer)
            ways.Add(SchemaWay.Of(facts => Broken(facts.OfTypes(SchemaTypes.Number), facts.Numbers with { NoMultiples = [.. facts.Numbers.NoMultiples.Union([1])] })));
        return [.. ways];
    }

    /// <summary>No number is whole and not whole at once.</summary>
    private static SchemaFacts Broken(SchemaFacts facts, NumberLimits limits) =>
        (facts.Types & SchemaTypes.Number) == SchemaTypes.Integer ? facts with { IsNever = true } : facts with { Numbers = limits };

    private static IEnumerable<SchemaWay> Pairs(IReadOnlyList<SchemaSource> branches)
    {
        for (int i = 0; i < branches.Count; i++)
        {
            for (int j = i + 1; j < branches.Count; j++)
                yield return SchemaWay.Of(branches[i], branches[j]);
        }
    }

    private static SchemaWay[] BreakCondition(SchemaKeyword keyword) =>
    [
        .. keyword.Sibling("then") is { } then ? [SchemaWay.Of(keyword.Schema, then.Negated)] : Array.Empty<SchemaWay>(),
        .. keyword.Sibling("else") is { } other ? [SchemaWay.Of(keyword.Schema.Negated, other.Negated)] : Array.Empty<SchemaWay>(),
    ];

    private static IReadOnlyList<SchemaWay>? BreakObject(SchemaKeyword keyword)
    {
        static SchemaFacts Having(SchemaFacts facts, string name) => facts.OfTypes(SchemaTypes.Object) with { Required = [.. facts.Required.Union([name])] };
        return keyword.Name switch
        {
            "properties" => [.. keyword.Members().Select(member => SchemaWay.Of(facts => Having(facts, member.Name).WithProperty(member.Name, member.Source.Negated)))],
            "required" => [.. keyword.Strings().Select(name => SchemaWay.Of(facts => facts.OfTypes(SchemaTypes.Object).Without(name)))],
            "minProperties" when keyword.Count() is var count => count == 0 ? []
                : [SchemaWay.Of(facts => facts.OfTypes(SchemaTypes.Object) with { MaxProperties = Math.Min(facts.MaxProperties ?? int.MaxValue, count - 1) })],
            "maxProperties" when keyword.Count() is var count =>
                [SchemaWay.Of(facts => facts.OfTypes(SchemaTypes.Object) with { MinProperties = Math.Max(facts.MinProperties, count + 1) })],
            "dependentRequired" => [.. keyword.Members().SelectMany(member => new SchemaKeyword(member.Name, member.Source.Value, member.Source.Path, keyword.Owner).Strings()
                .Select(needed => SchemaWay.Of(facts => Having(facts, member.Name).Without(needed))))],
            "dependentSchemas" => [.. keyword.Members().Select(member => new SchemaWay(SchemaSources.Of(member.Source.Negated), facts => Having(facts, member.Name)))],
            _ => null,
        };
    }

    private static IReadOnlyList<SchemaWay>? BreakArray(SchemaKeyword keyword) => keyword.Name switch
    {
        "minItems" when keyword.Count() is var count => count == 0 ? []
            : [SchemaWay.Of(facts => facts.OfTypes(SchemaTypes.Array) with { MaxItems = Math.Min(facts.MaxItems ?? int.MaxValue, count - 1) })],
        "maxItems" when keyword.Count() is var count => [SchemaWay.Of(facts => facts.OfTypes(SchemaTypes.Array) with { MinItems = Math.Max(facts.MinItems, count + 1) })],
        "items" when keyword.Value.ValueKind != JsonValueKind.Array && keyword.OwnPrefix("prefixItems") is { } prefix => [At(prefix, keyword.Schema)],
        "items" when keyword.Value.ValueKind != JsonValueKind.Array => [Containing(new SchemaContains(keyword.Schema.Negated, 1, null))],
        "prefixItems" or "items" => [.. keyword.Elements().Select((element, index) => At(index, element))],
        "contains" => BreakContains(keyword),
        _ => null,
    };

    /// <summary>Too few or too many.</summary>
    private static List<SchemaWay> BreakContains(SchemaKeyword keyword)
    {
        int min = keyword.CountOf("minContains") ?? 1;
        List<SchemaWay> ways = min == 0 ? [] : [Containing(new SchemaContains(keyword.Schema, 0, min - 1))];
        if (keyword.CountOf("maxContains") is { } max)
            ways.Add(Containing(new SchemaContains(keyword.Schema, max + 1, null)));
        return ways;
    }

    private static SchemaWay Containing(SchemaContains contains) => SchemaWay.Of(facts => facts.OfTypes(SchemaTypes.Array) with { Contains = [.. facts.Contains, contains] });

    /// <summary>There is an element at <paramref name="index"/>, and it does not fit.</summary>
    private static SchemaWay At(int index, SchemaSource source) => SchemaWay.Of(facts => facts.OfTypes(SchemaTypes.Array) with
    {
        MinItems = Math.Max(facts.MinItems, index + 1),
        PrefixItems = [.. Enumerable.Range(0, Math.Max(facts.PrefixItems.Count, index + 1)).Select(i => i == index ? facts.ItemAt(i).And(source.Negated) : facts.ItemAt(i))],
    });

    private static IReadOnlyList<SchemaWay>? BreakScalar(SchemaKeyword keyword) => keyword.Name switch
    {
        "minLength" when keyword.Count() is var count => count == 0 ? []
            : [SchemaWay.Of(facts => facts.OfTypes(SchemaTypes.String) with { MaxLength = Math.Min(facts.MaxLength ?? int.MaxValue, count - 1) })],
        "maxLength" when keyword.Count() is var count => [SchemaWay.Of(facts => facts.OfTypes(SchemaTypes.String) with { MinLength = Math.Max(facts.MinLength, count + 1) })],
        "pattern" => [SchemaWay.Of(facts => facts.OfTypes(SchemaTypes.String) with { NotPatterns = [.. facts.NotPatterns, (keyword.String(), keyword.Path)] })],
        "minimum" or "maximum" or "exclusiveMinimum" or "exclusiveMaximum" or "multipleOf" when SchemaNumbers.AddNegated(new NumberLimits(), keyword) is not null =>
            [SchemaWay.Of(facts => facts.OfTypes(SchemaTypes.Number) with { Numbers = SchemaNumbers.AddNegated(facts.Numbers, keyword)! })],
        _ => null,
    };
}
