using System.Text.Json.Nodes;

namespace Conclave.Cli.Tests;

/// <summary>The commands over JSON lines, on all golden cases.</summary>
public sealed class FilterTests
{
    [Fact]
    public async Task Tokenize_and_detokenize_the_goldens()
    {
        JsonNode[] cases = Read("tokenizer/cases.jsonl");
        string[] model = ["--model", Command.Golden("tokenizer")];
        Outcome ids = await Command.Run(["tokenize", .. model], Lines(cases.Select(c => Only(c, "text"))));
        Assert.True(ids.Code == 0, ids.Error);
        AssertSame(cases.Select(c => Only(c, "ids")), ids.Lines);

        JsonNode[] decoded = [.. cases, .. Read("tokenizer/decode_cases.jsonl")];
        foreach (bool skip in new[] { false, true })
        {
            Outcome text = await Command.Run(["detokenize", .. model, .. skip ? ["--skip-special"] : Array.Empty<string>()], Lines(decoded.Select(c => Only(c, "ids"))));
            Assert.True(text.Code == 0, text.Error);
            AssertSame(decoded.Select(c => new JsonObject { ["text"] = c[skip ? "decoded_skip_special" : "decoded"]!.DeepClone() }), text.Lines);
        }
    }

    [Fact]
    public async Task Render_the_goldens()
    {
        foreach (var variant in Read("chat.jsonl").GroupBy(c => (string)c["variant"]!))
        {
            Outcome prompts = await Command.Run(["render", "--variant", variant.Key], Lines(variant.Select(c => Without(c, "prompt"))));
            Assert.True(prompts.Code == 0, prompts.Error);
            AssertSame(variant.Select(c => Only(c, "prompt")), prompts.Lines);
        }
    }

    [Fact]
    public async Task Parse_the_goldens()
    {
        foreach (var format in Read("parse.jsonl").GroupBy(c => (string)c["format"]!))
        {
            Outcome messages = await Command.Run(["parse", "--format", format.Key], Lines(format.Select(c => Without(c, "reasoning_content", "content", "tool_calls"))));
            Assert.True(messages.Code == 0, messages.Error);
            AssertSame(format.Select(c => Only(c, "reasoning_content", "content", "tool_calls")), messages.Lines);
        }
    }

    private static JsonNode[] Read(string golden) =>
        [.. File.ReadAllText(Command.Golden(golden)).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!)];

    private static JsonObject Only(JsonNode node, params string[] fields) => new(fields.Select(f => KeyValuePair.Create(f, node[f]?.DeepClone())));

    private static JsonObject Without(JsonNode node, params string[] fields) =>
        new(node.AsObject().Where(f => !fields.Contains(f.Key)).Select(f => KeyValuePair.Create(f.Key, f.Value?.DeepClone())));

    private static string Lines(IEnumerable<JsonNode> nodes) => string.Concat(nodes.Select(n => n.ToJsonString() + "\n"));

    private static void AssertSame(IEnumerable<JsonNode> expected, string[] actual)
    {
        JsonNode[] all = [.. expected];
        Assert.Equal(all.Length, actual.Length);
        for (int i = 0; i < all.Length; i++)
            Assert.True(JsonNode.DeepEquals(all[i], JsonNode.Parse(actual[i])), $"case {i}: expected {all[i].ToJsonString()}, got {actual[i]}");
    }
}
