using System.Text;
using System.Text.Json;
using Conclave.Engine;
using Conclave.Engine.Grammars;
using Conclave.Gateway.Completions;
using Conclave.Model.Chat;

namespace Conclave.Gateway.Http;

/// <summary>
/// The fields of a request that say what the output must be: <c>response_format</c>, <c>tool_choice</c>, and vLLM's extensions <c>guided_json</c>,
/// <c>guided_regex</c>, <c>guided_grammar</c>, <c>guided_choice</c>, which newer clients gather in <c>structured_outputs</c>.
/// </summary>
internal static class OutputFields
{
    private static readonly (string Guided, string Structured)[] Extensions =
        [("guided_json", "json"), ("guided_regex", "regex"), ("guided_grammar", "grammar"), ("guided_choice", "choice"), ("guided_json_object", "json_object")];

    /// <summary>What the fields ask for together.</summary>
    /// <exception cref="ChatFormatException">A field is of the wrong type.</exception>
    /// <exception cref="OperatingException">Two of them contradict each other.</exception>
    public static OutputWishes Read(JsonField root)
    {
        var contents = new List<(string Field, GrammarSpec Spec)>();
        if (ReadFormat(root["response_format"]?.RequireObject()) is { } format)
            contents.Add(("response_format", Limited("response_format", format)));
        JsonField? structured = root["structured_outputs"]?.RequireObject();
        foreach ((string guided, string name) in Extensions)
        {
            foreach (JsonField? field in new[] { root[guided], structured?[name] })
                if (field is { } given && ReadExtension(name, given) is { } spec)
                    contents.Add((guided, Limited(guided, spec)));
        }

        if (contents.Count > 1) throw Invalid($"{contents[1].Field}: cannot be combined with {contents[0].Field}; give one of them");
        JsonElement choice = root["tool_choice"]?.Value ?? default;
        bool named = choice.ValueKind == JsonValueKind.Object;
        bool mustCall = named || (choice.ValueKind == JsonValueKind.String && choice.ValueEquals("required"));
        return new OutputWishes(contents.Count > 0 ? contents[0].Spec : null, mustCall, named || root["parallel_tool_calls"]?.Bool() == false);
    }

    private static GrammarSpec? ReadFormat(JsonField? format)
    {
        if (format is not { } given) return null;
        return given.Required("type").String() switch
        {
            "json_object" => new GrammarSpec(GrammarKind.JsonObject, ""),
            "json_schema" => new GrammarSpec(GrammarKind.JsonSchema, SchemaOf(given.Required("json_schema").RequireObject().Required("schema"))),
            _ => null,
        };
    }

    private static GrammarSpec? ReadExtension(string name, JsonField field) => name switch
    {
        "json" when field.Value.ValueKind == JsonValueKind.String => new GrammarSpec(GrammarKind.JsonSchema, field.String()),
        "json" => new GrammarSpec(GrammarKind.JsonSchema, SchemaOf(field)),
        "regex" => new GrammarSpec(GrammarKind.Regex, field.String()),
        "grammar" => new GrammarSpec(GrammarKind.Ebnf, field.String()),
        "choice" => new GrammarSpec(GrammarKind.Ebnf, $"root ::= {string.Join(" | ", field.Items().Select(item => Quoted(item.String())).DefaultIfEmpty(Quoted("")))}"),
        _ => field.Bool() ? new GrammarSpec(GrammarKind.JsonObject, "") : null,
    };

    /// <summary>Before anything is done with it: a prompt holds it too.</summary>
    private static GrammarSpec Limited(string field, GrammarSpec spec) =>
        spec.Text.Length <= GrammarSpec.MaxLength ? spec : throw Invalid($"{field}: has {spec.Text.Length} characters, more than {GrammarSpec.MaxLength}; make it shorter");

    private static string SchemaOf(JsonField field) =>
        field.Value.ValueKind is JsonValueKind.Object or JsonValueKind.True or JsonValueKind.False ? field.Value.GetRawText() : throw field.Error("must be a JSON Schema: an object");

    private static string Quoted(string text)
    {
        var quoted = new StringBuilder("\"");
        foreach (char character in text)
        {
            _ = character switch
            {
                '"' or '\\' => quoted.Append('\\').Append(character),
                '\n' => quoted.Append("\\n"),
                '\r' => quoted.Append("\\r"),
                _ => quoted.Append(character),
            };
        }

        return quoted.Append('"').ToString();
    }

    private static OperatingException Invalid(string message) => new(OperatingError.InvalidRequest, message);
}
