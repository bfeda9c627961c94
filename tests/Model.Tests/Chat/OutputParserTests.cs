using Conclave.Model.Chat;
using Conclave.Tests.Support;

namespace Conclave.Model.Tests.Chat;

public class OutputParserTests
{
    private const string V31Call = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": 1}<｜tool▁call▁end｜>";
    private const string V32Call = "\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"f\">\n\n</｜DSML｜invoke>\n</｜DSML｜function_calls>";

    private const int Length = 300_000;

    private static readonly ChatFormat V31 = ChatFormat.Get(ChatVariant.V31Terminus);
    private static readonly ChatFormat V32 = ChatFormat.Get(ChatVariant.V32);

    [Fact]
    public void A_false_start_is_released_in_full_and_at_once()
    {
        var parser = new OutputParser(V31, thinking: true, toolsOffered: true);
        var deltas = new List<ChatDelta>();

        parser.Push("a</thin", deltas);
        Assert.Equal([new(ChatDeltaKind.Reasoning, "a")], deltas);
        parser.Push("g", deltas);
        Assert.Equal(new(ChatDeltaKind.Reasoning, "</thing"), deltas[^1]);
    }

    [Fact]
    public void Text_without_markers_is_never_held()
    {
        var parser = new OutputParser(V32, thinking: false, toolsOffered: true, ["STOP"]);
        foreach (var word in new[] { "Hello", ", ", "world", ".\t" })
        {
            var deltas = new List<ChatDelta>();
            parser.Push(word, deltas);
            Assert.Equal([new(ChatDeltaKind.Content, word)], deltas);
        }
    }

    [Fact]
    public void A_surrogate_pair_is_emitted_whole()
    {
        var parser = new OutputParser(V31, thinking: false, toolsOffered: false);
        var deltas = new List<ChatDelta>();

        foreach (var half in "😀") parser.Push(half.ToString(), deltas);

        Assert.Equal([new(ChatDeltaKind.Content, "😀")], deltas);
    }

    [Fact]
    public void A_call_is_emitted_when_its_end_has_arrived_and_completes_the_message_with_the_block()
    {
        var parser = new OutputParser(V31, thinking: false, toolsOffered: true);
        var deltas = new List<ChatDelta>();

        parser.Push(V31Call[..^1], deltas);
        Assert.Empty(deltas);
        parser.Push(V31Call[^1..], deltas);
        Assert.Equal([new(ChatDeltaKind.ToolCall, "{\"a\": 1}", 0, "f")], deltas);
        Assert.False(parser.IsComplete);
        parser.Push("<｜tool▁calls▁end｜>dropped", deltas);
        Assert.True(parser.IsComplete);
        parser.Finish(deltas);
        Assert.Equal((1, 1), (parser.CallCount, deltas.Count));
    }

    [Theory]
    [InlineData("ab", "x ab y", "x ", "ab")]
    [InlineData("ab", "x aab", "x a", "ab")]
    [InlineData("ab", "x a", "x a", null)]
    [InlineData("<", "x" + V32Call, "x", null)]
    [InlineData("\n", "x" + V32Call, "x", null)]
    [InlineData("f", "x" + V32Call, "x", null)]
    [InlineData("x\n", "x" + V32Call, "", "x\n")]
    [InlineData("<", "x <b>", "x ", "<")]
    [InlineData("\n\n", "x\n\n<｜DSML｜func", "x", "\n\n")]
    [InlineData("oops", "x<｜DSML｜function_calls>oops", "x<｜DSML｜function_calls>", "oops")]
    public void A_stop_string_ends_the_content_but_never_cuts_a_tool_block(string stop, string text, string content, string? matched)
    {
        foreach (var pieces in new[] { [text], text.Select(character => character.ToString()).ToArray() })
        {
            var message = Parsing.Stream(V32, thinking: false, toolsOffered: true, pieces, [stop]);

            Assert.Equal((content, matched), (message.Content, message.StopMatched));
            Assert.Equal(text.EndsWith(V32Call, StringComparison.Ordinal) && matched is null ? 1 : 0, message.ToolCalls.Count);
        }
    }

    [Fact]
    public void A_stop_string_does_not_end_the_reasoning()
    {
        var message = OutputParser.Parse(V32, thinking: true, toolsOffered: false, "a```b</think>c```d", ["```"]);

        Assert.Equal(("a```b", "c", "```"), (message.ReasoningContent, message.Content, message.StopMatched));
    }

    [Fact]
    public void Without_tools_markers_are_text()
    {
        Assert.Equal("x" + V31Call, OutputParser.Parse(V31, thinking: false, toolsOffered: false, "x" + V31Call).Content);
    }

    [Theory]
    [InlineData("f<｜tool▁sep｜>", "{}")]
    [InlineData(" f \n<｜tool▁sep｜> {\"a\":1} \n", "{\"a\":1}")]
    [InlineData("f<｜tool▁sep｜>[1]", null)]
    [InlineData("f<｜tool▁sep｜>{\"a\":1} x", null)]
    [InlineData("f<｜tool▁sep｜>{\"a\":NaN}", null)]
    [InlineData("<｜tool▁sep｜>{}", null)]
    [InlineData("f {}", null)]
    public void Arguments_are_always_one_object(string call, string? arguments)
    {
        var text = $"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{call}<｜tool▁call▁end｜>";

        var message = OutputParser.Parse(V31, thinking: false, toolsOffered: true, text);

        Assert.Equal(arguments, message.ToolCalls.SingleOrDefault()?.Arguments);
        Assert.Equal(arguments is null ? text : "", message.Content);
    }

    [Theory]
    [InlineData("plain", "")]
    [InlineData("unfinished call", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>")]
    [InlineData("malformed call", "<｜tool▁calls▁begin｜>x")]
    public void A_long_output_by_the_character_takes_linear_time(string name, string start)
    {
        // Long stop strings and half matches on every character are the worst case for what is held back.
        string[] stops = [new string('a', 20_000) + "b", .. Enumerable.Range(0, 1000).Select(i => $"stop {i}")];
        var parser = new OutputParser(V31, thinking: false, toolsOffered: true, stops);
        var deltas = new List<ChatDelta>();
        var begin = ThreadTime.Now;

        parser.Push(start, deltas);
        for (var i = 0; i < Length; i++) parser.Push("a", deltas);
        parser.Finish(deltas);

        var took = ThreadTime.Now - begin;
        Assert.Equal(start.Length + Length, deltas.Sum(delta => delta.Text.Length));
        // Quadratic work would take the processor hours.
        Assert.True(took < TimeSpan.FromMinutes(2), $"{name}: {took}");
    }
}
