namespace Conclave.Engine.Tests.Grammars;

/// <summary>Schemas by keyword, and texts that they allow or do not.</summary>
public static class KeywordSchemas
{
    /// <summary>Each must have values, and everything that the masks allow must fit it.</summary>
    public static TheoryData<string, string> All => new()
    {
        { "$anchor", """{"$ref":"#node","$defs":{"n":{"$anchor":"node","type":"object","properties":{"next":{"anyOf":[{"$ref":"#node"},{"type":"null"}]}},"required":["next"],"additionalProperties":false}}}""" },
        { "$id", """{"$id":"T0","type":"object","properties":{"nodes":{"type":"array","items":{"$ref":"T0"}}},"required":["nodes"],"additionalProperties":false}""" },
        { "$dynamicRef", """{"$dynamicAnchor":"tree","type":"object","properties":{"children":{"type":"array","items":{"$dynamicRef":"#tree"}}},"required":["children"],"additionalProperties":false}""" },
        { "$ref with an escaped name", """{"properties":{"a":{"$ref":"#/$defs/a~1b%20c"}},"required":["a"],"$defs":{"a/b c":{"type":"null"}}}""" },
        { "$ref into properties", """{"properties":{"a":{"type":"integer"},"b":{"$ref":"#/properties/a"},"c":{"$ref":"#/anyOf/0/properties/d"}},"required":["b","c"],"anyOf":[{"properties":{"d":{"type":"null"}}}]}""" },
        { "$ref beside keywords", """{"$defs":{"n":{"type":"integer","minimum":3}},"properties":{"a":{"$ref":"#/$defs/n","maximum":7,"description":"x"}},"required":["a"]}""" },
        { "definitions", """{"definitions":{"P":{"title":"P","type":"object","properties":{"x":{"type":"number"}},"required":["x"]}},"allOf":[{"$ref":"#/definitions/P"}]}""" },
        { "strict of OpenAI", """{"type":"object","properties":{"units":{"type":["string","null"],"enum":["c","f",null]},"loc":{"type":"string","description":"where"}},"required":["units","loc"],"additionalProperties":false}""" },
        { "Pydantic optional", """{"properties":{"a":{"anyOf":[{"type":"integer"},{"type":"null"}],"default":null,"title":"A"},"t":{"default":[],"items":{"type":"string"},"type":"array","title":"T"}},"title":"M","type":"object"}""" },
        { "Pydantic discriminator", """{"$defs":{"C":{"properties":{"t":{"const":"c","type":"string"},"m":{"type":"integer"}},"required":["t","m"],"type":"object"},"D":{"properties":{"t":{"const":"d","type":"string"}},"required":["t"],"type":"object"}},"discriminator":{"mapping":{"c":"#/$defs/C","d":"#/$defs/D"},"propertyName":"t"},"oneOf":[{"$ref":"#/$defs/C"},{"$ref":"#/$defs/D"}]}""" },
        { "Pydantic tuple", """{"maxItems":2,"minItems":2,"prefixItems":[{"type":"integer"},{"format":"date","type":"string"}],"type":"array"}""" },
        { "Pydantic decimal", """{"anyOf":[{"type":"number"},{"pattern":"^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$","type":"string"}]}""" },
        { "zod email", """{"type":"string","format":"email","pattern":"^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$"}""" },
        { "zod record", """{"type":"object","propertyNames":{"type":"string","pattern":"^k\\d$"},"additionalProperties":{"type":"number"}}""" },
        { "prefixItems of two", """{"type":"array","allOf":[{"prefixItems":[{"type":"integer"}],"items":{"type":["integer","null"]}},{"prefixItems":[true,{"type":"null"},{"minimum":5}]}],"minItems":3}""" },
        { "multipleOf", """{"type":"number","multipleOf":0.01,"minimum":0,"exclusiveMaximum":10}""" },
        { "exclusive bounds", """{"type":"number","exclusiveMinimum":-0.5,"exclusiveMaximum":0.25}""" },
        { "integer as decimal bounds", """{"type":"integer","minimum":1.5,"maximum":3.2}""" },
        { "const nested", """{"const":{"a":[1,{"b":null}],"c":"\u00e9\n\"q\""}}""" },
        { "enum nested", """{"enum":[{"a":[]},[{"b":1.50}],[[]],"x",null,false]}""" },
        { "nullable", """{"type":"object","properties":{"a":{"type":"string","nullable":true}},"required":["a"]}""" },
        { "pattern with an escape", """{"type":"string","pattern":"^\\u0041[\\x42-\\x44]\\.\\/\\d+$"}""" },
        { "pattern with anchors in groups", """{"type":"string","pattern":"(^a+$)|(^$)|(?:^b|c$)"}""" },
        { "pattern of a password", """{"type":"string","pattern":"^(?=.*[A-Z])(?=.*\\d)[A-Za-z\\d]{4,9}$"}""" },
        { "pattern that excludes words", """{"type":"string","pattern":"^(?!admin$|root$)[a-z]{3,6}$"}""" },
        { "format and lengths", """{"type":"string","format":"uri","minLength":1,"maxLength":2083}""" },
        { "formats of others", """{"type":"array","prefixItems":[{"format":"idn-email","type":"string"},{"format":"iri","type":"string"},{"format":"base64","type":"string"},{"format":"ulid","type":"string"},{"format":"regex","type":"string"},{"format":"e164","type":"string"},{"format":"cidrv4","type":"string"}],"minItems":7}""" },
        { "unevaluatedProperties of references", """{"$defs":{"base":{"properties":{"id":{"type":"integer"}},"required":["id"]}},"allOf":[{"$ref":"#/$defs/base"}],"properties":{"name":{"type":"string"}},"required":["name"],"unevaluatedProperties":false}""" },
        { "unevaluatedProperties within another", """{"allOf":[{"properties":{"a":{"type":"null"}},"unevaluatedProperties":{"type":"integer"}}],"required":["a","b"],"unevaluatedProperties":false}""" },
        { "unevaluatedProperties beside names", """{"allOf":[{"patternProperties":{"^a":{"type":"null"}}}],"unevaluatedProperties":{"type":"boolean"},"minProperties":1}""" },
        { "unevaluatedProperties of not", """{"not":{"not":{"properties":{"a":true},"required":["a"]}},"unevaluatedProperties":{"type":"integer"}}""" },
        { "unevaluatedItems", """{"prefixItems":[{"type":"string"}],"type":"array","unevaluatedItems":{"type":"integer"},"maxItems":3}""" },
        { "additionalProperties beside names of others", """{"allOf":[{"patternProperties":{"^a":{}}},{"properties":{"b":{}},"additionalProperties":{"type":"null"}}],"minProperties":1}""" },
        { "uniqueItems", """{"type":"array","uniqueItems":true,"items":{"type":"integer","minimum":1,"maximum":20},"minItems":3}""" },
        { "contains twice", """{"type":"array","contains":{"type":"null"},"allOf":[{"contains":{"type":"string"},"maxContains":1}],"items":{"type":["null","string","boolean"]}}""" },
        { "minProperties", """{"type":"object","minProperties":4,"additionalProperties":{"type":"null"}}""" },
        { "minProperties of names by pattern", """{"type":"object","minProperties":2,"patternProperties":{"^x-":{"type":"integer"}},"additionalProperties":false}""" },
        { "not of elements", """{"type":"array","items":{"type":"integer"},"not":{"prefixItems":[{"maximum":3},{"minimum":4}]}}""" },
        { "if without type", """{"if":{"properties":{"a":{"const":1}},"required":["a"]},"then":{"required":["b"]},"properties":{"a":{"type":"integer"},"b":{"type":"null"}},"type":"object"}""" },
        { "dependencies", """{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}},"dependencies":{"a":["b"],"b":{"properties":{"c":{"type":"integer"}}}}}""" },
        { "annotations", """{"$schema":"https://json-schema.org/draft/2020-12/schema","$comment":"c","title":"t","description":"d","examples":[1],"default":2,"deprecated":true,"readOnly":true,"writeOnly":false,"contentMediaType":"x","x-other":{"type":"nothing"},"type":"integer"}""" },
    };

    /// <summary>A schema, a text, and whether it is one of the grammar.</summary>
    public static TheoryData<string, string, bool> Written => new()
    {
        { """{"$ref":"https://x.example/i","$defs":{"v":{"type":"null"},"i":{"$id":"https://x.example/i","properties":{"v":{"$ref":"#/$defs/v"}},"$defs":{"v":{"type":"integer"}}}}}""", """{"v":3}""", true },
        { """{"$ref":"https://x.example/i","$defs":{"v":{"type":"null"},"i":{"$id":"https://x.example/i","properties":{"v":{"$ref":"#/$defs/v"}},"$defs":{"v":{"type":"integer"}}}}}""", """{"v":null}""", false },
        { """{"type":"array","additionalItems":{"type":"null"},"items":[{"type":"integer"},{"type":"string"}]}""", """[1,"a",null,null]""", true },
        { """{"type":"array","additionalItems":{"type":"null"},"items":[{"type":"integer"},{"type":"string"}]}""", """[1,null]""", false },
        { """{"type":"integer","minimum":3,"exclusiveMinimum":true,"maximum":5,"exclusiveMaximum":true}""", "4", true },
        { """{"type":"integer","minimum":3,"exclusiveMinimum":true,"maximum":5,"exclusiveMaximum":true}""", "5", false },
        { """{"allOf":[{"properties":{"a":true}}],"properties":{"b":true},"unevaluatedProperties":false}""", """{"b":1,"a":2}""", true },
        { """{"allOf":[{"properties":{"a":true}}],"properties":{"b":true},"unevaluatedProperties":false}""", """{"c":1}""", false },
        { """{"anyOf":[{"properties":{"a":true},"required":["a"]},{"properties":{"b":true},"required":["b"]}],"unevaluatedProperties":false}""", """{"b":1}""", true },
        { """{"properties":{"a":true},"unevaluatedProperties":{"type":"integer"}}""", """{"a":"x","free":3}""", true },
        { """{"type":"object","minProperties":2}""", """{"cat":1,"dog":2}""", true },
        { """{"type":"object","minProperties":2}""", """{"cat":1,"cat":2}""", false },
        { """{"type":"array","allOf":[{"contains":{"const":1}},{"contains":{"const":2}}]}""", """[0, 2, 1]""", true },
        { """{"type":"array","allOf":[{"contains":{"const":1}},{"contains":{"const":2}}]}""", """[0, 2, 2]""", false },
        { """{"type":"string","pattern":"^(?=.*[A-Z])(?=.*\\d).{4,}$"}""", "\"abC1\"", true },
        { """{"type":"string","pattern":"^(?=.*[A-Z])(?=.*\\d).{4,}$"}""", "\"abc1\"", false },
        { """{"type":"string","pattern":"^(?!admin$)[a-z]+$"}""", "\"admins\"", true },
        { """{"type":"string","pattern":"^(?!admin$)[a-z]+$"}""", "\"admin\"", false },
        { """{"type":"string","pattern":"(^a$)|(^b$)"}""", "\"b\"", true },
        { """{"type":"string","pattern":"(^a$)|(^b$)"}""", "\"ab\"", false },
        { """{"$id":"T","properties":{"t":{"$ref":"T"}}}""", """{"t": {"t": {}}}""", true },
        { """{"prefixItems":[{"type":"integer"}],"unevaluatedItems":false}""", "[1]", true },
        { """{"prefixItems":[{"type":"integer"}],"unevaluatedItems":false}""", "[1, 2]", false },
    };
}
