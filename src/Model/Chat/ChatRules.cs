using System.Text.Json;

namespace Conclave.Model.Chat;

/// <summary>Rules that conversations must keep, and the reading of their parts that the formats share.</summary>
public static class ChatRules
{
    private const string InsufficientResults =
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        + "(insufficient tool messages following tool_calls message)";

    private const string UnexpectedResult = "Messages with role 'tool' must be a response to a preceding message with 'tool_calls'";

    /// <summary>
    /// Checks what the public API asks of a conversation beyond what a format can express: a last message that can be answered, no developer role, and
    /// in v3.2 thinking mode the reasoning of every message with tool calls after the last user message.
    /// </summary>
    /// <exception cref="ChatFormatException">The conversation breaks a rule.</exception>
    public static void CheckForApi(ChatRequest request, ChatFamily family)
    {
        var messages = request.Messages;
        if (messages.Count == 0) throw new ChatFormatException("messages must hold at least one message", "messages");
        var lastUser = -1;
        for (var i = 0; i < messages.Count; i++)
        {
            if (messages[i].Role == ChatRole.Developer)
            {
                throw new ChatFormatException($"messages[{i}].role: 'developer' is not supported; use 'system' or 'user'", $"messages[{i}].role");
            }

            if (messages[i].Role == ChatRole.User) lastUser = i;
        }

        // A last message with calls lacks their results: the rule of tool messages says so.
        if (messages[^1] is { Role: ChatRole.System } or { Role: ChatRole.Assistant, Prefix: false, HasToolCalls: false })
        {
            throw new ChatFormatException(
                "The last message must be a user or tool message, or an assistant message with prefix mode on ('prefix': true)", "messages");
        }

        if (family != ChatFamily.V32 || !request.Thinking) return;
        for (var i = lastUser + 1; i < messages.Count; i++)
        {
            if (messages[i] is { HasToolCalls: true, ReasoningContent: null }) throw MissingReasoning(i);
        }
    }

    /// <summary>Checks the order of the messages and sorts tool results into the order of their calls.</summary>
    /// <returns>The messages, as many as before.</returns>
    /// <exception cref="ChatFormatException">The messages are out of order, or the format cannot express them.</exception>
    internal static IReadOnlyList<ChatMessage> Order(IReadOnlyList<ChatMessage> messages, ChatFamily family)
    {
        var ordered = new List<ChatMessage>(messages.Count);
        for (var i = 0; i < messages.Count; i++)
        {
            var message = messages[i];
            CheckMessage(message, i, isLast: i == messages.Count - 1, family);
            if (message.Role == ChatRole.Tool) throw new ChatFormatException(UnexpectedResult, $"messages[{i}]");
            ordered.Add(message);
            if (!message.HasToolCalls) continue;

            var end = i + 1;
            while (end < messages.Count && messages[end].Role == ChatRole.Tool) end++;
            if (end == messages.Count && end == i + 1) break;
            ordered.AddRange(SortResults(message.ToolCalls!, messages, i + 1, end));
            i = end - 1;
        }

        return ordered;
    }

    /// <summary>All system messages, wherever they stand, as v3 and v3.1 print them.</summary>
    internal static string SystemText(ChatRequest request) =>
        string.Join("\n\n", request.Messages.Where(message => message.Role == ChatRole.System).Select(message => message.Content ?? ""));

    /// <summary>The JSON schema inside the request's response format; null if it has none.</summary>
    internal static JsonElement? ReplySchema(JsonElement? responseFormat)
    {
        if (responseFormat is not { } format) return null;
        var type = format.ValueKind == JsonValueKind.Object && format.TryGetProperty("type", out var value) ? PythonJson.StringOf(value) : null;
        if (type is "text" or "json_object") return null;
        if (type != "json_schema")
        {
            throw new ChatFormatException("response_format.type: must be 'text', 'json_object' or 'json_schema'", "response_format.type");
        }

        if (!format.TryGetProperty("json_schema", out var outer) || outer.ValueKind != JsonValueKind.Object
            || !outer.TryGetProperty("schema", out var schema) || schema.ValueKind != JsonValueKind.Object)
        {
            throw new ChatFormatException("response_format.json_schema.schema: must be an object", "response_format.json_schema.schema");
        }

        return schema.EnumerateObject().Any() ? schema : null;
    }

    /// <summary>The arguments of a call as a JSON object; blank text means none.</summary>
    internal static JsonElement ArgumentsObject(ToolCall call)
    {
        var text = string.IsNullOrWhiteSpace(call.Arguments) ? "{}" : call.Arguments;
        if (PythonJson.TryParse(text) is { ValueKind: JsonValueKind.Object } arguments) return arguments;
        throw new ChatFormatException(
            $"The arguments of tool call '{call.Name}' must be the text of a JSON object", "messages[].tool_calls[].function.arguments");
    }

    private static void CheckMessage(ChatMessage message, int index, bool isLast, ChatFamily family)
    {
        if (message.Role == ChatRole.Developer && family != ChatFamily.V32)
        {
            throw new ChatFormatException($"messages[{index}].role: 'developer' is not supported by this model", $"messages[{index}].role");
        }

        if (message.Role == ChatRole.Developer && string.IsNullOrEmpty(message.Content))
        {
            throw new ChatFormatException($"messages[{index}].content: must not be empty for role 'developer'", $"messages[{index}].content");
        }

        if (!message.Prefix) return;
        if (message.Role != ChatRole.Assistant || !isLast || message.HasToolCalls)
        {
            throw new ChatFormatException(
                $"messages[{index}].prefix: only the last message may have it, and it must be an assistant message without tool calls",
                $"messages[{index}].prefix");
        }
    }

    /// <summary>Puts messages[begin..end) into the order of the calls. Results without any id are taken in the order given.</summary>
    private static List<ChatMessage> SortResults(IReadOnlyList<ToolCall> calls, IReadOnlyList<ChatMessage> messages, int begin, int end)
    {
        var waiting = new List<ChatMessage>();
        for (var i = begin; i < end; i++)
        {
            CheckMessage(messages[i], i, isLast: i == messages.Count - 1, ChatFamily.V32);
            waiting.Add(messages[i]);
        }

        if (waiting.Count < calls.Count) throw new ChatFormatException(InsufficientResults, $"messages[{begin - 1}].tool_calls");
        if (waiting.Count > calls.Count) throw new ChatFormatException(UnexpectedResult, $"messages[{begin + calls.Count}]");
        if (waiting.All(result => string.IsNullOrEmpty(result.ToolCallId))) return waiting;

        var sorted = new List<ChatMessage>(waiting.Count);
        foreach (var call in calls)
        {
            var position = waiting.FindIndex(result => (result.ToolCallId ?? "") == call.Id);
            if (position < 0) throw new ChatFormatException(InsufficientResults, $"messages[{begin - 1}].tool_calls");
            sorted.Add(waiting[position]);
            waiting.RemoveAt(position);
        }

        return sorted;
    }

    /// <summary>The error of a message whose reasoning the model needs to see again.</summary>
    internal static ChatFormatException MissingReasoning(int index) =>
        new($"Missing reasoning_content field in the assistant message at message index {index}", $"messages[{index}].reasoning_content");
}
