using System.CommandLine;
using System.Text.Json.Nodes;
using Conclave.Model.Chat;

namespace Conclave.Cli.Commands;

/// <summary><c>conclave render</c> and <c>conclave parse</c>: chat formats without a model.</summary>
internal static class FormatCommands
{
    private static readonly Option<string> Variant = new("--variant") { Description = $"One of {ChatVariants.Choices}", Required = true, HelpName = "V" };
    private static readonly Option<string> Format = new("--format") { Description = "One of v3, v3.1, v3.2", Required = true, HelpName = "F" };

    public static Command Render()
    {
        var command = new Command("render", "JSON lines with a conversation on stdin become {\"prompt\":...}") { Variant };
        command.SetAction((parsed, cancellationToken) =>
        {
            ChatFormat format = ChatFormat.Get(Choice("--variant", parsed.GetValue(Variant)!, ChatVariants.Parse));
            return JsonLines.Answer(line => new JsonObject { ["prompt"] = format.Render(ChatJson.ReadRequest(line.Value)).Text }, cancellationToken);
        });
        return command;
    }

    public static Command Parse()
    {
        var command = new Command("parse", "JSON lines {\"text\":..., \"thinking\":...} on stdin become messages, tools taken as offered") { Format };
        command.SetAction((parsed, cancellationToken) =>
        {
            ChatFormat format = ChatFormat.Get(Choice("--format", parsed.GetValue(Format)!, ChatVariants.ParseFamily));
            return JsonLines.Answer(line => ChatJson.ToJson(OutputParser.Parse(
                format, line["thinking"]?.Bool() ?? false, toolsOffered: true, line.Required("text").String())), cancellationToken);
        });
        return command;
    }

    private static ChatVariant Choice(string option, string name, Func<string, ChatVariant> parse)
    {
        try
        {
            return parse(name);
        }
        catch (FormatException e)
        {
            throw new ArgumentException($"{option}: {e.Message}");
        }
    }
}
