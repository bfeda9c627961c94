namespace Conclave.Model.Chat;

/// <summary>
/// The chat template of the first V3, quirks included: the model was trained with them. Calls beside a text are lost, a single call is never closed by
/// the calls end marker and every further one is, and later rounds lack the begin markers.
/// </summary>
internal static class V3OriginalPrompt
{
    public static void Write(PromptBuilder prompt, ChatRequest request)
    {
        V3Prompt.WriteSystem(prompt, request);
        var (anyCall, anyOutput, afterOutput) = (false, false, false);
        foreach (var message in request.Messages)
        {
            switch (message.Role)
            {
                case ChatRole.User:
                    prompt.Template(Markers.User).Client(message.Content);
                    afterOutput = false;
                    break;
                case ChatRole.Assistant when message.Content is null && message.HasToolCalls:
                    WriteCalls(prompt, message.ToolCalls!, ref anyCall);
                    afterOutput = false;
                    break;
                case ChatRole.Assistant:
                    prompt.Template(afterOutput ? Markers.OutputsEnd : Markers.Assistant).Client(message.Content);
                    if (!message.Prefix) prompt.Template(Markers.Eos);
                    afterOutput = false;
                    break;
                case ChatRole.Tool:
                    V3Prompt.WriteOutput(prompt, message, isFirst: !anyOutput);
                    (anyOutput, afterOutput) = (true, true);
                    break;
            }
        }

        if (afterOutput) prompt.Template(Markers.OutputsEnd);
        else if (request.AddGenerationPrompt && !request.ContinuesPrefix) prompt.Template(Markers.Assistant);
    }

    private static void WriteCalls(PromptBuilder prompt, IReadOnlyList<ToolCall> calls, ref bool anyCall)
    {
        foreach (var call in calls)
        {
            prompt.Template(anyCall ? "\n" : Markers.Assistant + Markers.CallsBegin);
            V3Prompt.WriteCall(prompt, call);
            if (anyCall) prompt.Template(Markers.CallsEnd + Markers.Eos);
            anyCall = true;
        }
    }
}
