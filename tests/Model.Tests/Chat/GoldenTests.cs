using System.Text;
using System.Text.Json;
using Conclave.Model.Chat;

namespace Conclave.Model.Tests.Chat;

/// <summary>The published cases: prompts as the official templates print them, outputs as the official parser reads them.</summary>
public class GoldenTests
{
    public static TheoryData<string> RenderCases => Names("chat.jsonl");

    public static TheoryData<string> ParseCases => Names("parse.jsonl");

    [Theory]
    [MemberData(nameof(RenderCases))]
    public void A_conversation_renders_as_the_official_template_prints_it(string name)
    {
        var golden = Golden("chat.jsonl", name);
        var format = ChatFormat.Get(ChatVariants.Parse(golden.GetProperty("variant").GetString()!));

        var prompt = format.Render(ChatJson.ReadRequest(golden));

        Assert.Equal(golden.GetProperty("prompt").GetString(), prompt.Text);
        Assert.Equal(prompt.Text.EndsWith("<think>", StringComparison.Ordinal), prompt.ThinkingOpen);
    }

    [Theory]
    [MemberData(nameof(ParseCases))]
    public void An_output_parses_alike_however_it_is_cut(string name)
    {
        var golden = Golden("parse.jsonl", name);
        var text = golden.GetProperty("text").GetString()!;

        AssertParses(golden, [text]);
        AssertParses(golden, text.Select(character => character.ToString()));
        for (var cut = 0; cut <= text.Length; cut++) AssertParses(golden, [text[..cut], text[cut..]]);
        var random = new Random(name.Length);
        for (var i = 0; i < 100; i++) AssertParses(golden, Parsing.RandomPieces(text, random));
    }

    private static void AssertParses(JsonElement golden, IEnumerable<string> pieces)
    {
        var format = ChatFormat.Get(ChatVariants.ParseFamily(golden.GetProperty("format").GetString()!));

        var message = Parsing.Stream(format, golden.GetProperty("thinking").GetBoolean(), toolsOffered: true, pieces);

        Assert.Equal(golden.GetProperty("reasoning_content").GetString() ?? "", message.ReasoningContent ?? "");
        Assert.Equal(golden.GetProperty("content").GetString() ?? "", message.Content);
        var expected = golden.GetProperty("tool_calls").EnumerateArray().ToList();
        Assert.Equal(expected.Select(call => call.GetProperty("name").GetString()), message.ToolCalls.Select(call => call.Name));
        foreach (var (call, parsed) in expected.Zip(message.ToolCalls))
        {
            Assert.True(JsonElement.DeepEquals(call.GetProperty("arguments"), JsonElement.Parse(parsed.Arguments)), parsed.Arguments);
        }
    }

    private static JsonElement Golden(string file, string name) =>
        Lines(file).Single(golden => golden.GetProperty("name").GetString() == name);

    private static TheoryData<string> Names(string file) => [.. Lines(file).Select(golden => golden.GetProperty("name").GetString()!)];

    private static IEnumerable<JsonElement> Lines(string file) =>
        File.ReadLines(Path.Combine(GoldenFolder(), file), Encoding.UTF8).Select(line => JsonElement.Parse(line));

    private static string GoldenFolder()
    {
        var folder = AppContext.BaseDirectory;
        while (!Directory.Exists(Path.Combine(folder, "tests", "goldens"))) folder = Path.GetDirectoryName(folder)!;
        return Path.Combine(folder, "tests", "goldens");
    }
}
