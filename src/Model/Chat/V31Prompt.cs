namespace Conclave.Model.Chat;

/// <summary>The chat template of V3.1 and, with <c>terminus</c>, of V3.1-Terminus and V3.2-Exp.</summary>
internal static class V31Prompt
{
    // From the model card; the template itself ignores tools. The doubled braces are literal.
    private const string ToolsInstruction =
        """

        IMPORTANT: ALWAYS adhere to this exact format for tool use:
        <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>tool_call_name<｜tool▁sep｜>tool_call_arguments<｜tool▁call▁end｜>{{additional_tool_calls}}<｜tool▁calls▁end｜>

        Where:
        - `tool_call_name` must be an exact match to one of the available tools
        - `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema
        - For multiple tool calls, chain them directly without separators or spaces
        """;

    private const string NoParameters = """{"type": "object", "properties": {}}""";

    public static void Write(PromptBuilder prompt, ChatRequest request, bool terminus)
    {
        var hasSystem = WriteSystem(prompt, request);
        ChatRole? previous = null;
        foreach (var message in request.Messages.Where(message => message.Role != ChatRole.System))
        {
            switch (message.Role)
            {
                case ChatRole.User:
                    prompt.Template(Markers.User).Client(message.Content);
                    break;
                case ChatRole.Tool:
                    prompt.Template(Markers.OutputBegin).Client(message.Content).Template(Markers.OutputEnd);
                    break;
                case ChatRole.Assistant when message.HasToolCalls:
                    var onlySystemBefore = previous is null && hasSystem;
                    if (previous == ChatRole.User || (terminus && onlySystemBefore)) prompt.Template(Markers.Assistant).Think(open: false);
                    prompt.Client(message.Content);
                    WriteCalls(prompt, message.ToolCalls!);
                    break;
                default:
                    WriteReply(prompt, message, previous, request.Thinking);
                    break;
            }

            previous = message.Role;
        }

        if (!request.AddGenerationPrompt || request.ContinuesPrefix) return;
        if (previous == ChatRole.User || (terminus && previous != ChatRole.Tool)) prompt.Template(Markers.Assistant).Think(request.Thinking);
    }

    /// <summary>Writes all system messages, wherever they stand, and the tools; tells whether there was anything to write.</summary>
    private static bool WriteSystem(PromptBuilder prompt, ChatRequest request)
    {
        prompt.Client(ChatRules.SystemText(request));
        if (request.Tools is not { Count: > 0 } tools) return request.Messages.Any(message => message.Role == ChatRole.System);
        prompt.Template("\n\n## Tools\nYou have access to the following tools:\n");
        foreach (var tool in tools)
        {
            prompt.Template("\n### ").Client(tool.Name)
                .Template("\nDescription: ").Client(tool.Description)
                .Template("\n\nParameters: ").Client(tool.Parameters is { } parameters ? PythonJson.Write(parameters) : NoParameters)
                .Template("\n");
        }

        prompt.Template(ToolsInstruction);
        return true;
    }

    private static void WriteReply(PromptBuilder prompt, ChatMessage message, ChatRole? previous, bool thinking)
    {
        var content = message.Content ?? "";
        // After tool results the model goes on in the same turn: no role marker, and its text is kept as it is.
        if (previous != ChatRole.Tool) content = WithoutInlineReasoning(content);
        if (previous == ChatRole.User)
        {
            // History never shows reasoning. Only a prefix may continue it: its own reasoning if it has some, else its content.
            var opens = message.Prefix && thinking;
            prompt.Template(Markers.Assistant).Think(opens);
            if (opens && !string.IsNullOrEmpty(message.ReasoningContent))
            {
                content = message.Content ?? "";
                prompt.Client(message.ReasoningContent);
                if (content.Length > 0) prompt.Think(open: false);
            }
        }

        prompt.Client(content);
        if (!message.Prefix) prompt.Template(Markers.Eos);
    }

    private static string WithoutInlineReasoning(string content)
    {
        var end = content.IndexOf(Markers.ThinkEnd, StringComparison.Ordinal);
        return end < 0 ? content : content[(end + Markers.ThinkEnd.Length)..];
    }

    private static void WriteCalls(PromptBuilder prompt, IReadOnlyList<ToolCall> calls)
    {
        prompt.Template(Markers.CallsBegin);
        foreach (var call in calls)
        {
            prompt.Template(Markers.CallBegin).Client(call.Name).Template(Markers.CallSeparator).Client(call.Arguments).Template(Markers.CallEnd);
        }

        prompt.Template(Markers.CallsEnd + Markers.Eos);
    }
}
