using System.Text;
using System.Text.Json;
using Conclave.Model.Chat;

namespace Conclave.Model.Tests.Chat;

/// <summary>Helpers to run the parser on pieces and to compare what it found.</summary>
internal static class Parsing
{
    public static ParsedMessage Stream(
        ChatFormat format, bool thinking, bool toolsOffered, IEnumerable<string> pieces, IReadOnlyList<string>? stops = null)
    {
        var parser = new OutputParser(format, thinking, toolsOffered, stops);
        var deltas = new List<ChatDelta>();
        foreach (var piece in pieces) parser.Push(piece, deltas);
        parser.Finish(deltas);

        var (reasoning, content, calls) = (new StringBuilder(), new StringBuilder(), new List<ParsedToolCall>());
        foreach (var delta in deltas)
        {
            Assert.NotEqual("", delta.Text);
            if (delta.Kind == ChatDeltaKind.ToolCall)
            {
                Assert.Equal(calls.Count, delta.CallIndex);
                calls.Add(new ParsedToolCall(delta.CallName!, delta.Text));
                continue;
            }

            (delta.Kind == ChatDeltaKind.Reasoning ? reasoning : content).Append(delta.Text);
        }

        Assert.Equal(calls.Count, parser.CallCount);
        return new ParsedMessage(thinking && format.SupportsThinking ? reasoning.ToString() : null, content.ToString(), calls, parser.StopMatched);
    }

    public static List<string> RandomPieces(string text, Random random)
    {
        var pieces = new List<string>();
        var largest = random.Next(1, 20);
        for (var i = 0; i < text.Length;)
        {
            var length = Math.Min(random.Next(0, largest + 1), text.Length - i);
            pieces.Add(text.Substring(i, length));
            i += length;
        }

        return pieces;
    }

    public static string Describe(ParsedMessage message) =>
        $"reasoning: {message.ReasoningContent}\ncontent: {message.Content}\nstop: {message.StopMatched}\n"
        + string.Join('\n', message.ToolCalls.Select(call => $"call: {call.Name} {call.Arguments}"));
}
