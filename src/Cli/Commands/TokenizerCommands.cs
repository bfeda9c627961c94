using System.CommandLine;
using System.Text.Json.Nodes;
using Conclave.Model.Tokenization;

namespace Conclave.Cli.Commands;

/// <summary><c>conclave tokenize</c> and <c>conclave detokenize</c>: need only the tokenizer files of a checkpoint.</summary>
internal static class TokenizerCommands
{
    private static readonly Option<string?> Model = new("--model") { Description = "Directory with tokenizer.json (default: the bundled demo model)", HelpName = "DIR" };
    private static readonly Option<bool> SkipSpecial = new("--skip-special") { Description = "Leave out tokens flagged special" };

    public static Command Tokenize()
    {
        var command = new Command("tokenize", "JSON lines {\"text\":...} on stdin become {\"ids\":[...]}; nothing is added") { Model };
        command.SetAction((parsed, cancellationToken) =>
        {
            Tokenizer tokenizer = Load(parsed);
            return JsonLines.Answer(line => new JsonObject
            {
                ["ids"] = new JsonArray([.. tokenizer.Encode(line.Required("text").String()).Select(id => JsonValue.Create(id))]),
            }, cancellationToken);
        });
        return command;
    }

    public static Command Detokenize()
    {
        var command = new Command("detokenize", "JSON lines {\"ids\":[...]} on stdin become {\"text\":...}") { Model, SkipSpecial };
        command.SetAction((parsed, cancellationToken) =>
        {
            Tokenizer tokenizer = Load(parsed);
            bool skipSpecial = parsed.GetValue(SkipSpecial);
            return JsonLines.Answer(line => new JsonObject
            {
                ["text"] = tokenizer.Decode([.. line.Required("ids").Items().Select(id => checked((int)id.Integer()))], skipSpecial),
            }, cancellationToken);
        });
        return command;
    }

    private static Tokenizer Load(ParseResult parsed) => Tokenizer.Load(parsed.GetValue(Model) ?? DemoModel.Find());
}
