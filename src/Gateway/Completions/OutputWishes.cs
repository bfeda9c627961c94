using System.Text.Json;
using Conclave.Engine.Grammars;
using Conclave.Model.Chat;

namespace Conclave.Gateway.Completions;

/// <summary>What an output must be, as a client asks for it.</summary>
/// <param name="Content">What content must be; null: anything.</param>
/// <param name="MustCall">At least one of the tools offered is called, and nothing else is said.</param>
/// <param name="OneCallOnly">At most one call.</param>
public sealed record OutputWishes(GrammarSpec? Content = null, bool MustCall = false, bool OneCallOnly = false)
{
    // Without strict mode arguments need only be an object.
    private static readonly JsonElement AnyArguments = JsonSerializer.SerializeToElement(new { type = "object" });

    /// <summary>The grammar of a turn; null if it may be anything.</summary>
    /// <param name="tools">Those offered.</param>
    /// <param name="family">The format that writes the calls.</param>
    /// <param name="thinkingOpen">The prompt ended inside an open <c>&lt;think&gt;</c>.</param>
    public GrammarSpec? ForTurn(IReadOnlyList<ToolDefinition> tools, ChatFamily family, bool thinkingOpen)
    {
        // Left to itself a model calls as it likes; what is promised of calls or content needs a grammar of both.
        bool mayCall = tools.Count > 0 && (Content is not null || tools.Any(IsStrict));
        bool isFree = !MustCall && family != ChatFamily.V32;
        return new ChatTurnGrammar
        {
            BeginsWithReasoning = thinkingOpen,
            Family = family,
            ToolUse = MustCall ? ToolUse.Required : mayCall ? ToolUse.Auto : ToolUse.None,
            Tools = [.. tools.Select(tool => isFree && !IsStrict(tool) ? tool with { Parameters = AnyArguments } : tool)],
            CallLimit = OneCallOnly ? 1 : ChatTurnGrammar.MaxCalls,
            Content = Content,
        }.ToSpec();
    }

    private static bool IsStrict(ToolDefinition tool) =>
        tool.Function.ValueKind == JsonValueKind.Object && tool.Function.TryGetProperty("strict", out JsonElement strict) && strict.ValueKind == JsonValueKind.True;
}
