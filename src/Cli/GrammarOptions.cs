using System.CommandLine;
using Conclave.Engine.Grammars;

namespace Conclave.Cli;

/// <summary>The options that say what an output must be.</summary>
internal sealed class GrammarOptions
{
    private readonly Option<FileInfo?> _schema = new("--json-schema") { Description = "The answer is JSON that fits the JSON Schema in FILE", HelpName = "FILE" };
    private readonly Option<string?> _regex = new("--regex") { Description = "The answer matches this regular expression as a whole", HelpName = "PATTERN" };
    private readonly Option<FileInfo?> _grammar = new("--grammar") { Description = "The answer is a text of the grammar (GBNF) in FILE", HelpName = "FILE" };

    public void AddTo(Command command)
    {
        command.Add(_schema);
        command.Add(_regex);
        command.Add(_grammar);
    }

    /// <summary>The grammar asked for; null: none.</summary>
    /// <exception cref="ArgumentException">More than one.</exception>
    public GrammarSpec? Read(ParseResult parsed)
    {
        List<GrammarSpec> given = [];
        if (parsed.GetValue(_schema) is { } schema) given.Add(new GrammarSpec(GrammarKind.JsonSchema, File.ReadAllText(schema.FullName)));
        if (parsed.GetValue(_regex) is { } regex) given.Add(new GrammarSpec(GrammarKind.Regex, regex));
        if (parsed.GetValue(_grammar) is { } grammar) given.Add(new GrammarSpec(GrammarKind.Ebnf, File.ReadAllText(grammar.FullName)));
        return given.Count > 1 ? throw new ArgumentException("give only one of --json-schema, --regex and --grammar") : given.FirstOrDefault();
    }
}
