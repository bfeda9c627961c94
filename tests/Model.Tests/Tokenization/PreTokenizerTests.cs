using System.Runtime.CompilerServices;
using System.Text.Json.Nodes;
using Conclave.Model.Tokenization;

namespace Conclave.Model.Tests.Tokenization;

/// <summary>
/// The golden vocabulary under other settings. Expected ids are those of the Hugging Face tokenizers library 0.23 for the
/// same <c>tokenizer.json</c>.
/// </summary>
public sealed class PreTokenizerTests
{
    private static readonly JsonNode Golden
        = JsonNode.Parse(File.ReadAllBytes(Path.Combine(TokenizerGoldens.Directory, "tokenizer.json")))!;

    public static TheoryData<string> Names => [.. Rows().Select(row => row["name"]!.GetValue<string>())];

    [Theory]
    [MemberData(nameof(Names))]
    public void EncodesAsTheReferenceUnderOtherSettings(string name)
    {
        var row = Rows().Single(row => row["name"]!.GetValue<string>() == name);
        var directory = Directory.CreateTempSubdirectory("tokenizer").FullName;
        try
        {
            File.WriteAllText(Path.Combine(directory, "tokenizer.json"), Changed(row).ToJsonString());
            var tokenizer = Tokenizer.Load(directory);
            foreach (var expected in row["cases"]!.AsArray())
            {
                Assert.Equal(
                    expected!["ids"]!.AsArray().Select(id => id!.GetValue<int>()),
                    tokenizer.Encode(expected["text"]!.GetValue<string>()));
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static JsonObject Changed(JsonNode row)
    {
        var model = Golden["model"]!;
        var merges = row["merges_as_pairs"] is not { } count ? model["merges"]!.DeepClone()
            : new JsonArray([.. model["merges"]!.AsArray().Take(count.GetValue<int>())
                .Select(merge => new JsonArray([.. merge!.GetValue<string>().Split(' ').Select(half => JsonValue.Create(half))]))]);
        return new JsonObject
        {
            ["added_tokens"] = Golden["added_tokens"]!.DeepClone(),
            ["pre_tokenizer"] = (row["pre_tokenizer"] ?? Golden["pre_tokenizer"])!.DeepClone(),
            ["model"] = new JsonObject
            {
                ["vocab"] = model["vocab"]!.DeepClone(),
                ["merges"] = merges,
                ["ignore_merges"] = row["ignore_merges"]?.DeepClone(),
            },
        };
    }

    private static IEnumerable<JsonNode> Rows([CallerFilePath] string path = "")
        => File.ReadAllLines(Path.Combine(Path.GetDirectoryName(path)!, "pre-tokenizers.jsonl")).Select(line => JsonNode.Parse(line)!);
}
