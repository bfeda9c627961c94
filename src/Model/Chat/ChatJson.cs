using System.Text.Json;
using System.Text.Json.Nodes;

namespace Conclave.Model.Chat;

/// <summary>
/// Reads conversations from JSON in the shape of the HTTP API. Strict about types, with errors that name the field; unknown fields are ignored and null
/// counts as absent.
/// </summary>
public static class ChatJson
{
    /// <summary>
    /// Reads one conversation: <c>messages</c>, <c>tools</c>?, <c>response_format</c>?, <c>thinking</c>? (bool), <c>add_generation_prompt</c>? (bool),
    /// <c>drop_thinking</c>? (bool).
    /// </summary>
    /// <exception cref="ChatFormatException">A field is missing or has the wrong type.</exception>
    public static ChatRequest ReadRequest(JsonElement request)
    {
        var root = new JsonField(request, "");
        root.RequireObject();
        return new ChatRequest
        {
            Messages = ReadMessages(root.Value.TryGetProperty("messages", out var messages) ? messages : default),
            Tools = root["tools"] is { } tools ? ReadTools(tools) : null,
            ResponseFormat = root["response_format"]?.RequireObject().Value.Clone(),
            Thinking = root["thinking"]?.Bool() ?? false,
            AddGenerationPrompt = root["add_generation_prompt"]?.Bool() ?? true,
            DropThinking = root["drop_thinking"]?.Bool() ?? true,
        };
    }

    /// <summary>Reads the value of a request's <c>messages</c>.</summary>
    /// <exception cref="ChatFormatException">It is not a list, or a message has a mistake; the error names its field.</exception>
    public static IReadOnlyList<ChatMessage> ReadMessages(JsonElement messages) =>
        [.. new JsonField(messages, "messages").Items().Select(ReadMessage)];

    /// <summary>Reads the value of a request's <c>tools</c>.</summary>
    /// <exception cref="ChatFormatException">It is not a list, or a tool has a mistake; the error names its field.</exception>
    public static IReadOnlyList<ToolDefinition> ReadTools(JsonElement tools) => ReadTools(new JsonField(tools, "tools"));

    /// <summary>A parsed output as <c>{"reasoning_content":…, "content":…, "tool_calls":[{"name":…, "arguments":{…}}]}</c>.</summary>
    public static JsonObject ToJson(ParsedMessage message) => new()
    {
        ["reasoning_content"] = message.ReasoningContent,
        ["content"] = message.Content,
        ["tool_calls"] = new JsonArray([.. message.ToolCalls.Select(call => new JsonObject
        {
            ["name"] = call.Name,
            ["arguments"] = PythonJson.TryParse(call.Arguments) is { } arguments ? JsonObject.Create(arguments) : null,
        })]),
    };

    private static ChatMessage ReadMessage(JsonField message)
    {
        message.RequireObject();
        var role = message.Required("role");
        var responseFormat = message["response_format"]?.RequireObject().Value;
        return new ChatMessage
        {
            Role = role.String() switch
            {
                "system" => ChatRole.System,
                "user" => ChatRole.User,
                "assistant" => ChatRole.Assistant,
                "tool" => ChatRole.Tool,
                "developer" => ChatRole.Developer,
                _ => throw role.Error("must be 'system', 'user', 'assistant' or 'tool'"),
            },
            Content = message["content"] is { } content ? ReadContent(content) : null,
            ReasoningContent = message["reasoning_content"]?.String(),
            ToolCalls = message["tool_calls"]?.Items().Select(ReadToolCall).ToList(),
            ToolCallId = message["tool_call_id"]?.String(),
            Prefix = message["prefix"]?.Bool() ?? false,
            Tools = message["tools"] is { } tools ? ReadTools(tools) : null,
            ResponseFormat = responseFormat is { } format && format.EnumerateObject().Any() ? format.Clone() : null,
        };
    }

    private static string ReadContent(JsonField content)
    {
        if (content.Value.ValueKind == JsonValueKind.String) return content.String();
        if (content.Value.ValueKind != JsonValueKind.Array) throw content.Error("must be a string or a list of text parts");
        return string.Concat(content.Items().Select(ReadPart));
    }

    private static string ReadPart(JsonField part)
    {
        part.RequireObject();
        var type = part.Required("type");
        return type.String() == "text" ? part.Required("text").String() : throw type.Error("only parts of type 'text' are supported");
    }

    private static ToolCall ReadToolCall(JsonField call)
    {
        call.RequireObject();
        RequireFunctionType(call);
        var function = call.Required("function").RequireObject();
        var arguments = function["arguments"];
        return new ToolCall(
            call["id"]?.String() ?? "",
            function.Required("name").String(),
            arguments is { Value.ValueKind: JsonValueKind.Object } ? PythonJson.Write(arguments.Value.Value) : arguments?.String() ?? "");
    }

    private static List<ToolDefinition> ReadTools(JsonField tools) => [.. tools.Items().Select(ReadTool)];

    private static ToolDefinition ReadTool(JsonField tool)
    {
        tool.RequireObject();
        RequireFunctionType(tool);
        var function = tool.Required("function").RequireObject();
        return new ToolDefinition
        {
            Name = function.Required("name").String(),
            Description = function["description"]?.String(),
            Parameters = function["parameters"]?.RequireObject().Value.Clone(),
            Function = function.Value.Clone(),
            Definition = tool.Value.Clone(),
        };
    }

    private static void RequireFunctionType(JsonField owner)
    {
        if (owner["type"] is { } type && type.String() != "function") throw type.Error("must be 'function'");
    }
}
