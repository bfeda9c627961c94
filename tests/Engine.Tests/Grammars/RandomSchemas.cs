using System.Text.Json.Nodes;

namespace Conclave.Engine.Tests.Grammars;

/// <summary>Random schemas of what the product supports, each with at least one value.</summary>
internal sealed class RandomSchemas(int seed)
{
    private static readonly string[] Names = ["a", "ab", "name", "x y", "é", "quote\"d", "back\\slash", "日本", "line\nfeed", "", "a｜b"];
    private static readonly string[] Patterns = ["^[a-z]{2,5}$", "^(foo|bar|\\d+)$", "a", "^\\w+-\\d{3}$", "^[^\\s\"]+$", "^é*日?$", "\\.$", "^(?:[A-Z]\\d){1,3}", "^x|y$"];
    private static readonly string[] Formats = ["date", "date-time", "time", "uuid", "email", "ipv4", "ipv6", "uri", "hostname"];

    private readonly Random _random = new(seed);

    public JsonObject Next()
    {
        JsonObject schema = Object(depth: 3);
        if (_random.Next(3) == 0 && !schema.ContainsKey("propertyNames"))
        {
            schema["$defs"] = new JsonObject
            {
                ["node"] = new JsonObject
                {
                    ["type"] = "object",
                    ["properties"] = new JsonObject { ["value"] = Schema(1), ["next"] = Any(new JsonObject { ["$ref"] = "#/$defs/node" }, new JsonObject { ["type"] = "null" }) },
                    ["required"] = new JsonArray("value", "next"),
                    ["additionalProperties"] = false,
                },
            };
            schema["properties"]!.AsObject()["list"] = new JsonObject { ["$ref"] = "#/$defs/node" };
            schema["properties"]!.AsObject()["lists"] = new JsonObject { ["type"] = "array", ["items"] = new JsonObject { ["$ref"] = "#/$defs/node" } };
        }

        return schema;
    }

    private JsonObject Schema(int depth) => _random.Next(depth > 0 ? 21 : 14) switch
    {
        0 => new JsonObject { ["type"] = "boolean" },
        1 => new JsonObject { ["type"] = new JsonArray("string", "null") },
        2 => Number("integer"),
        3 => Number("number"),
        4 => new JsonObject { ["enum"] = new JsonArray("red", 1, null, "a\"b", new JsonArray(1, 2), 2.5) },
        5 => new JsonObject { ["const"] = Names[_random.Next(Names.Length)] },
        6 => Text(),
        7 => new JsonObject { ["type"] = "string", ["format"] = Formats[_random.Next(Formats.Length)] },
        8 => new JsonObject { ["type"] = "string", ["nullable"] = true, ["description"] = "ignored" },
        9 => Logic(),
        10 => OneOf(),
        11 => Without(),
        12 => Unevaluated(),
        13 => Counted(),
        14 or 15 => Object(depth - 1),
        16 => Array(depth - 1),
        17 => Patterned(depth - 1),
        18 => Any(Schema(depth - 1), Schema(depth - 1), new JsonObject { ["type"] = "null" }),
        _ => new JsonObject
        {
            ["allOf"] = new JsonArray(
                new JsonObject { ["type"] = "object", ["properties"] = new JsonObject { ["left"] = Schema(0) }, ["required"] = new JsonArray("left") },
                new JsonObject { ["type"] = "object", ["properties"] = new JsonObject { ["right"] = Schema(0), ["left"] = new JsonObject() } }),
        },
    };

    /// <summary>Exactly one of branches that overlap.</summary>
    private JsonObject OneOf() => Parse(_random.Next(7) switch
    {
        0 => """{"oneOf":[{"type":"integer"},{"type":"number","maximum":20},{"type":"string","maxLength":3}]}""",
        1 => """{"type":"integer","oneOf":[{"multipleOf":3},{"multipleOf":4},{"minimum":1000}]}""",
        2 => """{"type":"string","oneOf":[{"maxLength":4},{"pattern":"^a"},{"const":"abcdef"}]}""",
        3 => """{"oneOf":[{"properties":{"a":{"const":1}}},{"properties":{"a":{"enum":[1,2]},"b":{"type":"null"}},"required":["a"]}],"type":"object"}""",
        4 => """{"oneOf":[{"enum":["x","y",1]},{"enum":["y",2]},{"type":"integer"}]}""",
        5 => """{"oneOf":[{"type":"array","minItems":2,"maxItems":4},{"type":"array","maxItems":2,"items":{"type":"boolean"}},{"type":"null"}]}""",
        _ => """{"oneOf":[{"oneOf":[{"type":"string"},{"const":"a"}]},{"type":"string","minLength":3}]}""",
    });

    private JsonObject Without() => Parse(_random.Next(7) switch
    {
        0 => """{"type":"string","not":{"pattern":"[a-f\\d]"}}""",
        1 => """{"not":{"type":["string","integer","object","array"]}}""",
        2 => """{"type":["integer","string"],"not":{"enum":[1,2,"", "a"]}}""",
        3 => """{"type":"number","not":{"minimum":-3,"maximum":4.5}}""",
        4 => """{"type":"array","items":{"type":"integer","maximum":9},"not":{"items":{"minimum":0}}}""",
        5 => """{"type":"object","properties":{"a":true,"b":{"type":"null"}},"not":{"required":["a"],"properties":{"b":{"type":"null"}}}}""",
        _ => """{"not":{"anyOf":[{"type":"object"},{"not":{"type":["null","object","boolean"]}}]}}""",
    });

    /// <summary>Names and elements that nothing speaks of.</summary>
    private JsonObject Unevaluated() => Parse(_random.Next(6) switch
    {
        0 => """{"type":"object","allOf":[{"properties":{"a":{"type":"null"}}},{"properties":{"b":{"type":"integer"}},"required":["b"]}],"properties":{"c":true},"unevaluatedProperties":false}""",
        1 => """{"type":"object","properties":{"k":{"enum":["x","y"]}},"required":["k"],"anyOf":[{"properties":{"k":{"const":"x"},"x":{"type":"null"}}},{"properties":{"k":{"const":"y"},"y":{"type":"null"}}}],"unevaluatedProperties":{"type":"boolean"}}""",
        2 => """{"type":"object","if":{"properties":{"a":{"const":1}},"required":["a"]},"then":{"properties":{"b":{"type":"null"}}},"else":{"patternProperties":{"^c":{"type":"integer"}}},"unevaluatedProperties":false}""",
        3 => """{"type":"array","prefixItems":[{"type":"string"}],"anyOf":[{"prefixItems":[true,{"type":"null"}]},{"items":{"type":"string"}}],"unevaluatedItems":{"type":"boolean"}}""",
        4 => """{"type":"array","allOf":[{"prefixItems":[{"type":"integer"},{"type":"integer"}]},{"prefixItems":[{"minimum":3}],"minItems":1}],"unevaluatedItems":false}""",
        _ => """{"type":"object","properties":{"a":true},"dependentSchemas":{"a":{"properties":{"b":{"type":"null"}},"required":["b"]}},"oneOf":[{"properties":{"n":{"type":"integer"}},"required":["n"]},{"properties":{"s":{"type":"null"}},"required":["s"]}],"unevaluatedProperties":false}""",
    });

    /// <summary>What is counted, and what must differ.</summary>
    private JsonObject Counted() => Parse(_random.Next(7) switch
    {
        0 => """{"type":"array","items":{"type":["integer","null","boolean"]},"allOf":[{"contains":{"type":"null"}},{"contains":{"type":"integer"},"minContains":2,"maxContains":3}]}""",
        1 => """{"type":"array","uniqueItems":true,"items":{"type":"integer","minimum":-2,"exclusiveMaximum":3},"minItems":2}""",
        2 => """{"type":"array","uniqueItems":true,"items":{"anyOf":[{"const":"a"},{"const":{"x":1}},{"type":"boolean"},{"enum":["a",2,2.0]}]}}""",
        3 => """{"type":"object","minProperties":3}""",
        4 => """{"type":"object","minProperties":3,"maxProperties":5,"properties":{"a":{"type":"null"}},"additionalProperties":{"type":"boolean"},"propertyNames":{"maxLength":4}}""",
        5 => """{"type":"array","not":{"contains":{"type":"null"},"minContains":2,"maxContains":3},"items":{"type":["null","boolean"]}}""",
        _ => """{"type":"array","not":{"prefixItems":[{"type":"integer"},{"type":"string"}],"items":{"type":"null"}}}""",
    });

    private JsonObject Logic() => Parse(_random.Next(7) switch
    {
        0 => """{"type":"object","properties":{"kind":{"enum":["x","y"]},"n":{"type":"integer"}},"if":{"properties":{"kind":{"const":"x"}},"required":["kind"]},"then":{"required":["n"]},"else":{"maxProperties":1}}""",
        1 => """{"if":{"type":"integer"},"then":{"minimum":3},"else":{"enum":["a",2.5,null]}}""",
        2 => """{"properties":{"a":{"type":"null"},"b":{"type":"null"},"c":{"type":"null"}},"dependentRequired":{"a":["c"],"b":["a"]},"minProperties":1,"maxProperties":2}""",
        3 => """{"properties":{"a":{"type":"null"},"b":true},"dependentSchemas":{"a":{"properties":{"b":{"type":"integer"}},"required":["b"]}}}""",
        4 => """{"type":"array","items":{"enum":["p","q",1,2]},"uniqueItems":true,"minItems":1}""",
        5 => """{"type":"array","contains":{"type":"null"},"minContains":1,"maxContains":2,"minItems":2}""",
        _ => """{"type":"array","prefixItems":[{"type":"string"}],"items":{"type":["integer","null"]},"contains":{"minimum":5,"type":"integer"}}""",
    });

    /// <summary>Names by pattern beside names by declaration.</summary>
    private JsonObject Patterned(int depth)
    {
        var schema = new JsonObject
        {
            ["type"] = "object",
            ["patternProperties"] = new JsonObject { ["^[a-m]"] = Schema(0), ["\\d$"] = new JsonObject { ["type"] = new JsonArray("null", "integer", "string", "object", "array", "boolean") } },
            ["properties"] = new JsonObject { ["zoo"] = Schema(depth), ["z1"] = new JsonObject { ["type"] = "boolean" } },
        };
        if (_random.Next(2) == 0)
            schema["additionalProperties"] = _random.Next(2) == 0 ? JsonValue.Create(false) : Schema(0);
        if (_random.Next(3) == 0)
            schema["propertyNames"] = new JsonObject { ["maxLength"] = 5, ["not"] = new JsonObject { ["const"] = "x" } };
        if (_random.Next(2) == 0)
            (schema["minProperties"], schema["maxProperties"]) = (_random.Next(3), 4);
        return schema;
    }

    private static JsonObject Parse(string schema) => JsonNode.Parse(schema)!.AsObject();

    private static JsonObject Any(params JsonNode[] branches) => new() { ["anyOf"] = new JsonArray(branches) };

    private JsonObject Number(string type)
    {
        var schema = new JsonObject { ["type"] = type };
        decimal low = _random.Next(-2000, 2000) / (type == "integer" ? 1m : 100m);
        if (_random.Next(2) == 0)
            schema[_random.Next(2) == 0 ? "minimum" : "exclusiveMinimum"] = low;
        if (_random.Next(2) == 0)
            schema[_random.Next(2) == 0 ? "maximum" : "exclusiveMaximum"] = low + _random.Next(2, 500);
        if (_random.Next(4) == 0)
            schema["multipleOf"] = type == "integer" ? _random.Next(1, 3) : 0.25m;
        return schema;
    }

    private JsonObject Text()
    {
        var schema = new JsonObject { ["type"] = "string" };
        int min = _random.Next(4);
        if (_random.Next(2) == 0)
            (schema["minLength"], schema["maxLength"]) = (min, min + _random.Next(0, 6));
        else if (_random.Next(2) == 0)
            schema["pattern"] = Patterns[_random.Next(Patterns.Length)];
        else
            (schema["pattern"], schema["minLength"], schema["maxLength"]) = ("^[a-z\"]+é?", min, min + 3);
        return schema;
    }

    private JsonObject Object(int depth)
    {
        var properties = new JsonObject();
        var required = new JsonArray();
        foreach (string name in Names.OrderBy(_ => _random.Next()).Take(_random.Next(0, 5)))
        {
            properties[name] = Schema(depth - 1);
            if (_random.Next(2) == 0)
                required.Add(name);
        }

        if (_random.Next(5) == 0)
            required.Add("undeclared");
        var schema = new JsonObject { ["type"] = "object", ["properties"] = properties, ["required"] = required };
        switch (_random.Next(4))
        {
            case 0:
                if (!required.Any(name => (string)name! == "undeclared"))
                    schema["additionalProperties"] = false;
                break;
            case 1:
                schema["additionalProperties"] = Schema(0);
                break;
            case 2 when properties.Count == 0 && required.Count == 0:
                (schema["minProperties"], schema["maxProperties"]) = (1, 3);
                schema["propertyNames"] = new JsonObject { ["pattern"] = "^[a-z]+$" };
                break;
        }

        return schema;
    }

    private JsonObject Array(int depth)
    {
        var schema = new JsonObject { ["type"] = "array" };
        if (_random.Next(2) == 0)
            schema["items"] = Schema(depth - 1);
        if (_random.Next(3) == 0)
            schema["prefixItems"] = new JsonArray(Schema(0), Schema(0));
        int min = _random.Next(3);
        if (_random.Next(2) == 0)
            schema["minItems"] = min;
        if (_random.Next(2) == 0)
            schema["maxItems"] = min + _random.Next(0, 3);
        return schema;
    }
}
