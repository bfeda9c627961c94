using System.Text.Json;

namespace Conclave.Gateway.Tests.Support;

/// <summary>A complete stream of server-sent events, taken apart strictly: anything but data lines, comments and empty lines fails the test.</summary>
public sealed class StreamedAnswer
{
    private const string Data = "data: ";

    private StreamedAnswer(List<JsonElement> chunks, int keepAlives) => (Chunks, KeepAlives) = (chunks, keepAlives);

    public List<JsonElement> Chunks { get; }

    public int KeepAlives { get; }

    public IEnumerable<JsonElement> Choices => Chunks.Where(chunk => chunk.GetProperty("choices").GetArrayLength() > 0).Select(chunk => chunk.GetProperty("choices")[0]);

    public IEnumerable<JsonElement> Deltas => Choices.Select(choice => choice.GetProperty("delta"));

    public string Content => string.Concat(Deltas.Select(delta => Text(delta, "content")));

    public string Reasoning => string.Concat(Deltas.Select(delta => Text(delta, "reasoning_content")));

    public IEnumerable<JsonElement> ToolCalls => Deltas.Where(delta => delta.TryGetProperty("tool_calls", out _)).SelectMany(delta => delta.GetProperty("tool_calls").EnumerateArray());

    public string FinishReason => Assert.Single(Choices, choice => choice.GetProperty("finish_reason").ValueKind == JsonValueKind.String).GetProperty("finish_reason").GetString()!;

    public JsonElement Usage => Assert.Single(Chunks, chunk => chunk.TryGetProperty("usage", out JsonElement usage) && usage.ValueKind == JsonValueKind.Object).GetProperty("usage");

    /// <summary>Reads a stream that ended well.</summary>
    public static StreamedAnswer Parse(string body)
    {
        var chunks = new List<JsonElement>();
        int keepAlives = 0;
        bool done = false;
        Assert.EndsWith("\n\n", body, StringComparison.Ordinal);
        foreach (string line in body.Split('\n'))
        {
            if (line.Length == 0) continue;
            Assert.False(done, $"after [DONE]: {line}");
            if (line[0] == ':') keepAlives++;
            else if (line == "data: [DONE]") done = true;
            else if (line.StartsWith(Data, StringComparison.Ordinal)) chunks.Add(JsonSerializer.Deserialize<JsonElement>(line[Data.Length..]));
            else Assert.Fail($"not an event: {line}");
        }

        Assert.True(done, body);
        return new StreamedAnswer(chunks, keepAlives);
    }

    private static string? Text(JsonElement delta, string name) => delta.TryGetProperty(name, out JsonElement text) ? text.GetString() : null;
}
