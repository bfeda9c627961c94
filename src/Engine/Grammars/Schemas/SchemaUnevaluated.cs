using System.Text.Json;

namespace Conclave.Engine.Grammars;

/// <summary>
/// <c>unevaluatedProperties</c> and <c>unevaluatedItems</c>: what no keyword of the same schema, or of those within it that hold for the same value, has spoken of. Told when all
/// choices have been made, since only the ways taken speak. Of a way not taken that happens to fit as well nothing is known, which is narrower, never wider.
/// </summary>
internal static class SchemaUnevaluated
{
    /// <summary>Whether a keyword speaks of properties or elements.</summary>
    public static bool IsEvaluating(SchemaKeyword keyword) => keyword.Name is "properties" or "patternProperties" or "additionalProperties" or "unevaluatedProperties"
        or "prefixItems" or "items" or "additionalItems" or "unevaluatedItems" or "contains";

    /// <summary>The same demands without <see cref="SchemaFacts.Unevaluated"/>; no choices are left.</summary>
    /// <exception cref="OperatingException">They cannot be told.</exception>
    public static SchemaFacts Settle(SchemaFacts facts)
    {
        foreach (SchemaKeyword asking in facts.Unevaluated)
        {
            SchemaKeyword[] spoken = [.. facts.Evaluated.Where(keyword => keyword.Owner.Askers.Contains(asking.Owner.Path) && keyword.Path != asking.Path)];
            facts = asking.Name == "unevaluatedItems" ? Items(facts, asking, spoken) : Properties(facts, asking, spoken);
        }

        return facts.Unevaluated.Count == 0 ? facts : facts with { Unevaluated = [], Evaluated = [] };
    }

    private static SchemaFacts Properties(SchemaFacts facts, SchemaKeyword asking, SchemaKeyword[] spoken)
    {
        if (spoken.Any(keyword => keyword.Name is "additionalProperties" or "unevaluatedProperties"))
            return facts;
        HashSet<string> names = Names("properties"), patterns = Names("patternProperties");
        CharacterAutomaton[] matching = [.. patterns.Select(pattern => SchemaReader.Matching(facts, pattern, isWide: false))];
        return facts with
        {
            Properties = [.. facts.Properties.Select(property => names.Contains(property.Name) || matching.Any(pattern => pattern.Contains(property.Name)) ? property : And(property))],
            PatternProperties = [.. facts.PatternProperties.Select(pattern => patterns.Contains(pattern.Name) ? pattern : And(pattern))],
            Additional = (facts.Additional ?? new SchemaSources([])).And(asking.Schema),
        };

        HashSet<string> Names(string keywordName) => [.. spoken.Where(keyword => keyword.Name == keywordName).SelectMany(keyword => keyword.Members().Select(member => member.Name))];
        SchemaProperty And(SchemaProperty property) => property with { Sources = property.Sources.And(asking.Schema) };
    }

    private static SchemaFacts Items(SchemaFacts facts, SchemaKeyword asking, SchemaKeyword[] spoken)
    {
        if (spoken.Any(keyword => keyword.Name is "additionalItems" or "unevaluatedItems" || (keyword.Name == "items" && keyword.Value.ValueKind != JsonValueKind.Array)))
            return facts;
        if (spoken.Any(keyword => keyword.Name == "contains"))
            throw asking.Error("is not supported beside contains; use items");
        return facts.WithItems(spoken.Select(keyword => keyword.OwnPrefix(keyword.Name) ?? 0).DefaultIfEmpty(0).Max(), asking.Schema);
    }
}
