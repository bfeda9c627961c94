using System.Text.Json;

namespace Conclave.Engine.Grammars;

/// <summary>Whether a given value fits: for enumerated values, beside whatever other keywords.</summary>
internal sealed partial class SchemaReader
{
    private bool Fits(SchemaSources sources, JsonElement value) => Fits(Facts(sources), value);

    private bool Fits(SchemaFacts facts, JsonElement value)
    {
        if (facts.IsHopeless || (facts.Values is { } values && !values.Any(known => JsonElement.DeepEquals(known, value))) || facts.Excluded.Any(known => JsonElement.DeepEquals(known, value)))
            return false;
        bool fits = Allows(facts, facts.Types ?? SchemaTypes.All, value) && value.ValueKind switch
        {
            JsonValueKind.String => FitsText(facts, value.GetString()!),
            JsonValueKind.Array => FitsList(facts, [.. value.EnumerateArray()]),
            JsonValueKind.Object => FitsObject(facts, value),
            _ => true,
        };
        if (!fits || facts.Choices is not [var choice, ..])
            return fits;
        SchemaFacts others = WithoutFirstChoice(facts);
        return choice.Any(way => Fits(_keywords.Add(others, way), value));
    }

    private static bool FitsText(SchemaFacts facts, string text) =>
        facts is { Patterns.Count: 0, NotPatterns.Count: 0 } || Text(facts)!.Contains(text);

    private bool FitsList(SchemaFacts facts, JsonElement[] elements)
    {
        for (int i = 0; i < elements.Length; i++)
        {
            if ((i < facts.PrefixItems.Count ? facts.PrefixItems[i] : facts.Items) is { } sources && !Fits(sources, elements[i]))
                return false;
            if (facts.IsUnique && elements.AsSpan(0, i).ToArray().Any(other => JsonElement.DeepEquals(other, elements[i])))
                return false;
        }

        foreach (SchemaContains contains in facts.Contains)
        {
            if (elements.Count(element => Fits(SchemaSources.Of(contains.Source), element)) is var count && (count < contains.Min || count > contains.Max))
                return false;
            if (contains.Max is not null && elements.Any(element => !Fits(SchemaSources.Of(contains.Source), element) && !Fits(SchemaSources.Of(contains.Source.Negated), element)))
                return false;
        }

        return true;
    }

    private bool FitsObject(SchemaFacts facts, JsonElement value)
    {
        if (facts.Required.Any(name => !value.TryGetProperty(name, out _)))
            return false;
        SchemaFacts? allowed = facts.PropertyNames is { } names ? Facts(names) : null;
        foreach (JsonProperty member in value.EnumerateObject())
        {
            SchemaProperty property = facts.Properties.FirstOrDefault(property => property.Name == member.Name)
                ?? new SchemaProperty(member.Name, MatchesAny(facts, member.Name) ? new SchemaSources([]) : facts.Additional ?? new SchemaSources([]));
            if (!Fits(WithNameRules(facts, allowed, property), member.Value))
                return false;
        }

        return true;
    }
}
