using System.Text.Json;

namespace Conclave.Engine.Grammars;

/// <summary>Whether a given value fits: for enumerated values, beside whatever other keywords.</summary>
internal sealed partial class SchemaReader
{
    // Values looked at, times what each is held against: more takes longer than anybody would wait.
    private const int MaxFits = 20_000_000;

    private readonly Dictionary<string, SchemaFacts> _factsOf = [];
    private readonly Dictionary<SchemaFacts, Measure> _measures = new(ReferenceEqualityComparer.Instance);
    private long _fitCount;

    private bool Fits(SchemaSources sources, JsonElement value)
    {
        string key = sources.Key;
        if (!_factsOf.TryGetValue(key, out SchemaFacts? facts))
            _factsOf.Add(key, facts = Facts(sources));
        return Fits(facts, value);
    }

    private bool Fits(SchemaFacts given, JsonElement value)
    {
        SchemaKeywords.EnsureShallow(given.Path);
        if (!_measures.TryGetValue(given, out Measure? measure))
            _measures.Add(given, measure = new Measure(this, given));
        SchemaFacts facts = measure.Facts;
        if ((_fitCount += 1 + facts.Excluded.Count + (facts.Values?.Count ?? 0)) > MaxFits)
            throw SchemaDocument.Error(facts.Path, "enumerated values are checked against too much; make the schema simpler");
        if (facts.IsHopeless || (facts.Values is { } values && !values.Any(known => JsonElement.DeepEquals(known, value))) || facts.Excluded.Any(known => JsonElement.DeepEquals(known, value)))
            return false;
        bool fits = Allows(facts, facts.Types ?? SchemaTypes.All, value) && value.ValueKind switch
        {
            JsonValueKind.String => facts is { Patterns.Count: 0, NotPatterns.Count: 0 } || measure.Text.Contains(value.GetString()!),
            JsonValueKind.Array => FitsList(facts, [.. value.EnumerateArray()]),
            JsonValueKind.Object => FitsObject(measure, value),
            _ => true,
        };
        return fits && (facts.Choices.Count == 0 || measure.Ways.Any(way => Fits(way, value)));
    }

    private bool FitsList(SchemaFacts facts, JsonElement[] elements)
    {
        for (int i = 0; i < elements.Length; i++)
        {
            if (!Fits(facts.ItemAt(i), elements[i]))
                return false;
        }

        if (facts.IsUnique && elements.Select(JsonKey.Of).Distinct(StringComparer.Ordinal).Count() < elements.Length)
            return false;
        foreach (SchemaContains contains in facts.Contains)
        {
            if (elements.Count(element => Fits(SchemaSources.Of(contains.Source), element)) is var count && (count < contains.Min || count > contains.Max))
                return false;
            if (contains.Max is not null && elements.Any(element => !Fits(SchemaSources.Of(contains.Source), element) && !Fits(SchemaSources.Of(contains.Source.Negated), element)))
                return false;
        }

        return true;
    }

    private bool FitsObject(Measure measure, JsonElement value)
    {
        SchemaFacts facts = measure.Facts;
        if (facts.Required.Any(name => !value.TryGetProperty(name, out _)))
            return false;
        foreach (JsonProperty member in value.EnumerateObject())
        {
            SchemaProperty property = measure.Properties.GetValueOrDefault(member.Name)
                ?? new SchemaProperty(member.Name, measure.Patterns.Any(pattern => pattern.Names.Contains(member.Name)) ? new SchemaSources([]) : facts.Additional ?? new SchemaSources([]));
            if (!Fits(WithNameRules(measure.Patterns, measure.Names, property), member.Value))
                return false;
        }

        return true;
    }

    /// <summary>What many values are held against, made once.</summary>
    private sealed class Measure
    {
        private readonly Lazy<CharacterAutomaton> _text;
        private readonly Lazy<Pattern[]> _patterns;
        private readonly Lazy<SchemaFacts[]> _ways;
        private readonly Lazy<SchemaFacts?> _names;
        private readonly Lazy<Dictionary<string, SchemaProperty>> _properties;

        public Measure(SchemaReader reader, SchemaFacts facts)
        {
            Facts = facts = facts.Choices.Count == 0 ? SchemaUnevaluated.Settle(facts) : facts;
            _text = new(() => Text(facts)!);
            _patterns = new(() => Patterns(facts));
            _ways = new(() => [.. facts.Choices[0].Select(way => reader._keywords.Add(WithoutFirstChoice(facts), way))]);
            _names = new(() => facts.PropertyNames is { } names ? reader.Facts(names) : null);
            _properties = new(() => facts.Properties.ToDictionary(property => property.Name, StringComparer.Ordinal));
        }

        /// <summary>What is demanded.</summary>
        public SchemaFacts Facts { get; }

        /// <summary>Strings that fit.</summary>
        public CharacterAutomaton Text => _text.Value;

        /// <summary>The <c>patternProperties</c>.</summary>
        public Pattern[] Patterns => _patterns.Value;

        /// <summary>What is demanded by each way of the first choice.</summary>
        public SchemaFacts[] Ways => _ways.Value;

        /// <summary>What names must fit; null: anything.</summary>
        public SchemaFacts? Names => _names.Value;

        /// <summary>The declared properties by name.</summary>
        public Dictionary<string, SchemaProperty> Properties => _properties.Value;
    }
}
