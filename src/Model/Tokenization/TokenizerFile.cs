using System.Text;
using System.Text.Json;

namespace Conclave.Model.Tokenization;

/// <summary>What a <c>tokenizer.json</c> defines.</summary>
internal sealed record TokenizerFile(Vocabulary Vocabulary, PreTokenizer PreTokenizer, IReadOnlyList<AddedToken> AddedTokens)
{
    public const string FileName = "tokenizer.json";

    /// <exception cref="CheckpointException">The file is malformed or uses what is not supported; the message names the key.</exception>
    public static TokenizerFile Read(string path)
    {
        try
        {
            return Read(path, File.ReadAllBytes(path));
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new CheckpointException($"{path}: not valid JSON: {e.Message}", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException($"{path}: cannot be read: {e.Message}", e);
        }
    }

    private static TokenizerFile Read(string path, byte[] json)
    {
        var sections = new TokenizerSections(path, json);
        RefuseUnsupported(sections);

        var tokens = sections.ReadVocabulary();
        var merges = new MergeTable(sections.ReadMerges(tokens));
        var added = AddedTokenList(sections["added_tokens"], tokens);
        var vocabulary = new Vocabulary(tokens);
        var unknown = sections["model.unk_token"];
        var options = new BytePairOptions(
            sections["model.ignore_merges"].Bool(false),
            unknown.IsNull ? null : vocabulary.Find(unknown.String()) is >= 0 and var id ? id
                : throw unknown.Error("is not in the vocabulary"),
            sections["model.fuse_unk"].Bool(false),
            added.Select(token => token.Id).ToHashSet());
        var encoder = new BytePairEncoder(vocabulary, merges, options);
        return new TokenizerFile(
            vocabulary, new PreTokenizer(PreTokenizerReader.Read(sections["pre_tokenizer"]), encoder), added);
    }

    private static void RefuseUnsupported(TokenizerSections sections)
    {
        var type = sections["model.type"];
        if (!type.IsNull && type.String() != "BPE")
        {
            throw type.Error("is not supported (BPE is)");
        }

        foreach (var name in new[] { "dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback" })
        {
            var setting = sections[$"model.{name}"];
            var harmless = setting.IsNull || setting.Value.ValueKind == JsonValueKind.False
                || (setting.Value.ValueKind == JsonValueKind.String && setting.String().Length == 0)
                || (setting.Value.ValueKind == JsonValueKind.Number && setting.OptionalNumber() == 0);
            if (!harmless)
            {
                throw setting.Error("is not supported in byte-level BPE");
            }
        }

        RequireOnly(sections["normalizer"], "normalizers", null);
        RequireOnly(sections["decoder"], "decoders", "ByteLevel");
    }

    /// <summary>Accepts nothing, sequences of nothing, and parts of one type.</summary>
    private static void RequireOnly(JsonField field, string sequenceKey, string? type)
    {
        if (field.IsNull)
        {
            return;
        }

        var found = field.Object()["type"];
        if (found.String() == "Sequence")
        {
            foreach (var part in field[sequenceKey].Items())
            {
                RequireOnly(part, sequenceKey, type);
            }
        }
        else if (found.String() != type)
        {
            throw found.Error(type is null ? "is not supported: text is encoded as it is" : $"is not supported ({type} is)");
        }
    }

    /// <summary>Reads the list and completes the vocabulary by those of its tokens that the model does not have.</summary>
    private static List<AddedToken> AddedTokenList(JsonField field, WrittenTokens tokens)
    {
        var added = new List<AddedToken>();
        foreach (var item in field.IsNull ? [] : field.Items())
        {
            var token = new AddedToken(
                item.Object()["id"].Int(),
                item["content"].String(),
                item["special"].Bool(false),
                item["normalized"].Bool(true),
                item["single_word"].Bool(false),
                item["lstrip"].Bool(false),
                item["rstrip"].Bool(false));
            var content = Encoding.UTF8.GetBytes(token.Content);
            if (tokens.Find(content) != token.Id && tokens.Add(content, token.Id) is { } problem)
            {
                throw item["id"].Error($"cannot be used: '{token.Content}' {problem}");
            }

            added.Add(token);
        }

        return added;
    }
}
