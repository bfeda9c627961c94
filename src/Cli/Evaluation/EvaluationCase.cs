using System.Text.Json;
using Conclave.Model.Chat;

namespace Conclave.Cli.Evaluation;

/// <summary>One unseen prompt of an evaluation file and what its answer must be.</summary>
/// <param name="Skill">The row of the table it counts in.</param>
/// <param name="Chat">The conversation; null for a fill-in-the-middle case.</param>
/// <param name="Prompt">Text before the gap.</param>
/// <param name="Suffix">Text after the gap.</param>
/// <param name="MaxTokens">Most tokens of the answer.</param>
/// <param name="Expected">How the answer is judged.</param>
internal sealed record EvaluationCase(string Skill, ChatRequest? Chat, string Prompt, string? Suffix, int MaxTokens, Expectation Expected)
{
    /// <summary>Reads a file of JSON lines.</summary>
    /// <exception cref="InvalidDataException">A line is malformed.</exception>
    public static IReadOnlyList<EvaluationCase> Load(string path) => [.. File.ReadLines(path).Select((line, index) => Read(line, path, index + 1))];

    private static EvaluationCase Read(string line, string path, int number)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(line);
            JsonField root = new JsonField(document.RootElement, "").RequireObject();
            bool chat = root["messages"] is not null;
            return new EvaluationCase(
                root.Required("skill").String(),
                chat ? ChatJson.ReadRequest(root.Value) : null,
                chat ? "" : root.Required("prompt").String(),
                root["suffix"]?.String(),
                (int)root.Required("max_tokens").Integer(),
                Expectation.Read(root.Required("expect").RequireObject()));
        }
        catch (Exception e) when (e is JsonException or ChatFormatException)
        {
            throw new InvalidDataException($"{path}: line {number}: {e.Message}", e);
        }
    }
}

/// <summary>How an answer is judged; exactly one kind of check.</summary>
/// <param name="Holds">The check.</param>
internal sealed record Expectation(Func<CompletedText, bool> Holds)
{
    private const double MinDistinctWords = 0.35;

    public static Expectation Read(JsonField expect)
    {
        if (expect["equals"] is { } equals) return AnyOf([.. equals.Items().Select(item => item.String())]);
        if (expect["ends_with"] is { } end) return new(EndsWith(end.String()));
        if (expect["contains"] is { } contains) return new(Contains([.. contains.Items().Select(item => item.String())]));
        if (expect["json"] is { } json) return new(EqualsJson(json.Value.Clone()));
        if (expect["tool_calls"] is { } calls) return new(EqualsCalls([.. calls.Items().Select(call => (call.Required("name").String(), call.Required("arguments").Value.Clone()))]));
        if (expect["story"]?.RequireObject() is { } story)
            return new(IsStory((int)story.Required("min_words").Integer(), [.. story.Required("contains").Items().Select(item => item.String())]));
        throw expect.Error("needs one of equals, ends_with, contains, json, tool_calls, story");
    }

    private static Expectation AnyOf(string[] texts) => new(answer => texts.Contains(answer.Content.Trim(), StringComparer.Ordinal));

    private static Func<CompletedText, bool> EndsWith(string text) => answer => answer.Content.Trim().EndsWith(text, StringComparison.Ordinal);

    private static Func<CompletedText, bool> Contains(string[] texts) => answer => texts.All(text => answer.Content.Contains(text, StringComparison.Ordinal));

    private static Func<CompletedText, bool> EqualsJson(JsonElement wanted) => answer => IsJson(answer.Content, wanted);

    private static Func<CompletedText, bool> EqualsCalls((string Name, JsonElement Arguments)[] wanted) => answer =>
        answer.Calls.Count == wanted.Length && answer.Calls.Zip(wanted).All(pair => pair.First.CallName == pair.Second.Name && IsJson(pair.First.Text, pair.Second.Arguments));

    /// <summary>Long enough, ended by itself, about the right things, and not a few words over and over.</summary>
    private static Func<CompletedText, bool> IsStory(int minWords, string[] mentions) => answer =>
    {
        string[] words = answer.Content.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        return words.Length >= minWords
            && answer.End == Conclave.Gateway.Completions.CompletionEnd.Stop
            && words.Distinct(StringComparer.OrdinalIgnoreCase).Count() >= words.Length * MinDistinctWords
            && mentions.All(mention => answer.Content.Contains(mention, StringComparison.OrdinalIgnoreCase));
    };

    private static bool IsJson(string text, JsonElement wanted)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text);
            return JsonElement.DeepEquals(document.RootElement, wanted);
        }
        catch (JsonException)
        {
            // Not JSON at all: that is the verdict, not a fault.
            return false;
        }
    }
}
