namespace Conclave.Engine.Grammars;

/// <summary>What the output must be, as the client wrote it.</summary>
/// <param name="Kind">How <paramref name="Text"/> is read.</param>
/// <param name="Text">The schema, the expression or the grammar; empty for <see cref="GrammarKind.JsonObject"/>.</param>
public sealed record GrammarSpec(GrammarKind Kind, string Text)
{
    /// <summary>Most characters of <see cref="Text"/>.</summary>
    public const int MaxLength = 1_000_000;
}

/// <summary>Ways to write a grammar. The numbers travel between processes: never change them.</summary>
public enum GrammarKind
{
    /// <summary>Any one JSON object.</summary>
    JsonObject = 0,

    /// <summary>JSON that fits a JSON Schema.</summary>
    JsonSchema = 1,

    /// <summary>Text that matches a regular expression as a whole.</summary>
    Regex = 2,

    /// <summary>Text of a context-free grammar in EBNF, from its rule <c>root</c>.</summary>
    Ebnf = 3,

    /// <summary>A whole chat turn: reasoning, then content or tool calls; the text is that of <see cref="ChatTurnGrammar.ToSpec"/>.</summary>
    ChatTurn = 4,
}
