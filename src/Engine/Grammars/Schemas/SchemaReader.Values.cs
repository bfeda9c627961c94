using System.Text.Json;

namespace Conclave.Engine.Grammars;

/// <summary>Strings, lists and enumerated values.</summary>
internal sealed partial class SchemaReader
{
    // Upper bounds beyond these are lowered to them: what is generated still fits, and the automaton stays small.
    private const int MaxWrittenLength = 16_384;
    private const int MaxCheckedLength = 1024;
    private const int MaxWrittenItems = 4096;

    /// <summary>The characters of a string that fits, as they are: for notations without quotes.</summary>
    public static CharacterAutomaton? Text(SchemaFacts facts)
    {
        CharacterAutomaton? text = facts.MinLength == 0 && facts.MaxLength is null ? null : CharacterAutomaton.OfLength(facts.MinLength, Cap(facts.MaxLength, facts.MinLength, MaxCheckedLength), facts.Path);
        foreach ((string pattern, string path) in facts.Patterns)
        {
            CharacterAutomaton matching = CharacterAutomaton.Of(RegexReader.ReadSearch(pattern, $"schema {path}", set => new Node.Character(set)), path);
            text = text is null ? matching : CharacterAutomaton.Both(text, matching, path);
        }

        return text;
    }

    private Node OfString(SchemaFacts facts)
    {
        if (facts.Patterns.Count == 0)
        {
            return facts.MinLength == 0 && facts.MaxLength is null ? _json.String
                : facts.MaxLength < facts.MinLength ? Node.Never
                : Quoted(CharacterAutomaton.OfLength(facts.MinLength, Cap(facts.MaxLength, facts.MinLength, MaxWrittenLength), facts.Path).ToNode(Character));
        }

        // One expression alone keeps its own shape, which is smaller than the automaton of several.
        if (facts is { Patterns: [var only], MinLength: 0, MaxLength: null })
            return Quoted(RegexReader.ReadSearch(only.Pattern, $"schema {only.Path}", Character));
        return Quoted(Text(facts)!.ToNode(Character));
    }

    private static int? Cap(int? max, int min, int most) => max is { } given ? Math.Min(given, Math.Max(min, most)) : null;

    private Node Character(CodePoints set) => ReferenceEquals(set, CodePoints.All) ? _json.AnyCharacter
        : ReferenceEquals(set, CodePoints.Basic) ? _json.BasicCharacter
        : ReferenceEquals(set, CodePoints.Wide) ? _json.WideCharacter
        : JsonNodes.Characters(set);

    private static Node Quoted(Node characters) => Node.Of(Node.Text("\""), characters, Node.Text("\""));

    private Node OfArray(SchemaFacts facts)
    {
        bool isClosed = facts.Items is { All: var items } && items.Any(item => item.Value.ValueKind == JsonValueKind.False);
        int max = Math.Min(Cap(facts.MaxItems, facts.MinItems, MaxWrittenItems) ?? int.MaxValue, isClosed ? facts.PrefixItems.Count : int.MaxValue);
        if (max < facts.MinItems)
            return Node.Never;
        bool isBounded = max < int.MaxValue;
        int written = isBounded ? max : Math.Max(facts.PrefixItems.Count, facts.MinItems);
        if (written > AutomatonBuilder.MaxStates / 8)
            GrammarError.ThrowTooLarge(AutomatonBuilder.MaxStates);

        Node rest = isClosed ? Node.Never : facts.Items is { } each ? Of(each) : _json.Value;
        if (written > facts.PrefixItems.Count && rest is not Node.Call)
            rest = new Node.Call(new Rule("an element") { Body = rest });
        var edges = new List<GraphEdge>();
        var accepting = new List<int>();
        for (int i = 0; i < written + (isBounded ? 0 : 1); i++)
        {
            // State 2i: before element i; state 2i + 1: behind it.
            edges.Add(new GraphEdge(2 * i, i < facts.PrefixItems.Count ? Of(facts.PrefixItems[i]) : rest, (2 * i) + 1));
            bool isLoop = !isBounded && i == written;
            if (isLoop || i + 1 < written || !isBounded)
                edges.Add(new GraphEdge((2 * i) + 1, _json.Comma, isLoop ? 2 * i : 2 * (i + 1)));
            if (i + 1 >= facts.MinItems)
                accepting.Add((2 * i) + 1);
        }

        return _json.Array(new Node.Graph(edges, accepting), mayBeEmpty: facts.MinItems == 0);
    }

    private Node OfValues(SchemaFacts facts, SchemaTypes types)
    {
        if (facts.Patterns.Count > 0 || facts.Properties.Count > 0 || facts.PrefixItems.Count > 0 || facts.Items is not null || facts.Additional is not null || facts.Required.Count > 0
            || facts.PropertyNames is not null || facts.PatternProperties.Count > 0)
        {
            throw SchemaDocument.Error(facts.Path, "enum or const beside keywords other than type, lengths, counts and numeric bounds is not supported; leave the others out");
        }

        return Node.Any([.. facts.Values!.Where(value => Allows(facts, types, value)).Select(_json.Exactly)]);
    }

    /// <summary>Whether an enumerated value is one of <paramref name="types"/> and within all bounds.</summary>
    public static bool Allows(SchemaFacts facts, SchemaTypes types, JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Null => types.HasFlag(SchemaTypes.Null),
        JsonValueKind.True or JsonValueKind.False => types.HasFlag(SchemaTypes.Boolean),
        JsonValueKind.String => types.HasFlag(SchemaTypes.String) && IsWithin(value.GetString()!.EnumerateRunes().Count(), facts.MinLength, facts.MaxLength),
        JsonValueKind.Array => types.HasFlag(SchemaTypes.Array) && IsWithin(value.GetArrayLength(), facts.MinItems, facts.MaxItems),
        JsonValueKind.Object => types.HasFlag(SchemaTypes.Object) && IsWithin(value.EnumerateObject().Count(), facts.MinProperties, facts.MaxProperties),
        _ => value.TryGetDecimal(out decimal number)
            ? (types.HasFlag(SchemaTypes.Number) || (types.HasFlag(SchemaTypes.Integer) && number == decimal.Truncate(number))) && SchemaNumbers.Allows(facts.Numbers, number)
            : types.HasFlag(SchemaTypes.Number) && facts.Numbers.IsFree,
    };

    private static bool IsWithin(int count, int min, int? max) => count >= min && count <= (max ?? int.MaxValue);
}
