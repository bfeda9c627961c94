using Conclave.Engine.Grammars;

namespace Conclave.Engine.Tests.Grammars;

/// <summary>What somebody writes who means to harm, or has no idea of sizes: it works, or is refused by name. Each took for ever, or all memory, if sizes were not bounded.</summary>
public sealed class LimitTests
{
    public static TheoryData<string, GrammarKind, string> Monsters => new()
    {
        { "not within anyOf within not", GrammarKind.JsonSchema, Nested(20, inner => $$"""{"anyOf":[{{inner}},{"not":{{inner}}}]}""", "{}") },
        { "not within not", GrammarKind.JsonSchema, Nested(60, inner => $$"""{"not":{{inner}} }""", """{"type":"string"}""") },
        { "deep objects", GrammarKind.JsonSchema, Nested(60, inner => $$"""{"required":["a"],"properties":{"a":{{inner}} } }""", """{"type":"string"}""") },
        { "a long enum", GrammarKind.JsonSchema, $$"""{"enum":[{{Many(20_000, i => $"\"value {i}\"")}}]}""" },
        { "a longer enum", GrammarKind.JsonSchema, $$"""{"enum":[{{Many(200_000, i => $"\"value {i}\"")}}]}""" },
        { "not of a long enum", GrammarKind.JsonSchema, $$"""{"type":"string","not":{"enum":[{{Many(5000, i => $"\"value {i}\"")}}]} }""" },
        { "minLength", GrammarKind.JsonSchema, """{"type":"string","minLength":2000000000}""" },
        { "minItems", GrammarKind.JsonSchema, """{"type":"array","minItems":2000000000}""" },
        { "minContains", GrammarKind.JsonSchema, """{"type":"array","contains":{"type":"null"},"minContains":2000000000}""" },
        { "maxContains", GrammarKind.JsonSchema, """{"type":"array","contains":{"type":"null"},"maxContains":2000000000}""" },
        { "minProperties", GrammarKind.JsonSchema, $$"""{"minProperties":900,"properties":{ {{Many(1000, i => $"\"p{i}\":true")}} } }""" },
        { "branches that overlap", GrammarKind.JsonSchema, $$"""{"oneOf":[{{Many(150, i => $$"""{"properties":{"p{{i}}":{"type":"null"} } }""")}}]}""" },
        { "too many branches", GrammarKind.JsonSchema, $$"""{"oneOf":[{{Many(1000, i => $$"""{"const":{{i}}}""")}}]}""" },
        { "choices times choices", GrammarKind.JsonSchema, $$"""{"allOf":[{{Many(30, i => $$"""{"anyOf":[{"required":["a{{i}}"]},{"required":["b{{i}}"]}]}""")}}]}""" },
        { "a reference to itself", GrammarKind.JsonSchema, """{"$defs":{"a":{"anyOf":[{"$ref":"#/$defs/a"},{"type":"null"}]}},"$ref":"#/$defs/a"}""" },
        { "not itself", GrammarKind.JsonSchema, """{"$defs":{"a":{"not":{"$ref":"#/$defs/a"}}},"$ref":"#/$defs/a"}""" },
        { "itself if itself", GrammarKind.JsonSchema, """{"$defs":{"a":{"if":{"$ref":"#/$defs/a"},"then":{"type":"null"}}},"$ref":"#/$defs/a"}""" },
        { "not of a list of itself", GrammarKind.JsonSchema, """{"$defs":{"a":{"type":"array","items":{"not":{"$ref":"#/$defs/a"}}}},"$ref":"#/$defs/a"}""" },
        { "no such expression", GrammarKind.JsonSchema, """{"type":"string","not":{"pattern":"^(a|b)*a(a|b){30}c$"}}""" },
        { "names by three expressions", GrammarKind.JsonSchema, """{"properties":{"x":{}},"patternProperties":{"^a.{1,900}b":{},"c.{1,900}d":{},"e.{1,50}f.{1,50}g$":{}}}""" },
        { "repeated repetitions", GrammarKind.Regex, "(((a{1000}){1000}){1000})" },
        { "repeated choices", GrammarKind.Regex, "(?:(?:a|b|ab|ba|.)*(?:a?){500}){1000}" },
        { "states without end", GrammarKind.Regex, "(?:.*a.{3000})*" },
        { "rules that grow", GrammarKind.Ebnf, "root ::= a a a a a a a a\na ::= (b b b b){1,1000}\nb ::= (c | c c){1,1000}\nc ::= [^x]{1,1000}" },
    };

    [Theory]
    [MemberData(nameof(Monsters))]
    public void A_monster_works_or_is_refused_by_name(string name, GrammarKind kind, string text)
    {
        try
        {
            CompiledGrammar grammar = GrammarWalk.Compile(kind, text, Vocabularies.Demo);
            var matcher = new GrammarMatcher(grammar, [Vocabularies.DemoEnd]);
            var mask = new uint[matcher.MaskWords];
            matcher.FillMask(mask);
            Assert.True(mask.AsSpan().ContainsAnyExcept(0u), name);
        }
        catch (OperatingException error)
        {
            Assert.Equal(OperatingError.InvalidRequest, error.Error);
            Assert.Matches("^(schema|regex|rule|grammar|The grammar is too ambiguous)", error.Message);
        }
    }

    private static string Many(int count, Func<int, string> element) => string.Join(',', Enumerable.Range(0, count).Select(element));

    private static string Nested(int depth, Func<string, string> around, string innermost) =>
        Enumerable.Range(0, depth).Aggregate(innermost, (inner, _) => inner.Length > 400_000 ? inner : around(inner));
}
