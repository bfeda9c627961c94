using System.Text.Json;

namespace Conclave.Engine.Grammars;

/// <summary>
/// JSON Schema to grammar. Every text of the grammar fits the schema; not every text that fits is one: properties come in the order of the schema, an object that
/// declares properties has no others unless <c>additionalProperties</c> says so, numbers and white space are bounded (<see cref="JsonNodes"/>), and formats are
/// narrowed (<see cref="StringFormats"/>). Keywords that restrict and cannot be told are errors.
/// </summary>
internal sealed partial class SchemaReader
{
    private const int MaxRules = 4096;
    private const int MaxChoices = 2048;

    private static readonly (string Text, JsonValueKind Kind, SchemaTypes Type)[] Literals =
        [("true", JsonValueKind.True, SchemaTypes.Boolean), ("false", JsonValueKind.False, SchemaTypes.Boolean), ("null", JsonValueKind.Null, SchemaTypes.Null)];

    private readonly SchemaKeywords _keywords;
    private readonly SchemaDocument _document;
    private readonly JsonNodes _json;
    private readonly Dictionary<string, Rule> _rules = [];
    private readonly Queue<(Rule Rule, SchemaSources Sources)> _unread = new();
    private int _choiceCount;

    private SchemaReader(SchemaDocument document, JsonNodes json) => (_document, _keywords, _json) = (document, new SchemaKeywords(document), json);

    /// <summary>Texts that fit the schema in <paramref name="text"/>.</summary>
    /// <exception cref="OperatingException">It is no schema, or uses what is not supported; the message names the path.</exception>
    public static Node Read(string text) => Read(SchemaDocument.Parse(text), new JsonNodes());

    /// <inheritdoc cref="Read(string)"/>
    public static Node Read(SchemaDocument document, JsonNodes json) => new SchemaReader(document, json).ReadAll(document.Root);

    /// <summary>Objects that fit the schema.</summary>
    /// <exception cref="OperatingException">It is no schema, or uses what is not supported; the message names the path.</exception>
    public static Node ReadObject(SchemaDocument document, JsonNodes json)
    {
        var reader = new SchemaReader(document, json);
        reader.ReadAll(document.Root);
        SchemaFacts facts = reader.Facts(SchemaSources.Of(document.Root));
        Node root = reader.OfFacts(facts with { Types = (facts.Types ?? SchemaTypes.All) & SchemaTypes.Object });
        reader.ReadRules();
        return root;
    }

    /// <summary>A reader for notations that write an object's properties otherwise than JSON does.</summary>
    public static SchemaReader Open(SchemaDocument document, JsonNodes json) => new(document, json);

    /// <summary><paramref name="facts"/> and what a way demands.</summary>
    public SchemaFacts Add(SchemaFacts facts, SchemaWay way) => _keywords.Add(facts, way);

    /// <summary>Reads the rules that were left for later; call it once all nodes are made.</summary>
    public void ReadRules()
    {
        while (_unread.TryDequeue(out (Rule Rule, SchemaSources Sources) next))
            next.Rule.Body = OfFacts(Facts(next.Sources));
    }

    /// <summary>Values that fit all of <paramref name="sources"/>.</summary>
    public Node Of(SchemaSources sources)
    {
        if (sources.All.Count == 0)
            return _json.Value;

        // Recursion only ever goes through keywords that lead elsewhere: what has none is read in place, the rest once, as a rule.
        if (sources.All is [{ IsNegated: false } only] && !LeadsElsewhere(only.Value))
            return OfFacts(Facts(sources));
        string key = sources.All is [{ Value.ValueKind: JsonValueKind.Object, IsNegated: false } alone] && alone.Value.EnumerateObject().Count() == 1
            && alone.Value.TryGetProperty("$ref", out JsonElement reference) && reference.ValueKind == JsonValueKind.String
            ? _document.Resolve(reference.GetString()!, alone.Path).Path : sources.Key;
        if (!_rules.TryGetValue(key, out Rule? rule))
        {
            if (_rules.Count >= MaxRules)
                throw SchemaDocument.Error(sources.Path, $"the schema combines its parts in more than {MaxRules} ways; make it simpler");
            _rules.Add(key, rule = new Rule($"schema {sources.Path}"));
            _unread.Enqueue((rule, sources));
        }

        return new Node.Call(rule);
    }

    private static bool LeadsElsewhere(JsonElement schema) =>
        schema.ValueKind == JsonValueKind.Object && schema.EnumerateObject().Any(keyword => keyword.Name is "$ref" or "$dynamicRef" or "$recursiveRef" or "allOf" or "anyOf" or "oneOf" or "not" or "if" or "dependentSchemas" or "dependencies");

    private Node ReadAll(SchemaSource root)
    {
        // As a rule of its own, since references to # are usual in recursive schemas.
        var rule = new Rule("schema #");
        _rules.Add("#", rule);
        _unread.Enqueue((rule, SchemaSources.Of(root)));
        ReadRules();
        return new Node.Call(rule);
    }

    /// <summary>What <paramref name="sources"/> demand together.</summary>
    public SchemaFacts Facts(SchemaSources sources)
    {
        var facts = new SchemaFacts { Path = sources.Path };
        foreach (SchemaSource source in sources.All)
            facts = _keywords.Add(facts, source);
        return facts;
    }

    /// <summary>Values that fit <paramref name="facts"/>.</summary>
    public Node OfFacts(SchemaFacts facts)
    {
        if (facts.IsHopeless)
            return Node.Never;
        SchemaKeywords.EnsureShallow(facts.Path);
        if (ValuesOf(facts) is { } values)
            return Node.Any([.. values.Select(_json.Exactly)]);
        if (facts.Choices is not [var choice, ..])
            return OfTypes(SchemaUnevaluated.Settle(facts));
        SchemaFacts others = WithoutFirstChoice(facts);
        var ways = new List<Node>();
        foreach (SchemaWay way in choice)
        {
            if (++_choiceCount > MaxChoices)
                throw SchemaDocument.Error(facts.Path, $"more than {MaxChoices} combinations of alternatives; make the schema simpler");

            // Nothing else is demanded: the branch as it stands, by its own rule if it is a reference.
            ways.Add(way.Demand is null && IsBare(others) ? Of(way.Sources) : OfFacts(_keywords.Add(others, way)));
        }

        return Node.Any([.. ways]);
    }

    /// <summary>The values that fit, where they are given one by one; null where they are not.</summary>
    public IEnumerable<JsonElement>? ValuesOf(SchemaFacts facts) => facts.Values?.Where(value => Fits(facts with { Values = null }, value));

    /// <summary>What is left to demand when a way of the first choice is taken.</summary>
    public static SchemaFacts WithoutFirstChoice(SchemaFacts facts) => facts with { Choices = [.. facts.Choices.Skip(1)], Ancestors = facts.References };

    private static bool IsBare(SchemaFacts facts) =>
        facts == new SchemaFacts { Path = facts.Path, Choices = facts.Choices, Ancestors = facts.Ancestors, References = facts.References } && facts.Choices.Count == 0;

    private Node OfTypes(SchemaFacts facts)
    {
        SchemaTypes types = facts.Types ?? (facts.Implied == SchemaTypes.None ? SchemaTypes.All : facts.Implied);
        if (types == SchemaTypes.All && facts.Implied == SchemaTypes.None && facts.Excluded.Count == 0)
            return _json.Value;
        var ways = new List<Node>();
        if (types.HasFlag(SchemaTypes.Object))
            ways.Add(OfObject(facts));
        if (types.HasFlag(SchemaTypes.Array))
            ways.Add(OfArray(facts));
        if (types.HasFlag(SchemaTypes.String))
            ways.Add(OfString(facts));
        if (types.HasFlag(SchemaTypes.Integer))
            ways.Add(OfNumber(facts with { Numbers = facts.Numbers with { IsInteger = !types.HasFlag(SchemaTypes.Number) } }));
        foreach ((string text, JsonValueKind kind, SchemaTypes type) in Literals)
        {
            if (types.HasFlag(type) && facts.Excluded.All(value => value.ValueKind != kind))
                ways.Add(Node.Text(text));
        }

        return Node.Any([.. ways]);
    }
}
