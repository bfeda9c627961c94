using System.Text.Json;

namespace Conclave.Model.Tokenization;

/// <summary>What the small files beside <c>tokenizer.json</c> say: all of them may be missing.</summary>
internal sealed record TokenizerSettings(
    int? BosTokenId, IReadOnlyList<int> EosTokenIds, bool AddBosToken, string? ChatTemplate)
{
    private const string FileName = "tokenizer_config.json";
    private const string ModelFileName = "config.json";
    private const string TemplateFileName = "chat_template.jinja";

    /// <exception cref="CheckpointException">A file is malformed; the message names file and key.</exception>
    public static TokenizerSettings Read(string directory, Vocabulary vocabulary)
    {
        var settings = ReadOptional(directory, FileName);
        var model = ReadOptional(directory, ModelFileName);
        var generation = GenerationDefaults.Load(directory);
        var eos = generation?.EosTokenIds is { Count: > 0 } ids ? ids : GenerationDefaults.TokenIds(model["eos_token_id"]);
        return new TokenizerSettings(
            TokenId(settings["bos_token"], vocabulary) ?? generation?.BosTokenId ?? model["bos_token_id"].OptionalInt(),
            eos.Count > 0 ? eos : TokenId(settings["eos_token"], vocabulary) is { } id ? [id] : [],
            settings["add_bos_token"].Bool(false),
            Template(Path.Combine(directory, TemplateFileName), settings["chat_template"]));
    }

    private static JsonField ReadOptional(string directory, string name)
    {
        var path = Path.Combine(directory, name);
        return File.Exists(path) ? JsonField.Read(path) : new JsonField(path, "", default);
    }

    /// <summary>A token named as text or as an object with its content.</summary>
    private static int? TokenId(JsonField field, Vocabulary vocabulary)
    {
        if (field.IsNull)
        {
            return null;
        }

        var content = field.Value.ValueKind == JsonValueKind.Object ? field["content"] : field;
        return vocabulary.Find(content.String()) is >= 0 and var id ? id
            : throw content.Error($"is not a token of {TokenizerFile.FileName}");
    }

    /// <summary>The template file comes first, as in the reference; of a list of named templates the one called "default".</summary>
    private static string? Template(string path, JsonField field)
    {
        if (File.Exists(path))
        {
            return File.ReadAllText(path);
        }

        if (field.IsNull || field.Value.ValueKind != JsonValueKind.Array)
        {
            return field.IsNull ? null : field.String();
        }

        var templates = field.Items().ToList();
        return templates.Count == 0 ? null
            : templates.Find(item => item.Object()["name"].String() == "default") is { Value.ValueKind: JsonValueKind.Object } chosen
                ? chosen["template"].String()
                : templates[0]["template"].String();
    }
}
