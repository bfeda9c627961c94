namespace Conclave.Engine.Grammars;

/// <summary>Reads what a client wrote, in whatever notation.</summary>
internal static class GrammarReader
{
    /// <summary>Levels of a JSON text's calls; with those that a schema writes out itself it stays within the 64 that common parsers accept.</summary>
    public const int MaxJsonDepth = 32;

    /// <summary>Levels of calls of an EBNF grammar; tail calls do not count.</summary>
    public const int MaxRuleDepth = 256;

    /// <exception cref="OperatingException">With <see cref="OperatingError.InvalidRequest"/>, naming the place.</exception>
    public static GrammarTree Read(GrammarSpec spec) => spec.Kind switch
    {
        // A turn's text holds those of its parts.
        not GrammarKind.ChatTurn when spec.Text.Length > GrammarSpec.MaxLength => throw new OperatingException(OperatingError.InvalidRequest, $"grammar: has more than {GrammarSpec.MaxLength} characters"),
        GrammarKind.JsonObject => new GrammarTree(new JsonNodes().AnyObject, MaxJsonDepth, "json_object"),
        GrammarKind.JsonSchema => new GrammarTree(SchemaReader.Read(spec.Text), MaxJsonDepth, "schema #"),
        GrammarKind.Regex => new GrammarTree(RegexReader.Read(spec.Text), MaxRuleDepth, "regex"),
        GrammarKind.Ebnf => new GrammarTree(EbnfReader.Read(spec.Text), MaxRuleDepth, "grammar"),
        GrammarKind.ChatTurn => ChatTurnGrammar.Read(spec.Text),
        _ => throw new OperatingException(OperatingError.InvalidRequest, $"grammar: kind {(int)spec.Kind} is unknown to this server"),
    };
}
