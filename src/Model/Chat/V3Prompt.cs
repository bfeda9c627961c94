namespace Conclave.Model.Chat;

/// <summary>The chat template of V3-0324.</summary>
internal static class V3Prompt
{
    // The template ignores tools; this wording is the one in common use with the model. "valid.## Tools" has no break on purpose.
    private const string ToolsIntroduction =
        """
        You are a helpful assistant with tool calling capabilities. When a tool call is needed, you MUST use the following format to issue the call:
        <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>FUNCTION_NAME
        ```json
        {"param1": "value1", "param2": "value2"}
        ```<｜tool▁call▁end｜><｜tool▁calls▁end｜>

        Make sure the JSON is valid.## Tools

        ### Function

        You have the following functions available:
        """;

    public static void Write(PromptBuilder prompt, ChatRequest request)
    {
        WriteSystem(prompt, request);
        ChatRole? previous = null;
        foreach (var message in request.Messages.Where(message => message.Role != ChatRole.System))
        {
            switch (message.Role)
            {
                case ChatRole.User:
                    prompt.Template(Markers.User).Client(message.Content).Template(Markers.Assistant);
                    break;
                case ChatRole.Assistant:
                    if (previous == ChatRole.Tool) prompt.Template(Markers.OutputsEnd);
                    prompt.Client(message.Content);
                    if (message.HasToolCalls) WriteCalls(prompt, message.ToolCalls!);
                    if (!message.Prefix) prompt.Template(Markers.Eos);
                    break;
                default:
                    WriteOutput(prompt, message, isFirst: previous != ChatRole.Tool);
                    break;
            }

            previous = message.Role;
        }

        if (previous == ChatRole.Tool) prompt.Template(Markers.OutputsEnd);
        else if (previous != ChatRole.User && request.AddGenerationPrompt && !request.ContinuesPrefix) prompt.Template(Markers.Assistant);
    }

    /// <summary>Writes all system messages, wherever they stand, and the tools.</summary>
    public static void WriteSystem(PromptBuilder prompt, ChatRequest request)
    {
        prompt.Client(ChatRules.SystemText(request));
        if (request.Tools is not { Count: > 0 } tools) return;
        prompt.Template("\n\n" + ToolsIntroduction + "\n\n");
        foreach (var tool in tools)
        {
            prompt.Template("\n```json\n").Client(PythonJson.Write(tool.Definition)).Template("\n```\n");
        }
    }

    public static void WriteCall(PromptBuilder prompt, ToolCall call) =>
        prompt.Template(Markers.CallBegin + "function" + Markers.CallSeparator).Client(call.Name)
            .Template("\n```json\n").Client(call.Arguments).Template("\n```" + Markers.CallEnd);

    public static void WriteOutput(PromptBuilder prompt, ChatMessage message, bool isFirst) =>
        prompt.Template((isFirst ? Markers.OutputsBegin : "\n") + Markers.OutputBegin).Client(message.Content).Template(Markers.OutputEnd);

    private static void WriteCalls(PromptBuilder prompt, IReadOnlyList<ToolCall> calls)
    {
        prompt.Template(Markers.CallsBegin);
        for (var i = 0; i < calls.Count; i++)
        {
            if (i > 0) prompt.Template("\n");
            WriteCall(prompt, calls[i]);
        }

        prompt.Template(Markers.CallsEnd);
    }
}
