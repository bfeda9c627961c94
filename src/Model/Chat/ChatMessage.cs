using System.Text.Json;

namespace Conclave.Model.Chat;

/// <summary>Who speaks in a chat message.</summary>
public enum ChatRole
{
    /// <summary>Instructions that hold for the whole conversation.</summary>
    System,

    /// <summary>The human, or the program that speaks for one.</summary>
    User,

    /// <summary>The model.</summary>
    Assistant,

    /// <summary>The result of a tool call.</summary>
    Tool,

    /// <summary>A user message with its own tools and response format; only format v3.2 knows it.</summary>
    Developer,
}

/// <summary>One call of a tool by the model.</summary>
/// <param name="Id">Identifier that the answering tool message repeats; empty if the client gave none.</param>
/// <param name="Name">Name of the function.</param>
/// <param name="Arguments">Arguments as JSON text, exactly as received.</param>
public sealed record ToolCall(string Id, string Name, string Arguments);

/// <summary>One message of a conversation.</summary>
public sealed record ChatMessage
{
    /// <summary>Who speaks.</summary>
    public required ChatRole Role { get; init; }

    /// <summary>The text; null counts as empty.</summary>
    public string? Content { get; init; }

    /// <summary>Assistant only: the reasoning that preceded <see cref="Content"/>; null if the field is absent.</summary>
    public string? ReasoningContent { get; init; }

    /// <summary>Assistant only: calls made by this message, in order; null and empty mean none.</summary>
    public IReadOnlyList<ToolCall>? ToolCalls { get; init; }

    /// <summary>Tool only: the <see cref="ToolCall.Id"/> that this message answers.</summary>
    public string? ToolCallId { get; init; }

    /// <summary>Assistant only, and only on the last message: the model continues this text instead of starting a reply.</summary>
    public bool Prefix { get; init; }

    /// <summary>v3.2 system and developer messages: tools described at this message; null means none.</summary>
    public IReadOnlyList<ToolDefinition>? Tools { get; init; }

    /// <summary>v3.2 system and developer messages: JSON schema of the reply, printed as it is; null means none.</summary>
    public JsonElement? ResponseFormat { get; init; }

    /// <summary>Whether this message calls at least one tool.</summary>
    public bool HasToolCalls => ToolCalls is { Count: > 0 };
}

/// <summary>A function that the model may call.</summary>
public sealed record ToolDefinition
{
    /// <summary>Name of the function.</summary>
    public required string Name { get; init; }

    /// <summary>What the function does; null if the client gave no description.</summary>
    public string? Description { get; init; }

    /// <summary>JSON schema of the arguments; null if the client gave none (no arguments).</summary>
    public JsonElement? Parameters { get; init; }

    /// <summary>The inner <c>function</c> object as the client sent it: format v3.2 prints it.</summary>
    public required JsonElement Function { get; init; }

    /// <summary>The whole tool object as the client sent it: format v3 prints it.</summary>
    public required JsonElement Definition { get; init; }
}
