using System.Text.Json;
using Conclave.Model.Chat;

namespace Conclave.Engine.Grammars;

/// <summary>Whether the model calls tools in a turn.</summary>
public enum ToolUse
{
    /// <summary>Whatever it writes is content.</summary>
    None,

    /// <summary>As it likes; calls, if any, are well-formed.</summary>
    Auto,

    /// <summary>At least one call and nothing else.</summary>
    Required,
}

/// <summary>The grammar of a whole chat turn: reasoning if the prompt opened it, then content, calls or either.</summary>
public sealed record ChatTurnGrammar
{
    /// <summary>Most calls in one turn.</summary>
    public const int MaxCalls = 16;

    /// <summary>The output begins inside an open <c>&lt;think&gt;</c>: anything up to <c>&lt;/think&gt;</c> comes first.</summary>
    public bool BeginsWithReasoning { get; init; }

    /// <summary>The format that prints the calls.</summary>
    public required ChatFamily Family { get; init; }

    /// <summary>Whether tools are called.</summary>
    public ToolUse ToolUse { get; init; }

    /// <summary>Functions that may be called; at least one unless <see cref="ToolUse"/> is none.</summary>
    public IReadOnlyList<ToolDefinition> Tools { get; init; } = [];

    /// <summary>Most calls of the turn, 1 to <see cref="MaxCalls"/>.</summary>
    public int CallLimit { get; init; } = MaxCalls;

    /// <summary>What content must be; null: anything.</summary>
    public GrammarSpec? Content { get; init; }

    /// <summary>The same as a spec; null if the turn may be anything.</summary>
    public GrammarSpec? ToSpec()
    {
        if (ToolUse == ToolUse.None && (Content is null || !BeginsWithReasoning))
            return Content;
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteBoolean("reasoning", BeginsWithReasoning);
            json.WriteNumber("family", (int)Family);
            json.WriteNumber("use", (int)ToolUse);
            json.WriteNumber("limit", CallLimit);
            json.WriteStartArray("tools");
            foreach (ToolDefinition tool in Tools)
            {
                json.WriteStartObject();
                json.WriteString("name", tool.Name);
                if (tool.Parameters is { } parameters)
                {
                    json.WritePropertyName("parameters");
                    parameters.WriteTo(json);
                }

                json.WriteEndObject();
            }

            json.WriteEndArray();
            if (Content is { } content)
            {
                json.WriteNumber("kind", (int)content.Kind);
                json.WriteString("text", content.Text);
            }

            json.WriteEndObject();
        }

        return new GrammarSpec(GrammarKind.ChatTurn, System.Text.Encoding.UTF8.GetString(buffer.ToArray()));
    }

    /// <summary>Reads what <see cref="ToSpec"/> wrote.</summary>
    internal static GrammarTree Read(string text)
    {
        try
        {
            using var document = JsonDocument.Parse(text, new JsonDocumentOptions { MaxDepth = 256 });
            return Read(document.RootElement);
        }
        catch (Exception error) when (error is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new OperatingException(OperatingError.InvalidRequest, $"grammar: the description of a chat turn is broken: {error.Message}", error);
        }
    }

    private static GrammarTree Read(JsonElement turn)
    {
        var use = (ToolUse)turn.GetProperty("use").GetInt32();
        GrammarTree? content = turn.TryGetProperty("kind", out JsonElement kind)
            ? GrammarReader.Read(new GrammarSpec((GrammarKind)kind.GetInt32(), turn.GetProperty("text").GetString()!)) : null;
        Node body = Node.Never;
        if (use == ToolUse.None)
        {
            body = content?.Root ?? Node.Never;
        }
        else
        {
            var calls = new CallNodes(CallNotation.Of((ChatFamily)turn.GetProperty("family").GetInt32()), turn.GetProperty("limit").GetInt32());
            Node block = calls.Block(turn.GetProperty("tools"));
            body = use == ToolUse.Required ? Node.Of(Node.Text(calls.Opening), block)
                : content is null ? TextUntil.Optionally(calls.Notation.Opener, block)
                : Node.Any(content.Root, Node.Of(Node.Text(calls.Opening), block));
        }

        if (turn.GetProperty("reasoning").GetBoolean())
            body = Node.Of(TextUntil.Through(CallNotation.ReasoningEnd), body);
        return new GrammarTree(body, content?.MaxDepth ?? GrammarReader.MaxJsonDepth, use == ToolUse.None ? content?.Place ?? "grammar" : content is null ? "tools" : $"tools with {content.Place}");
    }
}
