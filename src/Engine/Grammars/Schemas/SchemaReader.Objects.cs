using System.Text.Json;

namespace Conclave.Engine.Grammars;

/// <summary>Objects.</summary>
internal sealed partial class SchemaReader
{
    // Their names fall into as many sets as these have subsets.
    private const int MaxPatterns = 4;

    private const int MaxProperties = 8000;

    // Their subsets are states.
    private const int MaxNameClasses = 6;

    /// <summary>The properties that an object may or must have, in order: those declared, then those that are only required or only allowed by name. Of one that no object has the sources hold false.</summary>
    /// <exception cref="OperatingException">What names must be cannot be told.</exception>
    public IReadOnlyList<(SchemaProperty Property, bool IsRequired)> Properties(SchemaFacts facts)
    {
        SchemaFacts? allowed = facts.PropertyNames is { } names ? Facts(names) : null;
        IEnumerable<string> named = allowed?.Values?.Where(value => value.ValueKind == JsonValueKind.String).Select(value => value.GetString()!) ?? [];
        SchemaSources undeclared = facts.Additional ?? new SchemaSources([]);
        var properties = facts.Properties.ToList();
        var known = properties.Select(property => property.Name).ToHashSet(StringComparer.Ordinal);
        var required = facts.Required.ToHashSet(StringComparer.Ordinal);
        Pattern[] patterns = Patterns(facts);
        if (known.Count + required.Count > MaxProperties)
            throw SchemaDocument.Error(facts.Path, $"more than {MaxProperties} properties are named; use additionalProperties, or lists");
        foreach (string name in facts.Required.Concat(named).Where(known.Add))
            properties.Add(new SchemaProperty(name, patterns.Any(pattern => pattern.Names.Contains(name)) ? new SchemaSources([]) : undeclared));
        return [.. properties.Select(property => (property with { Sources = WithNameRules(patterns, allowed, property) }, required.Contains(property.Name)))];
    }

    private static Pattern[] Patterns(SchemaFacts facts) => facts.PatternProperties.Count <= MaxPatterns
        ? [.. facts.PatternProperties.Select(pattern => new Pattern(pattern, Matching(facts, pattern.Name, isWide: true)))]
        : throw SchemaDocument.Error($"{facts.Path}/patternProperties", $"is supported with up to {MaxPatterns} patterns; join some by '|', or say it with additionalProperties");

    /// <summary>What a property must fit, its name considered.</summary>
    private SchemaSources WithNameRules(Pattern[] patterns, SchemaFacts? allowed, SchemaProperty property)
    {
        SchemaSources sources = property.Sources;
        foreach ((SchemaProperty pattern, CharacterAutomaton names) in patterns)
        {
            if (names.Contains(property.Name))
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
        string[] names = [.. properties.Select(property => property.Property.Name)];
        Node? other = OtherMembers(facts, names);

        if (other is null && min > members.Count)
            return Node.Never;

        // Names that nobody declares may be repeated, and then count once only. Of those in different classes each counts.
        int free = Math.Max(0, min - members.Count(member => member.IsRequired));
        Node[] others = other is null ? [] : free < 2 ? [other] : Classes(facts, names, free);
        return _json.Object(ObjectChain.Of(members, others, _json.Comma, min, Cap(facts.MaxProperties, min, MaxWrittenItems), $"schema {facts.Path}"), mayBeEmpty: min == 0 && !members.Any(member => member.IsRequired));
    }

    /// <summary>Members that nobody declares, by classes of their names; each name is of one.</summary>
    private Node[] Classes(SchemaFacts facts, IReadOnlyList<string> names, int needed)
    {
        if (needed > MaxNameClasses)
            throw SchemaDocument.Error($"{facts.Path}/minProperties", $"is supported up to {MaxNameClasses} more than properties that are required; use required");
        return [.. Enumerable.Range(0, MaxNameClasses).Select(remainder => OtherMembers(facts, names, CharacterAutomaton.OfRemainder(remainder, MaxNameClasses, facts.Path))!)];
    }

    /// <summary>Any member that has none of <paramref name="names"/>, with a name within <paramref name="among"/>; null if there is none.</summary>
    private Node? OtherMembers(SchemaFacts facts, IReadOnlyList<string> names, CharacterAutomaton? among = null)
    {
        bool isDeclaring = facts.PatternProperties.Count > 0 || facts.Properties.Any(property => !IsFalse(property.Sources)) || facts.Required.Count > 0;
        SchemaSources? additional = facts.Additional ?? (isDeclaring ? null : new SchemaSources([]));
        SchemaFacts? allowed = facts.PropertyNames is { } rule ? Facts(rule) : null;
        if (allowed is { Values: not null } or { IsHopeless: true } || (allowed?.Types is { } types && !types.HasFlag(SchemaTypes.String)))
            return null;
        if (allowed?.Choices.Count > 0)
            throw SchemaDocument.Error(allowed.Path, "must be a schema of strings without alternatives");
        CharacterAutomaton? name = allowed is null ? among : among is null ? Text(allowed) : Text(allowed) is { } text ? CharacterAutomaton.Both(text, among, facts.Path) : among;
        if (names.Count > 0 && (additional is not null ? !IsFalse(additional) : facts.PatternProperties.Count > 0))
            name = Both(name, CharacterAutomaton.OfTexts(names, facts.Path).Complement());
        Pattern[] patterns = Patterns(facts);
        var members = new List<Node>();
        for (int subset = 0; subset < 1 << patterns.Length; subset++)
        {
            SchemaSources? sources = subset == 0 ? additional : new SchemaSources([]);
            CharacterAutomaton? matching = name;
            for (int i = 0; i < patterns.Length && sources is not null; i++)
            {
                (SchemaProperty pattern, CharacterAutomaton wide) = patterns[i];
                bool isMatched = (subset >> i & 1) != 0;
                matching = Both(matching, isMatched ? Matching(facts, pattern.Name, isWide: false) : wide.Complement());
                sources = isMatched ? pattern.Sources.All.Aggregate(sources, (all, source) => all.And(source)) : sources;
            }

            if (sources is not null && !IsFalse(sources))
                members.Add(_json.Member(matching is null ? _json.String : Quoted(matching.ToNode(Character)), Of(sources)));
        }

        return members.Count == 0 ? null : Node.Any([.. members]);

        CharacterAutomaton Both(CharacterAutomaton? first, CharacterAutomaton second) => first is null ? second : CharacterAutomaton.Both(first, second, facts.Path);
    }

    /// <summary>Names that match the pattern of a property, in all dialects or (<paramref name="isWide"/>) in any.</summary>
    public static CharacterAutomaton Matching(SchemaFacts facts, string pattern, bool isWide) => CharacterAutomaton.Of(
        RegexReader.ReadSearch(pattern, $"schema {facts.Path}/patternProperties", isWide), facts.Path);

    /// <summary>A member of <c>patternProperties</c>.</summary>
    /// <param name="Property">What it demands.</param>
    /// <param name="Names">Names that match in any dialect.</param>
    private sealed record Pattern(SchemaProperty Property, CharacterAutomaton Names);

    private static bool IsFalse(SchemaSources sources) => sources.All.Any(source => source.Value.ValueKind == (source.IsNegated ? JsonValueKind.True : JsonValueKind.False));
}
