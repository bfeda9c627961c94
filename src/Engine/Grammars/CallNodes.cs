using System.Text.Json;
using Conclave.Model.Chat;

namespace Conclave.Engine.Grammars;

/// <summary>Tool calls as a chat format writes them, each with arguments that fit its function's schema.</summary>
internal sealed class CallNodes(CallNotation notation, int limit)
{
    private readonly JsonNodes _json = new();

    /// <summary>The fixed texts.</summary>
    public CallNotation Notation => notation;

    /// <summary>What begins a block, with what stands before it.</summary>
    public string Opening => notation.Lead + notation.Opener;

    /// <summary>The calls behind the opener, and what closes them.</summary>
    /// <param name="tools">List of objects with <c>name</c> and, possibly, <c>parameters</c>.</param>
    /// <exception cref="OperatingException">A schema cannot be used.</exception>
    public Node Block(JsonElement tools)
    {
        var call = new Rule("a tool call") { Body = Node.Any([.. tools.EnumerateArray().Select(Call)]) };
        var more = new Node.Repeat(Node.Of(Node.Text(notation.Between), new Node.Call(call)), 0, Math.Clamp(limit, 1, ChatTurnGrammar.MaxCalls) - 1);
        return Node.Of(new Node.Call(call), more, Node.Text(notation.Closer));
    }

    private Node Call(JsonElement tool)
    {
        string name = tool.GetProperty("name").GetString()!;
        string schema = tool.TryGetProperty("parameters", out JsonElement parameters) ? parameters.GetRawText() : """{"type":"object","additionalProperties":false}""";
        try
        {
            SchemaDocument document = SchemaDocument.Parse(schema);
            Node arguments = notation.HasParameters ? new ParameterNodes(document, _json).All() : SchemaReader.ReadObject(document, _json);
            return Node.Of(Node.Text(notation.CallBegin + name + notation.AfterName), arguments, Node.Text(notation.CallEnd));
        }
        catch (OperatingException e)
        {
            throw new OperatingException(e.Error, $"tool '{name}': parameters: {e.Message}", e);
        }
    }
}
