using System.Text.Json;

namespace Conclave.Engine.Grammars;

/// <summary>Strings and numbers.</summary>
internal sealed partial class SchemaReader
{
    // Upper bounds beyond these are lowered to them: what is generated still fits, and the automaton stays small.
    private const int MaxWrittenLength = 16_384;
    private const int MaxCheckedLength = 512;
    private const int MaxNumberParts = 500;

    private readonly Dictionary<string, Rule> _strings = [];

    /// <summary>The characters of a string that fits, as they are: for notations without quotes.</summary>
    public static CharacterAutomaton? Text(SchemaFacts facts)
    {
        CharacterAutomaton? text = facts.MinLength == 0 && facts.MaxLength is null ? null : CharacterAutomaton.OfLength(facts.MinLength, Cap(facts.MaxLength, facts.MinLength, MaxCheckedLength), facts.Path);
        foreach ((string pattern, string path) in facts.Patterns)
        {
            CharacterAutomaton matching = CharacterAutomaton.Of(RegexReader.ReadSearch(pattern, $"schema {path}"), path);
            text = text is null ? matching : CharacterAutomaton.Both(text, matching, path);
        }

        foreach ((string pattern, string path) in facts.NotPatterns)
            text = Both(CharacterAutomaton.Of(RegexReader.ReadSearch(pattern, $"schema {path}", isWide: true), path).Complement());
        string[] excluded = [.. facts.Excluded.Where(value => value.ValueKind == JsonValueKind.String).Select(value => value.GetString()!)];
        return excluded.Length == 0 ? text : Both(CharacterAutomaton.OfTexts(excluded, facts.Path).Complement());

        CharacterAutomaton Both(CharacterAutomaton other) => text is null ? other : CharacterAutomaton.Both(text, other, facts.Path);
    }

    /// <summary>Strings that fit; those of the same keywords are one rule, since many properties of a schema are alike.</summary>
    private Node OfString(SchemaFacts facts)
    {
        bool isPlain = facts.NotPatterns.Count == 0 && facts.Excluded.All(value => value.ValueKind != JsonValueKind.String);
        if (!isPlain)
            return Quoted(Text(facts)!.ToNode(Character));
        if (facts.MaxLength < facts.MinLength)
            return Node.Never;
        if (facts is { Patterns.Count: 0, MinLength: 0, MaxLength: null })
            return _json.String;
        string key = $"{facts.MinLength} {facts.MaxLength} {string.Concat(facts.Patterns.Select(pattern => $"{pattern.Pattern.Length} {pattern.Pattern}"))}";
        if (!_strings.TryGetValue(key, out Rule? rule))
            _strings.Add(key, rule = new Rule($"schema {facts.Path}") { Body = OfPlainString(facts) });
        return new Node.Call(rule);
    }

    private Node OfPlainString(SchemaFacts facts) => facts switch
    {
        { Patterns.Count: 0 } => Quoted(CharacterAutomaton.OfLength(facts.MinLength, Cap(facts.MaxLength, facts.MinLength, MaxWrittenLength), facts.Path).ToNode(Character)),

        // One expression alone keeps its own shape, which is smaller than the automaton of several.
        { Patterns: [var only], MinLength: 0, MaxLength: null } => Quoted(RegexReader.ReadSearch(only.Pattern, $"schema {only.Path}").Written(Character)),
        _ => Quoted(Text(facts)!.ToNode(Character)),
    };

    private static int? Cap(int? max, int min, int most) => max is { } given ? Math.Min(given, Math.Max(min, most)) : null;

    private Node Character(CodePoints set) => ReferenceEquals(set, CodePoints.All) ? _json.AnyCharacter
        : ReferenceEquals(set, CodePoints.Basic) ? _json.BasicCharacter
        : ReferenceEquals(set, CodePoints.Wide) ? _json.WideCharacter
        : JsonNodes.Characters(set);

    private static Node Quoted(Node characters) => Node.Of(Node.Text("\""), characters, Node.Text("\""));

    private static Node OfNumber(SchemaFacts facts)
    {
        NumberLimits[] parts = [facts.Numbers];
        foreach (JsonElement value in facts.Excluded.Where(value => value.ValueKind == JsonValueKind.Number))
        {
            if (value.TryGetDecimal(out decimal number))
                parts = [.. parts.SelectMany(part => SchemaNumbers.Except(part, number))];
            if (parts.Length > MaxNumberParts)
                throw SchemaDocument.Error(facts.Path, $"'not' of more than {MaxNumberParts} numbers is not supported; use minimum and maximum");
        }

        return Node.Any([.. parts.Where(part => !part.IsEmpty).Select(NumberRange.Of)]);
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
