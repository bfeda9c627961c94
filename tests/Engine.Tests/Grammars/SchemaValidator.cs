using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Conclave.Engine.Tests.Grammars;

/// <summary>Says whether a value fits a schema: written from the standard, slow and plain, and unlike the product's code in every way.</summary>
internal static class SchemaValidator
{
    /// <summary>Null if it fits; else why not.</summary>
    public static string? Problem(JsonElement root, JsonElement schema, JsonElement value, string at = "$")
    {
        if (schema.ValueKind == JsonValueKind.True) return null;
        if (schema.ValueKind == JsonValueKind.False) return $"{at}: nothing is allowed";
        foreach (JsonProperty keyword in schema.EnumerateObject())
        {
            string? problem = Check(root, schema, keyword.Name, keyword.Value, value, at);
            if (problem is not null) return problem;
        }

        return null;
    }

    private static string? Check(JsonElement root, JsonElement schema, string name, JsonElement rule, JsonElement value, string at)
    {
        bool Fits(JsonElement one) => Problem(root, one, value, at) is null;
        return name switch
        {
            "type" => Require(TypesOf(schema, rule).Any(type => IsType(value, type)), at, $"is {value.ValueKind}, not {rule}"),
            "enum" => Require(rule.EnumerateArray().Any(one => JsonElement.DeepEquals(one, value)), at, "is none of the enum"),
            "const" => Require(JsonElement.DeepEquals(rule, value), at, "is not the const"),
            "$ref" or "$dynamicRef" => Problem(root, Resolve(root, rule.GetString()!), value, at),
            "unevaluatedProperties" when value.ValueKind == JsonValueKind.Object => value.EnumerateObject()
                .Where(member => !Evaluated(root, schema, value, isOuter: true).Contains(member.Name)).Select(member => Problem(root, rule, member.Value, $"{at}.{member.Name}")).FirstOrDefault(problem => problem is not null),
            "unevaluatedItems" when value.ValueKind == JsonValueKind.Array => value.EnumerateArray().Skip(EvaluatedItems(root, schema, value, isOuter: true))
                .Select(item => Problem(root, rule, item, $"{at}[]")).FirstOrDefault(problem => problem is not null),
            "allOf" => rule.EnumerateArray().Select(one => Problem(root, one, value, at)).FirstOrDefault(problem => problem is not null),
            "anyOf" => Require(rule.EnumerateArray().Any(one => Fits(one)), at, "fits no anyOf"),
            "oneOf" => Require(rule.EnumerateArray().Count(one => Fits(one)) == 1, at, "does not fit exactly one of oneOf"),
            "not" => Require(!Fits(rule), at, "fits what it must not"),
            "if" => schema.TryGetProperty(Fits(rule) ? "then" : "else", out JsonElement then) ? Problem(root, then, value, at) : null,
            _ => value.ValueKind switch
            {
                JsonValueKind.Object => CheckObject(root, schema, name, rule, value, at),
                JsonValueKind.Array => CheckArray(root, schema, name, rule, value, at),
                JsonValueKind.String => CheckString(name, rule, value.GetString()!, at),
                JsonValueKind.Number => CheckNumber(name, rule, value.GetDecimal(), at),
                _ => null,
            },
        };
    }

    /// <summary>Schemas that hold for the same value and that it fits.</summary>
    private static IEnumerable<JsonElement> InPlace(JsonElement root, JsonElement schema, JsonElement value)
    {
        bool Fits(JsonElement one) => Problem(root, one, value) is null;
        foreach (JsonProperty keyword in schema.EnumerateObject())
        {
            IEnumerable<JsonElement> parts = keyword.Name switch
            {
                "allOf" or "anyOf" or "oneOf" => keyword.Value.EnumerateArray(),
                "$ref" or "$dynamicRef" => [Resolve(root, keyword.Value.GetString()!)],
                "if" => Fits(keyword.Value) ? schema.TryGetProperty("then", out JsonElement then) ? [keyword.Value, then] : [keyword.Value] : schema.TryGetProperty("else", out JsonElement other) ? [other] : [],
                "dependentSchemas" => keyword.Value.EnumerateObject().Where(one => value.TryGetProperty(one.Name, out _)).Select(one => one.Value),
                _ => [],
            };
            foreach (JsonElement part in parts)
            {
                if (part.ValueKind == JsonValueKind.Object && Fits(part)) yield return part;
            }
        }
    }

    /// <summary>Names of properties that a schema speaks of.</summary>
    private static HashSet<string> Evaluated(JsonElement root, JsonElement schema, JsonElement value, bool isOuter)
    {
        HashSet<string> names = [.. InPlace(root, schema, value).SelectMany(part => Evaluated(root, part, value, isOuter: false))];
        bool isAll = schema.TryGetProperty("additionalProperties", out _) || (!isOuter && schema.TryGetProperty("unevaluatedProperties", out _));
        foreach (JsonProperty member in value.EnumerateObject())
        {
            if (isAll || (schema.TryGetProperty("properties", out JsonElement properties) && properties.TryGetProperty(member.Name, out _))
                || (schema.TryGetProperty("patternProperties", out JsonElement patterns) && patterns.EnumerateObject().Any(pattern => Regex.IsMatch(member.Name, pattern.Name)))) names.Add(member.Name);
        }

        return names;
    }

    /// <summary>Elements that a schema speaks of, from the first on.</summary>
    private static int EvaluatedItems(JsonElement root, JsonElement schema, JsonElement value, bool isOuter)
    {
        int count = InPlace(root, schema, value).Select(part => EvaluatedItems(root, part, value, isOuter: false)).DefaultIfEmpty(0).Max();
        if (schema.TryGetProperty("prefixItems", out JsonElement prefix)) count = Math.Max(count, prefix.GetArrayLength());
        return schema.TryGetProperty("items", out _) || (!isOuter && schema.TryGetProperty("unevaluatedItems", out _)) ? int.MaxValue : count;
    }

    private static IEnumerable<string> TypesOf(JsonElement schema, JsonElement rule)
    {
        if (schema.TryGetProperty("nullable", out JsonElement nullable) && nullable.ValueKind == JsonValueKind.True) yield return "null";
        foreach (JsonElement type in rule.ValueKind == JsonValueKind.Array ? rule.EnumerateArray().ToArray() : [rule]) yield return type.GetString()!;
    }

    private static bool IsType(JsonElement value, string type) => type switch
    {
        "null" => value.ValueKind == JsonValueKind.Null,
        "boolean" => value.ValueKind is JsonValueKind.True or JsonValueKind.False,
        "object" => value.ValueKind == JsonValueKind.Object,
        "array" => value.ValueKind == JsonValueKind.Array,
        "string" => value.ValueKind == JsonValueKind.String,
        "number" => value.ValueKind == JsonValueKind.Number,
        _ => value.ValueKind == JsonValueKind.Number && double.IsInteger(value.GetDouble()),
    };

    /// <summary>By pointer, or by an anchor or id anywhere.</summary>
    private static JsonElement Resolve(JsonElement root, string reference) => reference[0] != '#' || reference.Length > 1 && reference[1] != '/'
        ? Named(root, reference.Split('/')[^1].TrimStart('#'))!.Value
        : reference.Split('/').Skip(1).Aggregate(root, (at, part) =>
        {
            string name = Uri.UnescapeDataString(part).Replace("~1", "/").Replace("~0", "~");
            return at.ValueKind == JsonValueKind.Array ? at[int.Parse(name)] : at.GetProperty(name);
        });

    private static JsonElement? Named(JsonElement at, string name)
    {
        if (at.ValueKind == JsonValueKind.Array) return at.EnumerateArray().Select(one => Named(one, name)).FirstOrDefault(found => found is not null);
        if (at.ValueKind != JsonValueKind.Object) return null;
        bool isIt = at.EnumerateObject().Any(one => one.Name is "$anchor" or "$dynamicAnchor" or "$id" && one.Value.ValueKind == JsonValueKind.String && one.Value.GetString()!.Split('/')[^1].TrimStart('#') == name);
        return isIt ? at : at.EnumerateObject().Select(one => Named(one.Value, name)).FirstOrDefault(found => found is not null);
    }

    private static string? CheckObject(JsonElement root, JsonElement schema, string name, JsonElement rule, JsonElement value, string at)
    {
        switch (name)
        {
            case "properties":
                foreach (JsonProperty property in rule.EnumerateObject())
                {
                    foreach (JsonProperty member in value.EnumerateObject().Where(member => member.Name == property.Name))
                    {
                        if (Problem(root, property.Value, member.Value, $"{at}.{property.Name}") is { } problem) return problem;
                    }
                }

                return null;
            case "required":
                return rule.EnumerateArray().Select(one => one.GetString()!).FirstOrDefault(one => !value.TryGetProperty(one, out _)) is { } missing ? $"{at}: lacks {missing}" : null;
            case "additionalProperties":
                var known = schema.TryGetProperty("properties", out JsonElement properties) ? properties.EnumerateObject().Select(property => property.Name).ToHashSet() : [];
                Regex[] patterns = schema.TryGetProperty("patternProperties", out JsonElement given) ? [.. given.EnumerateObject().Select(one => new Regex(one.Name))] : [];
                return value.EnumerateObject().Where(member => !known.Contains(member.Name) && !patterns.Any(pattern => pattern.IsMatch(member.Name)))
                    .Select(member => Problem(root, rule, member.Value, $"{at}.{member.Name}")).FirstOrDefault(problem => problem is not null);
            case "propertyNames":
                return value.EnumerateObject().Select(member => Problem(root, rule, JsonSerializer.SerializeToElement(member.Name), at)).FirstOrDefault(problem => problem is not null);
            case "patternProperties":
                return value.EnumerateObject().SelectMany(member => rule.EnumerateObject().Where(one => Regex.IsMatch(member.Name, one.Name)).Select(one => Problem(root, one.Value, member.Value, at)))
                    .FirstOrDefault(problem => problem is not null);
            case "minProperties": return Require(value.EnumerateObject().DistinctBy(member => member.Name).Count() >= rule.GetInt32(), at, "has too few properties");
            case "maxProperties": return Require(value.EnumerateObject().DistinctBy(member => member.Name).Count() <= rule.GetInt32(), at, "has too many properties");
            case "dependentRequired":
                return rule.EnumerateObject().Where(one => value.TryGetProperty(one.Name, out _)).SelectMany(one => one.Value.EnumerateArray())
                    .FirstOrDefault(needed => !value.TryGetProperty(needed.GetString()!, out _)) is { ValueKind: JsonValueKind.String } lacking ? $"{at}: lacks {lacking}, which another needs" : null;
            case "dependentSchemas":
                return rule.EnumerateObject().Where(one => value.TryGetProperty(one.Name, out _)).Select(one => Problem(root, one.Value, value, at)).FirstOrDefault(problem => problem is not null);
            default: return null;
        }
    }

    private static string? CheckArray(JsonElement root, JsonElement schema, string name, JsonElement rule, JsonElement value, string at)
    {
        switch (name)
        {
            case "uniqueItems":
                JsonElement[] all = [.. value.EnumerateArray()];
                return Require(rule.ValueKind != JsonValueKind.True || !all.Where((one, i) => all.Take(i).Any(other => JsonElement.DeepEquals(one, other))).Any(), at, "has equal elements");
            case "contains":
                int found = value.EnumerateArray().Count(one => Problem(root, rule, one, at) is null);
                int least = schema.TryGetProperty("minContains", out JsonElement min) ? min.GetInt32() : 1;
                return Require(found >= least && (!schema.TryGetProperty("maxContains", out JsonElement max) || found <= max.GetInt32()), at, $"contains {found}");
            case "minItems": return Require(value.GetArrayLength() >= rule.GetInt32(), at, "is too short");
            case "maxItems": return Require(value.GetArrayLength() <= rule.GetInt32(), at, "is too long");
            case "prefixItems":
                return value.EnumerateArray().Zip(rule.EnumerateArray()).Select(pair => Problem(root, pair.Second, pair.First, $"{at}[]")).FirstOrDefault(problem => problem is not null);
            case "items":
                int skipped = schema.TryGetProperty("prefixItems", out JsonElement prefix) ? prefix.GetArrayLength() : 0;
                return value.EnumerateArray().Skip(skipped).Select(item => Problem(root, rule, item, $"{at}[]")).FirstOrDefault(problem => problem is not null);
            default: return null;
        }
    }

    private static string? CheckString(string name, JsonElement rule, string value, string at) => name switch
    {
        "minLength" => Require(value.EnumerateRunes().Count() >= rule.GetInt32(), at, "is too short"),
        "maxLength" => Require(value.EnumerateRunes().Count() <= rule.GetInt32(), at, "is too long"),
        "pattern" => Require(Regex.IsMatch(value, rule.GetString()!), at, $"'{value}' does not match {rule}"),
        "format" => Require(FitsFormat(rule.GetString()!, value), at, $"'{value}' is no {rule}"),
        _ => null,
    };

    private static bool FitsFormat(string format, string value) => format switch
    {
        "date" => DateOnly.TryParseExact(value, "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out _),
        "date-time" => value.Contains('T') && DateTimeOffset.TryParse(value, CultureInfo.InvariantCulture, out _),
        "time" => DateTimeOffset.TryParse($"2000-01-02T{value}", CultureInfo.InvariantCulture, out _),
        "uuid" => Guid.TryParseExact(value, "D", out _),
        "email" => System.Net.Mail.MailAddress.TryCreate(value, out _),
        "ipv4" => System.Net.IPAddress.TryParse(value, out var four) && four.AddressFamily == System.Net.Sockets.AddressFamily.InterNetwork && value.Split('.').Length == 4,
        "ipv6" => System.Net.IPAddress.TryParse(value, out var six) && six.AddressFamily == System.Net.Sockets.AddressFamily.InterNetworkV6,
        "uri" => Uri.TryCreate(value, UriKind.Absolute, out _),
        "regex" => Regex.IsMatch("", $"(?:{value})?"),
        "base64" => Convert.TryFromBase64String(value, new byte[value.Length], out _),
        "hostname" => Uri.CheckHostName(value) is not UriHostNameType.Unknown,
        _ => true,
    };

    private static string? CheckNumber(string name, JsonElement rule, decimal value, string at) => name switch
    {
        "minimum" => Require(value >= rule.GetDecimal(), at, $"{value} is below {rule}"),
        "maximum" => Require(value <= rule.GetDecimal(), at, $"{value} is above {rule}"),
        "exclusiveMinimum" => Require(value > rule.GetDecimal(), at, $"{value} is not above {rule}"),
        "exclusiveMaximum" => Require(value < rule.GetDecimal(), at, $"{value} is not below {rule}"),
        "multipleOf" => Require(value % rule.GetDecimal() == 0, at, $"{value} is no multiple of {rule}"),
        _ => null,
    };

    private static string? Require(bool holds, string at, string problem) => holds ? null : $"{at}: {problem}";
}
