using Conclave.Engine;
using Conclave.Engine.Grammars;
using Conclave.Gateway.Completions;
using Conclave.Model.Chat;
using Conclave.V1;

namespace Conclave.Gateway.Grpc;

/// <summary>The parts of messages that say what an output must be.</summary>
internal static class OutputMessages
{
    /// <summary>What a chat request asks for.</summary>
    public static OutputWishes Read(V1.ChatRequest request) =>
        new(Read(request.OutputGrammar), MustCall: request.ToolChoice is not ("" or "auto" or "none"), OneCallOnly: request.ToolChoice is not ("" or "auto" or "none" or "required"));

    /// <summary>The grammar that a message describes; null: none.</summary>
    /// <exception cref="OperatingException">It describes nothing.</exception>
    public static GrammarSpec? Read(OutputGrammar? grammar) => grammar?.KindCase switch
    {
        null => null,
        OutputGrammar.KindOneofCase.JsonObject => new GrammarSpec(GrammarKind.JsonObject, ""),
        OutputGrammar.KindOneofCase.JsonSchema => new GrammarSpec(GrammarKind.JsonSchema, grammar.JsonSchema),
        OutputGrammar.KindOneofCase.Regex => new GrammarSpec(GrammarKind.Regex, grammar.Regex),
        OutputGrammar.KindOneofCase.Ebnf => new GrammarSpec(GrammarKind.Ebnf, grammar.Ebnf),
        _ => throw new OperatingException(OperatingError.InvalidRequest, "output_grammar: give json_object, json_schema, regex or ebnf"),
    };

    /// <summary>The tools that <c>tool_choice</c> leaves.</summary>
    /// <exception cref="OperatingException">It names none of them.</exception>
    public static IReadOnlyList<ToolDefinition> Offered(V1.ChatRequest request, IReadOnlyList<ToolDefinition> tools)
    {
        if (request.ToolChoice is "" or "auto") return tools;
        if (request.ToolChoice == "none") return [];
        IReadOnlyList<ToolDefinition> offered = request.ToolChoice == "required" ? tools : [.. tools.Where(tool => tool.Name == request.ToolChoice)];
        return offered.Count > 0 ? offered : throw new OperatingException(OperatingError.InvalidRequest, $"tool_choice: no tool is named '{request.ToolChoice}'");
    }
}
