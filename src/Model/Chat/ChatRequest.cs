using System.Text.Json;

namespace Conclave.Model.Chat;

/// <summary>A conversation to be rendered as a prompt.</summary>
public sealed record ChatRequest
{
    /// <summary>The conversation, oldest message first.</summary>
    public required IReadOnlyList<ChatMessage> Messages { get; init; }

    /// <summary>Tools offered with the request; null and empty mean none.</summary>
    public IReadOnlyList<ToolDefinition>? Tools { get; init; }

    /// <summary>
    /// The request's <c>response_format</c> object; null means none. Only v3.2 prints it, and only the schema inside type <c>json_schema</c>.
    /// </summary>
    public JsonElement? ResponseFormat { get; init; }

    /// <summary>Whether the model shall reason before it answers. Without effect in v3.</summary>
    public bool Thinking { get; init; }

    /// <summary>Whether the prompt shall end where the model's reply begins; false renders a finished conversation.</summary>
    public bool AddGenerationPrompt { get; init; } = true;

    /// <summary>
    /// Accepted for v3.2 and without effect: the format never shows reasoning from before the last user message anyway.
    /// </summary>
    public bool DropThinking { get; init; } = true;

    /// <summary>Whether the model continues the text of the last message.</summary>
    public bool ContinuesPrefix => Messages is [.., { Prefix: true }];
}
