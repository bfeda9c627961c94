using System.Text.Json;

namespace Conclave.Model.Chat;

/// <summary>The chat encoding of V3.2, which comes as a program (encoding_dsv32.py) instead of a template.</summary>
internal static class V32Prompt
{
    private const string ToolsBegin =
        """
        ## Tools

        You have access to a set of tools you can use to answer the user's question.
        You can invoke functions by writing a "<｜DSML｜function_calls>" block like the following as part of your reply to the user:
        <｜DSML｜function_calls>
        <｜DSML｜invoke name="$FUNCTION_NAME">
        <｜DSML｜parameter name="$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE</｜DSML｜parameter>
        ...
        </｜DSML｜invoke>
        <｜DSML｜invoke name="$FUNCTION_NAME2">
        ...
        </｜DSML｜invoke>
        </｜DSML｜function_calls>

        String and scalar parameters should be specified as is without any escaping or quotes, while lists and objects should use JSON format. The "string" attribute should be set to "true" for string type parameters and "false" for other types (numbers, booleans, arrays, objects).

        If the thinking_mode is enabled, then after function results you should strongly consider outputting a thinking block. Here is an example:

        <｜DSML｜function_calls>
        ...
        </｜DSML｜function_calls>

        <function_results>
        ...
        </function_results>

        <think>...thinking about results</think>

        Here are the functions available in JSONSchema format:
        <functions>

        """;

    private const string ToolsEnd = "</functions>\n";
    private const string FormatBegin = "## Response Format:\n\nYou MUST strictly adhere to the following schema to reply:\n";

    public static void Write(PromptBuilder prompt, ChatRequest request)
    {
        if (request.Thinking) CheckReasoning(request.Messages);
        var messages = WithRequestLevelParts(request);
        var lastUser = LastUser(messages);

        var (pendingCalls, resultsWritten) = (0, 0);
        for (var i = 0; i < messages.Count; i++)
        {
            var message = messages[i];
            switch (message.Role)
            {
                case ChatRole.System:
                    prompt.Client(message.Content);
                    WriteToolsAndFormat(prompt, message);
                    break;
                case ChatRole.User:
                    prompt.Template(Markers.User).Client(message.Content).Template(Markers.Assistant).Think(request.Thinking && i == lastUser);
                    break;
                case ChatRole.Developer:
                    prompt.Template(Markers.User);
                    WriteToolsAndFormat(prompt, message);
                    prompt.Template("\n\n# The user's message is: ").Client(message.Content);
                    prompt.Template(Markers.Assistant).Think(request.Thinking && i == lastUser);
                    break;
                case ChatRole.Assistant:
                    WriteReply(prompt, message, showReasoning: request.Thinking && i > lastUser);
                    (pendingCalls, resultsWritten) = (message.ToolCalls?.Count ?? 0, 0);
                    break;
                default:
                    if (resultsWritten == 0) prompt.Template("\n\n<function_results>");
                    prompt.Template("\n<result>").Client(message.Content).Template("</result>");
                    if (++resultsWritten < pendingCalls) break;
                    prompt.Template("\n</function_results>\n\n").Think(request.Thinking && i >= lastUser);
                    break;
            }
        }
    }

    private static int LastUser(IReadOnlyList<ChatMessage> messages)
    {
        var last = messages.Count - 1;
        while (last >= 0 && messages[last].Role is not (ChatRole.User or ChatRole.Developer)) last--;
        return last;
    }

    /// <summary>A reply in the current turn without reasoning is unlike anything the model has seen; a prefix or a tool call may do without.</summary>
    private static void CheckReasoning(IReadOnlyList<ChatMessage> messages)
    {
        for (var i = LastUser(messages) + 1; i < messages.Count; i++)
        {
            if (messages[i] is { Role: ChatRole.Assistant, ReasoningContent: null, HasToolCalls: false, Prefix: false }) throw ChatRules.MissingReasoning(i);
        }
    }

    /// <summary>Moves the request's tools and response format to the first system message, which is added in front if there is none.</summary>
    private static IReadOnlyList<ChatMessage> WithRequestLevelParts(ChatRequest request)
    {
        var tools = request.Tools is { Count: > 0 } ? request.Tools : null;
        var schema = ChatRules.ReplySchema(request.ResponseFormat);
        if (tools is null && schema is null) return request.Messages;

        var messages = request.Messages.ToList();
        var system = messages.FindIndex(message => message.Role == ChatRole.System);
        if (system < 0)
        {
            system = 0;
            messages.Insert(0, new ChatMessage { Role = ChatRole.System });
        }

        messages[system] = messages[system] with
        {
            Tools = tools ?? messages[system].Tools,
            ResponseFormat = schema ?? messages[system].ResponseFormat,
        };
        return messages;
    }

    private static void WriteToolsAndFormat(PromptBuilder prompt, ChatMessage message)
    {
        if (message.Tools is { Count: > 0 } tools)
        {
            prompt.Template("\n\n" + ToolsBegin);
            foreach (var tool in tools) prompt.Client(PythonJson.Write(tool.Function)).Template("\n");
            prompt.Template(ToolsEnd);
        }

        if (message.ResponseFormat is { } schema) prompt.Template("\n\n" + FormatBegin).Client(PythonJson.Write(schema));
    }

    private static void WriteReply(PromptBuilder prompt, ChatMessage message, bool showReasoning)
    {
        if (showReasoning)
        {
            prompt.Client(message.ReasoningContent);
            var stillReasoning = message.Prefix && string.IsNullOrEmpty(message.Content) && !string.IsNullOrEmpty(message.ReasoningContent);
            if (!stillReasoning) prompt.Think(open: false);
        }

        prompt.Client(message.Content);
        if (message.HasToolCalls) WriteCalls(prompt, message.ToolCalls!);
        if (!message.Prefix) prompt.Template(Markers.Eos);
    }

    private static void WriteCalls(PromptBuilder prompt, IReadOnlyList<ToolCall> calls)
    {
        prompt.Template("\n\n" + Markers.DsmlCallsBegin + "\n");
        for (var i = 0; i < calls.Count; i++)
        {
            if (i > 0) prompt.Template("\n");
            prompt.Template(Markers.DsmlInvokeBegin).Client(calls[i].Name).Template("\">\n");
            WriteParameters(prompt, ChatRules.ArgumentsObject(calls[i]));
            prompt.Template("\n" + Markers.DsmlInvokeEnd);
        }

        prompt.Template("\n" + Markers.DsmlCallsEnd);
    }

    private static void WriteParameters(PromptBuilder prompt, JsonElement arguments)
    {
        var isFirst = true;
        foreach (var (name, value) in PythonJson.Properties(arguments))
        {
            if (!isFirst) prompt.Template("\n");
            isFirst = false;
            var isString = value.ValueKind == JsonValueKind.String;
            prompt.Template(Markers.DsmlParameterBegin).Client(name).Template(isString ? "\" string=\"true\">" : "\" string=\"false\">")
                .Client(isString ? PythonJson.StringOf(value) : PythonJson.Write(value))
                .Template(Markers.DsmlParameterEnd);
        }
    }
}
