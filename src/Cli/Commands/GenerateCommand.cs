using System.CommandLine;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Conclave.Gateway.Completions;
using Conclave.Model.Chat;

namespace Conclave.Cli.Commands;

/// <summary><c>conclave generate</c>: one prompt, or a file of them as one batch.</summary>
internal static class GenerateCommand
{
    private static readonly ModelOptions Model = new();
    private static readonly SamplingOptions Sampling = new();
    private static readonly GrammarOptions Grammar = new();
    private static readonly Option<string?> Prompt = new("--prompt") { Description = "The prompt", HelpName = "TEXT" };
    private static readonly Option<FileInfo?> InputFile = new("--input-file") { Description = "JSON lines {\"prompt\":...} or {\"messages\":[...]}, or plain text lines; answered as JSON lines in order", HelpName = "FILE" };
    private static readonly Option<bool> Raw = new("--raw") { Description = "Continue the prompt as it is, without chat format" };
    private static readonly Option<bool> Think = new("--think") { Description = "Let the model reason before it answers" };
    private static readonly JsonSerializerOptions Compact = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static Command Create()
    {
        var command = new Command("generate", "Answer a prompt, or a file of prompts in one batch, without a server") { Prompt, InputFile, Raw, Think };
        Model.AddTo(command);
        Sampling.AddTo(command);
        Grammar.AddTo(command);
        command.SetAction(Run);
        return command;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        string? prompt = parsed.GetValue(Prompt);
        FileInfo? file = parsed.GetValue(InputFile);
        if (prompt is null == file is null) throw new ArgumentException("give either --prompt or --input-file");
        string[] lines = file is null ? [] : [.. (await File.ReadAllLinesAsync(file.FullName, cancellationToken)).Where(line => line.Length > 0)];
        await using LocalModel model = await LocalModel.Start(Model, parsed, cancellationToken);
        if (prompt is not null) await Answer(model, Request(model, parsed, prompt), cancellationToken);
        else await AnswerAll(model, [.. lines.Select((line, index) => Request(model, parsed, line, index + 1))], cancellationToken);
        return CommandLine.Done;
    }

    private static async Task Answer(LocalModel model, CompletionRequest request, CancellationToken cancellationToken)
    {
        await using var output = new StreamWriter(Console.OpenStandardOutput(), new UTF8Encoding(false)) { AutoFlush = true };
        await foreach (CompletionEvent happened in model.Runner.Run(request, cancellationToken))
            foreach (ChatDelta delta in (happened as CompletionEvent.Progress)?.Deltas ?? [])
                await output.WriteAsync(delta.Text);
        await output.WriteLineAsync();
    }

    /// <summary>All requests run at once, as far as the engine's batch has room; answers come out in the order of the file.</summary>
    private static async Task AnswerAll(LocalModel model, CompletionRequest[] requests, CancellationToken cancellationToken)
    {
        await using var output = new StreamWriter(Console.OpenStandardOutput(), new UTF8Encoding(false));
        Task<CompletedText>[] answers = [.. requests.Select(request => CompletedText.Collect(model.Runner, request, cancellationToken))];
        for (int i = 0; i < answers.Length; i++)
        {
            CompletedText answer = await answers[i];
            var json = new JsonObject { ["index"] = i, ["content"] = answer.Content };
            if (answer.Reasoning.Length > 0) json["reasoning_content"] = answer.Reasoning;
            json["finish_reason"] = answer.End.ToString().ToLowerInvariant();
            json["completion_tokens"] = answer.Usage.CompletionTokens;
            await output.WriteLineAsync(json.ToJsonString(Compact));
            await output.FlushAsync(cancellationToken);
            if (!Console.IsErrorRedirected) await Console.Error.WriteAsync($"\r{i + 1}/{answers.Length}{(i + 1 == answers.Length ? "\n" : "")}");
        }
    }

    private static CompletionRequest Request(LocalModel model, ParseResult parsed, string line, int number = 0)
    {
        SamplingWishes wishes = Sampling.Wishes(parsed);
        var output = new OutputWishes(Grammar.Read(parsed));
        bool thinking = parsed.GetValue(Think) && model.Served.Format.SupportsThinking;
        if (number > 0 && line.StartsWith('{'))
        {
            try
            {
                using JsonDocument document = JsonDocument.Parse(line);
                var root = new JsonField(document.RootElement, "");
                if (root["messages"] is not null)
                    return model.Builder.Chat(ChatJson.ReadRequest(document.RootElement) with { Thinking = root["thinking"]?.Bool() ?? thinking }, wishes, output);
                line = root.Required("prompt").String();
            }
            catch (Exception e) when (e is JsonException or ChatFormatException)
            {
                throw new InvalidDataException($"--input-file: line {number}: {e.Message}", e);
            }
        }

        return parsed.GetValue(Raw)
            ? model.Builder.Raw(line, wishes) with { Grammar = output.Content }
            : model.Builder.Chat(new ChatRequest { Messages = [new ChatMessage { Role = ChatRole.User, Content = line }], Thinking = thinking }, wishes, output);
    }
}
