using System.Text.Json;

namespace Conclave.Engine.Grammars;

/// <summary>Objects.</summary>
internal sealed partial class SchemaReader
{
    // Their names fall into as many sets as these have subsets.
    private const int MaxPatterns = 4;

    /// <summary>The properties that an object may or must have, in order: those declared, then those that are only required or only allowed by name. Of one that no object has the sources hold false.</summary>
    /// <exception cref="OperatingException">What names must be cannot be told.</exception>
    public IReadOnlyList<(SchemaProperty Property, bool IsRequired)> Properties(SchemaFacts facts)
    {
        SchemaFacts? allowed = facts.PropertyNames is { } names ? Facts(names) : null;
        IEnumerable<string> named = allowed?.Values?.Where(value => value.ValueKind == JsonValueKind.String).Select(value => value.GetString()!) ?? [];
        SchemaSources undeclared = facts.Additional ?? new SchemaSources([]);
        var properties = facts.Properties.ToList();
        foreach (string name in facts.Required.Concat(named).Distinct())
        {
            if (properties.All(property => property.Name != name))
                properties.Add(new SchemaProperty(name, MatchesAny(facts, name) ? new SchemaSources([]) : undeclared));
        }

        return [.. properties.Select(property => (property with { Sources = WithNameRules(facts, allowed, property) }, facts.Required.Contains(property.Name)))];
    }

    private static bool MatchesAny(SchemaFacts facts, string name) => facts.PatternProperties.Any(pattern => Matching(facts, pattern, isWide: true).Contains(name));

    /// <summary>What a property must fit, its name considered.</summary>
    private SchemaSources WithNameRules(SchemaFacts facts, SchemaFacts? allowed, SchemaProperty property)
    {
        SchemaSources sources = property.Sources;
        foreach (SchemaProperty pattern in facts.PatternProperties)
        {
            if (Matching(facts, pattern, isWide: true).Contains(property.Name))
                sources = pattern.Sources.All.Aggregate(sources, (all, source) => all.And(source));
        }

        return allowed is null || Fits(allowed, JsonSerializer.SerializeToElement(property.Name)) ? sources : sources.And(SchemaDocument.False);
    }

    private Node OfObject(SchemaFacts facts)
    {
        if (facts.Excluded.Any(value => value.ValueKind == JsonValueKind.Object && value.EnumerateObject().Any()))
            throw SchemaDocument.Error(facts.Path, "'not' of an object that is given member by member is not supported");
        int min = Math.Max(facts.MinProperties, facts.Excluded.Any(value => value.ValueKind == JsonValueKind.Object) ? 1 : 0);
        IReadOnlyList<(SchemaProperty Property, bool IsRequired)> properties = Properties(facts);
        if (min > (facts.MaxProperties ?? int.MaxValue) || properties.Any(property => property.IsRequired && IsFalse(property.Property.Sources)))
            return Node.Never;
        if (facts.MaxProperties == 0)
            return properties.Any(property => property.IsRequired) ? Node.Never : _json.Object(Node.Never, mayBeEmpty: true);
        var members = properties.Where(property => !IsFalse(property.Property.Sources))
            .Select(property => new ChainMember(_json.Member(JsonNodes.StringOf(property.Property.Name), Of(property.Property.Sources)), property.IsRequired)).ToList();
        Node? other = OtherMembers(facts, [.. properties.Select(property => property.Property.Name)]);

        // Names that nobody declares may be repeated, and then count once only.
        if (min > members.Count + (other is null ? 0 : 1))
        {
            return other is null ? Node.Never
                : throw SchemaDocument.Error($"{facts.Path}/minProperties", $"is supported up to {members.Count + 1} here, one more than properties that are declared; declare more, or use required");
        }

        return _json.Object(ObjectChain.Of(members, other, _json.Comma, min, Cap(facts.MaxProperties, min, MaxWrittenItems), $"schema {facts.Path}"), mayBeEmpty: min == 0 && !members.Any(member => member.IsRequired));
    }

    /// <summary>Any member that has none of <paramref name="names"/>; null if there is none.</summary>
    private Node? OtherMembers(SchemaFacts facts, IReadOnlyList<string> names)
    {
        bool isDeclaring = facts.PatternProperties.Count > 0 || facts.Properties.Any(property => !IsFalse(property.Sources)) || facts.Required.Count > 0;
        SchemaSources? additional = facts.Additional ?? (isDeclaring ? null : new SchemaSources([]));
        SchemaFacts? allowed = facts.PropertyNames is { } rule ? Facts(rule) : null;
        if (allowed is { Values: not null } or { IsHopeless: true } || (allowed?.Types is { } types && !types.HasFlag(SchemaTypes.String)))
            return null;
        if (allowed?.Choices.Count > 0)
            throw SchemaDocument.Error(allowed.Path, "must be a schema of strings without alternatives");
        CharacterAutomaton? name = allowed is null ? null : Text(allowed);
        if (names.Count > 0)
            name = Both(name, CharacterAutomaton.OfTexts(names, facts.Path).Complement());
        if (facts.PatternProperties.Count > MaxPatterns)
            throw SchemaDocument.Error($"{facts.Path}/patternProperties", $"is supported with up to {MaxPatterns} patterns");

        var members = new List<Node>();
        for (int subset = 0; subset < 1 << facts.PatternProperties.Count; subset++)
        {
            SchemaSources? sources = subset == 0 ? additional : new SchemaSources([]);
            CharacterAutomaton? matching = name;
            for (int i = 0; i < facts.PatternProperties.Count && sources is not null; i++)
            {
                SchemaProperty pattern = facts.PatternProperties[i];
                bool isMatched = (subset >> i & 1) != 0;
                matching = Both(matching, isMatched ? Matching(facts, pattern, isWide: false) : Matching(facts, pattern, isWide: true).Complement());
                sources = isMatched ? pattern.Sources.All.Aggregate(sources, (all, source) => all.And(source)) : sources;
            }

            if (sources is not null && !IsFalse(sources))
                members.Add(_json.Member(matching is null ? _json.String : Quoted(matching.ToNode(Character)), Of(sources)));
        }

        return members.Count == 0 ? null : Node.Any([.. members]);

        CharacterAutomaton Both(CharacterAutomaton? first, CharacterAutomaton second) => first is null ? second : CharacterAutomaton.Both(first, second, facts.Path);
    }

    /// <summary>Names that match the pattern of a property, in all dialects or (<paramref name="isWide"/>) in any.</summary>
    private static CharacterAutomaton Matching(SchemaFacts facts, SchemaProperty pattern, bool isWide) => CharacterAutomaton.Of(
        RegexReader.ReadSearch(pattern.Name, $"schema {facts.Path}/patternProperties", set => new Node.Character(set), isWide), facts.Path);

    private static bool IsFalse(SchemaSources sources) => sources.All.Any(source => source.Value.ValueKind == (source.IsNegated ? JsonValueKind.True : JsonValueKind.False));
}
