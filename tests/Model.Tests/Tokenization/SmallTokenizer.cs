using System.Text.Json.Nodes;
using Conclave.Model.Tokenization;

namespace Conclave.Model.Tests.Tokenization;

/// <summary>A tokenizer directory with one token a byte and a few merges, to be changed by each test before loading.</summary>
internal sealed class SmallTokenizer : IDisposable
{
    public SmallTokenizer()
    {
        var vocabulary = new JsonObject();
        for (var value = 0; value < 256; value++)
        {
            vocabulary[Written((byte)value)] = value;
        }

        var merges = new JsonArray();
        foreach (var (left, right) in new[] { ("t", "h"), ("th", "e"), ("Ġ", "the"), ("a", "b") })
        {
            merges.Add($"{left} {right}");
            vocabulary[left + right] = vocabulary.Count;
        }

        Json = new JsonObject
        {
            ["version"] = "1.0",
            ["added_tokens"] = new JsonArray(),
            ["normalizer"] = null,
            ["pre_tokenizer"] = new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["use_regex"] = true },
            ["decoder"] = new JsonObject { ["type"] = "ByteLevel" },
            ["model"] = new JsonObject { ["type"] = "BPE", ["vocab"] = vocabulary, ["merges"] = merges },
        };
    }

    public const int The = 257;
    public const int Ab = 259;
    public const int SpaceThe = 258;

    public JsonObject Json { get; }

    public JsonObject Vocabulary => Json["model"]!["vocab"]!.AsObject();

    public string Directory { get; } = System.IO.Directory.CreateTempSubdirectory("tokenizer").FullName;

    /// <summary>Adds a token; returns its id.</summary>
    public int Add(
        string content, bool special = false, bool normalized = false, bool word = false, bool left = false, bool right = false)
    {
        var added = Json["added_tokens"]!.AsArray();
        var id = Vocabulary.Count + added.Count;
        added.Add(new JsonObject
        {
            ["id"] = id,
            ["content"] = content,
            ["special"] = special,
            ["normalized"] = normalized,
            ["single_word"] = word,
            ["lstrip"] = left,
            ["rstrip"] = right,
        });
        return id;
    }

    public void Write(string name, string text) => File.WriteAllText(Path.Combine(Directory, name), text);

    public Tokenizer Load()
    {
        Write("tokenizer.json", Json.ToJsonString());
        return Tokenizer.Load(Directory);
    }

    public void Dispose() => System.IO.Directory.Delete(Directory, recursive: true);

    private static string Written(byte value)
    {
        var printable = value is (>= 33 and <= 126) or (>= 161 and <= 172) or >= 174;
        var position = value < 33 ? value : value < 161 ? value - 94 : 67;
        return ((char)(printable ? value : 256 + position)).ToString();
    }
}
