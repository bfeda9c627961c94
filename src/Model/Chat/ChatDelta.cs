namespace Conclave.Model.Chat;

/// <summary>What a <see cref="ChatDelta"/> adds to the message.</summary>
public enum ChatDeltaKind
{
    /// <summary>More reasoning text.</summary>
    Reasoning,

    /// <summary>More content text.</summary>
    Content,

    /// <summary>One complete tool call.</summary>
    ToolCall,
}

/// <summary>One addition to the message that the model is writing.</summary>
/// <param name="Kind">What is added.</param>
/// <param name="Text">Reasoning or content text; of a tool call its arguments, the text of a JSON object.</param>
/// <param name="CallIndex">Of a tool call its place in the message, from 0.</param>
/// <param name="CallName">Of a tool call the name of the function, as the model wrote it.</param>
public readonly record struct ChatDelta(ChatDeltaKind Kind, string Text, int CallIndex = 0, string? CallName = null);

/// <summary>A tool call as the model wrote it; it has no id yet.</summary>
/// <param name="Name">Name of the function.</param>
/// <param name="Arguments">Arguments: the text of a JSON object.</param>
public sealed record ParsedToolCall(string Name, string Arguments);

/// <summary>A complete model output, taken apart.</summary>
/// <param name="ReasoningContent">The reasoning; null if the output did not begin inside it.</param>
/// <param name="Content">The answer; empty if there is none.</param>
/// <param name="ToolCalls">The complete, valid calls, in order.</param>
/// <param name="StopMatched">The stop string that ended the content; null if none did.</param>
public sealed record ParsedMessage(string? ReasoningContent, string Content, IReadOnlyList<ParsedToolCall> ToolCalls, string? StopMatched);
