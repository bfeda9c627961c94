using System.Text;
using System.Text.Json.Nodes;
using Conclave.Gateway;
using Conclave.Gateway.Completions;
using Spectre.Console;

namespace Conclave.Cli.Chat;

/// <summary>A conversation in the terminal: reads lines, shows answers as they come, thinking dimmed. Ctrl-C stops an answer, not the program.</summary>
internal sealed class Conversation(ChatClient client, SamplingWishes sampling, string? system, bool thinking)
{
    private const string Help = "/think on|off   reason before answering\n/system TEXT    set the system message and start over\n/clear          start over\n/quit           leave (or Ctrl-D)";

    private readonly JsonArray _messages = [];
    private string? _system = system;
    private bool _thinking = thinking;

    public async Task Run(CancellationToken cancellationToken)
    {
        Clear();
        AnsiConsole.MarkupLineInterpolated($"[dim]/help lists commands; thinking is {(_thinking ? "on" : "off")}[/]");
        while (!cancellationToken.IsCancellationRequested)
        {
            if (!Console.IsInputRedirected) AnsiConsole.Markup("[bold green]> [/]");
            string? line = await Console.In.ReadLineAsync(cancellationToken);
            if (line is null or "/quit" or "/exit") return;
            if (string.IsNullOrWhiteSpace(line)) continue;
            if (line.StartsWith('/')) Obey(line);
            else await Ask(line, cancellationToken);
        }
    }

    private void Obey(string line)
    {
        string[] words = line.Split(' ', 2, StringSplitOptions.TrimEntries);
        switch (words)
        {
            case ["/think", "on"] or ["/think", "off"]:
                _thinking = words[1] == "on";
                AnsiConsole.MarkupLineInterpolated($"[dim]thinking is {words[1]}[/]");
                break;
            case ["/system", var text]:
                _system = text;
                Clear();
                break;
            case ["/clear"]:
                Clear();
                break;
            case ["/help"]:
                AnsiConsole.MarkupLineInterpolated($"[dim]{Help}[/]");
                break;
            default:
                AnsiConsole.MarkupLineInterpolated($"[red]unknown command {words[0]}; /help lists them[/]");
                break;
        }
    }

    private void Clear()
    {
        _messages.Clear();
        if (_system is not null) _messages.Add(new JsonObject { ["role"] = "system", ["content"] = _system });
    }

    private async Task Ask(string question, CancellationToken cancellationToken)
    {
        _messages.Add(new JsonObject { ["role"] = "user", ["content"] = question });
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        ConsoleCancelEventHandler onCancel = (_, e) => { e.Cancel = true; stop.Cancel(); };
        Console.CancelKeyPress += onCancel;
        try
        {
            string answer = await Show(client.Stream(Body(), stop.Token));
            _messages.Add(new JsonObject { ["role"] = "assistant", ["content"] = answer });
        }
        catch (Exception e) when (e is HttpRequestException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            // The conversation goes on as if the question had not been asked.
            _messages.RemoveAt(_messages.Count - 1);
            AnsiConsole.MarkupLineInterpolated($"[red]{(e is HttpRequestException ? e.Message : "stopped")}[/]");
        }
        finally
        {
            Console.CancelKeyPress -= onCancel;
        }
    }

    private static async Task<string> Show(IAsyncEnumerable<AnswerPiece> pieces)
    {
        var answer = new StringBuilder();
        bool reasoning = false;
        await foreach (AnswerPiece piece in pieces)
        {
            if (reasoning && !piece.IsReasoning) AnsiConsole.WriteLine();
            reasoning = piece.IsReasoning;
            AnsiConsole.Write(new Text(piece.Text, piece.IsReasoning ? new Style(decoration: Decoration.Dim) : Style.Plain));
            if (!piece.IsReasoning) answer.Append(piece.Text);
        }

        AnsiConsole.WriteLine();
        return answer.ToString();
    }

    private JsonObject Body()
    {
        var body = new JsonObject
        {
            ["model"] = _thinking ? ServedModel.ReasonerAlias : ServedModel.ChatAlias,
            ["messages"] = _messages.DeepClone(),
            ["stream"] = true,
        };
        sampling.WriteTo(body);
        return body;
    }
}
