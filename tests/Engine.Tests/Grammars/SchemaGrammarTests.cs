using System.Text.Json;
using Conclave.Engine.Grammars;

namespace Conclave.Engine.Tests.Grammars;

public sealed class SchemaGrammarTests
{
    [Theory]
    [InlineData(0, 40)]
    [InlineData(1000, 40)]
    public void Whatever_the_masks_allow_fits_a_random_schema(int firstSeed, int count)
    {
        for (int seed = firstSeed; seed < firstSeed + count; seed++)
        {
            string schema = new RandomSchemas(seed).Next().ToJsonString();
            bool isDemo = seed % 3 == 0;
            CompiledGrammar grammar = GrammarWalk.Compile(GrammarKind.JsonSchema, schema, isDemo ? Vocabularies.Demo : Vocabularies.Odd);
            var walk = new GrammarWalk(grammar, isDemo ? Vocabularies.DemoEnd : Vocabularies.OddEnd, seed);
            foreach (int steps in new[] { 0, 3, 20, 60, 200 })
                AssertFits(schema, walk.Run(steps), seed);
        }
    }

    /// <summary>Shapes that clients send: strict mode of OpenAI, recursion, references, merged and enumerated parts.</summary>
    [Theory]
    [InlineData("""{"type":"object","properties":{"steps":{"type":"array","items":{"type":"object","properties":{"explanation":{"type":"string"},"output":{"type":"string"}},"required":["explanation","output"],"additionalProperties":false}},"final_answer":{"type":"string"}},"required":["steps","final_answer"],"additionalProperties":false}""")]
    [InlineData("""{"$ref":"#/$defs/tree","$defs":{"tree":{"type":"object","properties":{"left":{"anyOf":[{"$ref":"#/$defs/tree"},{"type":"null"}]},"value":{"type":"integer","minimum":-5,"maximum":17}},"required":["left","value"],"additionalProperties":false}}}""")]
    [InlineData("""{"type":"object","properties":{"children":{"type":"array","items":{"$ref":"#"}}},"required":["children"],"additionalProperties":false}""")]
    [InlineData("""{"allOf":[{"type":"object","properties":{"a":{"type":"number"}},"required":["a"]},{"properties":{"a":{"minimum":0,"maximum":0.5},"b":{"enum":["x","y"]}},"required":["b"]}],"anyOf":[{"properties":{"c":{"const":1}},"required":["c"]},{"properties":{"d":{"type":"null"}},"required":["d"]}]}""")]
    [InlineData("""{"type":["string","integer"],"enum":["a",1,true,null]}""")]
    [InlineData("""{"type":"object","additionalProperties":{"type":"integer","exclusiveMinimum":9,"multipleOf":7}}""")]
    [InlineData("""{"type":"object","properties":{"name":{"type":"string"}},"additionalProperties":{"type":"boolean"}}""")]
    [InlineData("""{"items":{"type":"string","pattern":"^[a-c]+$","minLength":2,"maxLength":4},"minItems":2,"maxItems":4}""")]
    [InlineData("""{"oneOf":[{"type":"string","format":"date-time"},{"type":"string","format":"ipv6"}]}""")]
    [InlineData("""{"oneOf":[{"type":"object","properties":{"kind":{"const":"cat"},"lives":{"type":"integer"}},"required":["kind","lives"]},{"type":"object","properties":{"kind":{"const":"dog"},"tail":{"type":"boolean"}},"required":["kind"]}]}""")]
    [InlineData("""{"oneOf":[{"type":"object","properties":{"kind":{"const":"cat"}}},{"type":"object","properties":{"kind":{"const":"dog"}}}]}""")]
    [InlineData("""{"oneOf":[{"type":"integer"},{"type":"number","minimum":3},{"type":"string","maxLength":3}]}""")]
    [InlineData("""{"type":"integer","minimum":0,"maximum":99,"oneOf":[{"multipleOf":3},{"multipleOf":5},{"minimum":90}]}""")]
    [InlineData("""{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"oneOf":[{"required":["a"]},{"required":["b"]}]}""")]
    [InlineData("""{"type":"string","oneOf":[{"pattern":"^[a-c]*$"},{"minLength":3},{"pattern":"c"}]}""")]
    [InlineData("""{"properties":{"kind":{"enum":["card","cash","none"]},"number":{"type":"string","pattern":"^\\d{4}$"}},"required":["kind"],"if":{"properties":{"kind":{"const":"card"}}},"then":{"required":["number"]},"else":{"properties":{"number":false}}}""")]
    [InlineData("""{"$defs":{"tree":{"type":"object","properties":{"left":{"$ref":"#/$defs/tree"},"leaf":{"type":"integer"}},"oneOf":[{"required":["left"]},{"required":["leaf"]}]}},"$ref":"#/$defs/tree"}""")]
    [InlineData("""{"not":{"anyOf":[{"type":["object","array","null"]},{"type":"string","minLength":4},{"type":"integer"}]}}""")]
    [InlineData("""{"type":"array","items":{"enum":["a","b",3,null]},"uniqueItems":true,"minItems":2}""")]
    [InlineData("""{"type":"array","items":{"enum":[1,2,3,4,5,6,7,8,9,10,11,12]},"uniqueItems":true,"minItems":2,"maxItems":5}""")]
    [InlineData("""{"type":"array","items":{"type":["integer","string"],"maxLength":4},"contains":{"type":"integer","minimum":10},"minContains":1,"maxContains":2,"maxItems":5}""")]
    [InlineData("""{"type":"object","patternProperties":{"^n_":{"type":"integer"},"_s$":{"enum":["x",1]}},"properties":{"n_1":{"maximum":5},"plain":true},"additionalProperties":{"type":"boolean"},"minProperties":2,"maxProperties":4,"propertyNames":{"maxLength":6}}""")]
    [InlineData("""{"properties":{"a":{"type":"null"},"b":{"type":"null"},"c":{"type":"null"}},"dependentRequired":{"a":["b"]},"dependentSchemas":{"c":{"maxProperties":2}},"minProperties":1}""")]
    [InlineData("""{"enum":["aa","b",{"x":1},{"x":"y"},[1,1],[1,2],7,8],"properties":{"x":{"type":"integer"}},"uniqueItems":true,"minLength":2,"not":{"multipleOf":7}}""")]
    [InlineData("""{"propertyNames":{"enum":["x","y","z"]},"additionalProperties":{"type":"integer"},"minProperties":2}""")]
    [InlineData("true")]
    public void Whatever_the_masks_allow_fits_a_usual_schema(string schema) => AssertWalksFit(schema);

    /// <summary>Each keyword, in the ways that clients, generators of schemas and the standard's own examples use it.</summary>
    [Theory]
    [MemberData(nameof(KeywordSchemas.All), MemberType = typeof(KeywordSchemas))]
    public void Whatever_the_masks_allow_fits_each_keyword(string keyword, string schema)
    {
        Assert.NotEmpty(keyword);
        AssertWalksFit(schema);
    }

    [Theory]
    [MemberData(nameof(KeywordSchemas.Written), MemberType = typeof(KeywordSchemas))]
    public void A_text_is_allowed_or_not(string schema, string text, bool isAllowed)
    {
        var matcher = new GrammarMatcher(GrammarWalk.Compile(GrammarKind.JsonSchema, schema), []);
        Assert.Equal(isAllowed, System.Text.Encoding.UTF8.GetBytes(text).All(value => matcher.Accept(1 + value)) && matcher.IsComplete);
    }

    private static void AssertWalksFit(string schema)
    {
        CompiledGrammar grammar = GrammarWalk.Compile(GrammarKind.JsonSchema, schema);
        for (int seed = 0; seed < 12; seed++)
            AssertFits(schema, new GrammarWalk(grammar, Vocabularies.OddEnd, seed).Run(seed * 12), seed);
    }

    [Theory]
    [InlineData("""{"type":"object","properties":{"a":{"not":{}}},"required":["a"]}""", "No text fits the grammar")]
    [InlineData("""{"type":"string","not":{"format":"date"}}""", "schema #/not: what does not fit this cannot be told")]
    [InlineData("""{"type":"array","contains":{"type":"null"},"unevaluatedItems":false}""", "schema #/unevaluatedItems: is not supported beside contains")]
    [InlineData("""{"type":"object","minProperties":9}""", "schema #/minProperties: is supported up to 6 more")]
    [InlineData("""{"type":"array","allOf":[{"contains":{"const":1}},{"contains":{"const":2}},{"contains":{"const":3}},{"contains":{"const":4}}]}""", "schema #: is too large")]
    [InlineData("""{"$ref":"#here","$defs":{"a":{"$anchor":"here"},"b":{"$anchor":"here"}}}""", "schema #/$ref: '#here' points to nothing, or to several")]
    [InlineData("""{"type":"string","pattern":"(^a)(^b)"}""", "schema #/pattern: position 4: '^' is supported only at the beginning")]
    [InlineData("""{"type":"string","pattern":"a(?=b)"}""", "schema #/pattern: position 3: look-behind, look-ahead elsewhere")]
    [InlineData("""{"type":"strin"}""", "schema #/type: must be 'null'")]
    [InlineData("""{"$ref":"#/$defs/gone"}""", "schema #/$ref: '#/$defs/gone' points to nothing")]
    [InlineData("""{"$ref":"https://example.com/x"}""", "only references within the schema")]
    [InlineData("""{"type":"array","uniqueItems":true}""", "schema #/uniqueItems: is supported where items are an enum")]
    [InlineData("""{"type":"string","format":"dat"}""", "schema #/format: 'dat' is not supported; supported are date")]
    [InlineData("""{"type":"string","pattern":"(a"}""", "schema #/pattern: position 0: '(' is never closed")]
    [InlineData("""{"minLength":-1}""", "schema #/minLength: must be a whole number from 0 on")]
    [InlineData("""{"type":"integer","minimum":5,"maximum":4}""", "No text fits the grammar")]
    [InlineData("""{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"}""", "refers to itself")]
    [InlineData("""{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}""", "No text fits the grammar")]
    [InlineData("{", "schema: is not JSON")]
    [InlineData("[]", "schema #: must be a schema")]
    public void A_schema_that_cannot_be_used_is_refused_by_name(string schema, string problem)
    {
        var error = Assert.Throws<OperatingException>(() => GrammarWalk.Compile(GrammarKind.JsonSchema, schema));
        Assert.Equal(OperatingError.InvalidRequest, error.Error);
        Assert.Contains(problem, error.Message, StringComparison.Ordinal);
    }

    private static void AssertFits(string schema, string text, int seed)
    {
        using JsonDocument parsedSchema = JsonDocument.Parse(schema);
        using JsonDocument value = JsonDocument.Parse(text);
        string? problem = SchemaValidator.Problem(parsedSchema.RootElement, parsedSchema.RootElement, value.RootElement);
        Assert.True(problem is null, $"seed {seed}: {problem}\nschema {schema}\ntext {text}");
    }
}
