using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Conclave.Model.Checkpoints;

/// <summary>
/// The trivial tokenizer of synthesized checkpoints: one token a byte, the family's markers, and numbered fillers up to the vocabulary's
/// size so that whatever id is sampled has a text. A vocabulary too small for all drops fillers first, then markers, then rare bytes.
/// </summary>
public static class SyntheticTokenizer
{
    private const string Begin = "<｜begin▁of▁sentence｜>";
    private const string End = "<｜end▁of▁sentence｜>";

    private static readonly string[] Markers =
    [
        "<｜User｜>", "<｜Assistant｜>", "<think>", "</think>",
        "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>",
        "<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>", "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>", "<｜tool▁sep｜>",
        "<｜fim▁hole｜>", "<｜fim▁begin｜>", "<｜fim▁end｜>",
    ];

    private static readonly JsonSerializerOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Writes <c>tokenizer.json</c> and <c>tokenizer_config.json</c> for the vocabulary of <paramref name="config"/>.</summary>
    public static void Write(ModelConfig config, string directory)
    {
        var added = AddedTokens(config);
        var vocabulary = new JsonObject();
        var texts = Bytes().Concat(Enumerable.Range(0, config.VocabularySize).Select(number => $"Ġt{number}")).GetEnumerator();
        for (var id = 0; id < config.VocabularySize; id++)
        {
            if (!added.ContainsKey(id) && texts.MoveNext())
                vocabulary[texts.Current] = id;
        }
        var byteLevel = new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["trim_offsets"] = true, ["use_regex"] = false };
        var tokenizer = new JsonObject
        {
            ["version"] = "1.0",
            ["truncation"] = null,
            ["padding"] = null,
            ["added_tokens"] = new JsonArray([.. added.OrderBy(token => token.Key).Select(token => AddedToken(token.Key, token.Value))]),
            ["normalizer"] = null,
            ["pre_tokenizer"] = byteLevel,
            ["post_processor"] = byteLevel.DeepClone(),
            ["decoder"] = byteLevel.DeepClone(),
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["dropout"] = null,
                ["unk_token"] = null,
                ["continuing_subword_prefix"] = null,
                ["end_of_word_suffix"] = null,
                ["fuse_unk"] = false,
                ["byte_fallback"] = false,
                ["vocab"] = vocabulary,
                ["merges"] = new JsonArray(),
            },
        };
        File.WriteAllText(Path.Combine(directory, "tokenizer.json"), tokenizer.ToJsonString(Readable));
        var settings = new JsonObject
        {
            ["add_bos_token"] = true,
            ["add_eos_token"] = false,
            ["bos_token"] = added.ContainsValue(Begin) ? Begin : null,
            ["eos_token"] = added.ContainsValue(End) ? End : null,
            ["model_max_length"] = config.MaxPositions,
            ["tokenizer_class"] = "LlamaTokenizerFast",
        };
        File.WriteAllText(Path.Combine(directory, "tokenizer_config.json"), settings.ToJsonString(Readable));
    }

    /// <summary>Markers by id: begin and end where the configuration wants them, the others at the end of the vocabulary if 256 bytes fit before them.</summary>
    private static Dictionary<int, string> AddedTokens(ModelConfig config)
    {
        var added = new Dictionary<int, string>();
        if (config.BosTokenId is { } begin)
            added[begin] = Begin;
        if (config.EosTokenIds is [var end, ..])
            added.TryAdd(end, End);
        var free = config.VocabularySize - added.Count - 256;
        var id = config.VocabularySize - 1;
        foreach (var marker in Markers.Take(Math.Max(free, 0)))
        {
            while (added.ContainsKey(id))
                id--;
            added[id] = marker;
        }
        return added;
    }

    private static JsonObject AddedToken(int id, string text) => new()
    {
        ["id"] = id,
        ["content"] = text,
        ["single_word"] = false,
        ["lstrip"] = false,
        ["rstrip"] = false,
        ["normalized"] = false,
        ["special"] = text is Begin or End,
    };

    /// <summary>The symbols of byte-level BPE: printable Latin-1 stands for itself, other bytes for the code points from U+0100 on; ASCII text first.</summary>
    private static IEnumerable<string> Bytes()
    {
        var other = 0;
        var symbols = Enumerable.Range(0, 256).Select(octet => octet is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or >= 0xAE ? (char)octet : (char)(0x100 + other++)).ToArray();
        return Enumerable.Range(0, 256).OrderBy(octet => octet is (>= ' ' and <= '~') or '\n' ? 0 : 1).Select(octet => symbols[octet].ToString());
    }
}
