using System.Text.Json;
using Conclave.Model.Chat;

namespace Conclave.Model.Tests.Chat;

/// <summary>Texts made of markers, halves of markers and good calls: the parser must agree with the plain one, however the text is cut.</summary>
public class OutputParserFuzzTests
{
    private const string Dsml = "｜DSML｜";

    private static readonly string[] Common =
    [
        "<｜end▁of▁sentence｜>", "<think>", "</think>", "</thin", "g", "<", "\n", "\n\n", " ", "a", "ab", "aab", "😀", "日本", "```", "{}", "{\"a\": 1}", "\"", ">", "<｜",
    ];

    private static readonly string[] OfV3 =
    [
        "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>", "<｜tool▁calls▁beg", "function", "```json\n", "name\n",
        "<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": \"b\"}\n```<｜tool▁call▁end｜>", "<｜tool▁call▁begin｜>g<｜tool▁sep｜>{\"x\": [1, 2]}<｜tool▁call▁end｜>",
        "<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n{\"a\": 1}\n<｜tool▁call▁end｜>", "<｜tool▁call▁begin｜>g<｜tool▁sep｜><｜tool▁call▁end｜>",
        "<｜tool▁call▁begin｜>g<｜tool▁sep｜>[1]<｜tool▁call▁end｜>",
    ];

    private static readonly string[] OfV32 =
    [
        $"<{Dsml}function_calls>", $"\n\n<{Dsml}function_calls>\n", $"</{Dsml}function_calls>", $"<{Dsml}invoke name=\"f\">\n", $"</{Dsml}invoke>", "<function_calls>",
        $"<{Dsml}parameter name=\"a\" string=\"true\">x</{Dsml}parameter>\n", $"<{Dsml}parameter name=\"b\" string=\"false\">1.50</{Dsml}parameter>",
        $"<{Dsml}parameter name=\"c\" string=\"false\">oops</{Dsml}parameter>", $"<{Dsml}parameter name=\"d\">2</{Dsml}parameter>", $"</{Dsml}parameter>",
        $"<{Dsml}parameter name=\"e\" string=\"true\">", $"<{Dsml}func", $"<{Dsml}invoke name=\"", $"<{Dsml}invoke name=\"g\">\n\n</{Dsml}invoke>\n",
    ];

    private static readonly string[] Stops = ["a", "ab", "aab", "b", "\n", "\n\n", "<", "</", "<｜", "```", "😀", "<｜tool", ">", "\n\n<", "\"", "function", "g\n"];

    [Theory]
    [InlineData(ChatVariant.V30324)]
    [InlineData(ChatVariant.V31Terminus)]
    [InlineData(ChatVariant.V32)]
    public void Every_text_parses_alike_however_it_is_cut(ChatVariant variant)
    {
        var format = ChatFormat.Get(variant);
        string[] fragments = [.. Common, .. variant == ChatVariant.V32 ? OfV32 : OfV3];
        for (var seed = 0; seed < 500; seed++)
        {
            var random = new Random(seed);
            var text = Compose(fragments, variant, random);
            var (thinking, tools) = (random.Next(3) == 0, random.Next(4) > 0);
            string[] stops = random.Next(2) == 0 ? [] : random.GetItems(Stops, random.Next(1, 4));

            var expected = Parsing.Describe(PlainParser.Parse(format, thinking, tools, text, stops));
            var whole = OutputParser.Parse(format, thinking, tools, text, stops);

            Assert.True(expected == Parsing.Describe(whole), $"seed {seed}, text {text}\nexpected {expected}\nactual {Parsing.Describe(whole)}");
            Assert.All(whole.ToolCalls, call => Assert.Equal(JsonValueKind.Object, JsonElement.Parse(call.Arguments).ValueKind));
            AssertSame(text.Select(character => character.ToString()));
            AssertSame(Parsing.RandomPieces(text, random));

            void AssertSame(IEnumerable<string> pieces)
            {
                var streamed = Parsing.Describe(Parsing.Stream(format, thinking, tools, pieces, stops));
                Assert.True(expected == streamed, $"seed {seed}, text {text}\nexpected {expected}\nstreamed {streamed}");
            }
        }
    }

    [Fact]
    public void Unpaired_surrogates_do_not_throw()
    {
        const string text = $"a\ud800</think>\udc00<{Dsml}function_calls><{Dsml}invoke name=\"f\ud800\"><{Dsml}parameter name=\"\udc00\" string=\"true\">\ud800</{Dsml}parameter></{Dsml}invoke>";

        var message = OutputParser.Parse(ChatFormat.Get(ChatVariant.V32), thinking: true, toolsOffered: true, text);

        Assert.Equal("a\ud800", message.ReasoningContent);
        Assert.Equal("""{"�": "�"}""", Assert.Single(message.ToolCalls).Arguments);
    }

    private static string Compose(string[] fragments, ChatVariant variant, Random random)
    {
        var parts = Enumerable.Range(0, random.Next(1, 14)).Select(_ => fragments[random.Next(fragments.Length)]).ToList();
        // Half of the texts get a tool block, since chance alone builds few good ones.
        if (random.Next(2) == 0) parts.Insert(random.Next(parts.Count), variant == ChatVariant.V32 ? OfV32[1] : OfV3[0]);
        return string.Concat(parts);
    }
}
