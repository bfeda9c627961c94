using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using Conclave.Cli.Evaluation;
using Conclave.Gateway.Completions;

namespace Conclave.Cli.Commands;

/// <summary><c>conclave eval</c>: what a model can do on unseen prompts, a row a skill.</summary>
internal static class EvalCommand
{
    private static readonly ModelOptions Model = new();
    private static readonly Option<string?> Cases = new("--cases") { Description = "JSON lines with prompts and expectations (default: eval.jsonl of the model)", HelpName = "FILE" };
    private static readonly Option<string?> Skill = new("--skill") { Description = "Only this skill", HelpName = "NAME" };
    private static readonly Option<int> Show = new("--show") { Description = "Show up to this many failed answers a skill" };
    private static readonly Option<bool> Json = new("--json") { Description = "Print the table as JSON" };

    public static Command Create()
    {
        var command = new Command("eval", "Measure accuracy on unseen prompts, greedily decoded, a row a skill") { Cases, Skill, Show, Json };
        Model.AddTo(command);
        command.SetAction(Run);
        return command;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        string path = parsed.GetValue(Cases) ?? Path.Combine(Model.Directory(parsed), "eval.jsonl");
        string? only = parsed.GetValue(Skill);
        EvaluationCase[] cases = [.. EvaluationCase.Load(path).Where(c => only is null || c.Skill == only)];
        if (cases.Length == 0) throw new ArgumentException(only is null ? $"--cases: {path} holds no case" : $"--skill: {path} has no case of '{only}'");
        await using LocalModel model = await LocalModel.Start(Model, parsed, cancellationToken);
        long started = Stopwatch.GetTimestamp();
        var answers = new CompletedText[cases.Length];
        int done = 0;
        // A few more at once than the batch holds, so that the engine never waits for us.
        await Parallel.ForEachAsync(Enumerable.Range(0, cases.Length), new ParallelOptions { MaxDegreeOfParallelism = 48, CancellationToken = cancellationToken }, async (i, cancel) =>
        {
            answers[i] = await CompletedText.Collect(model.Runner, Request(model, cases[i]), cancel);
            int count = Interlocked.Increment(ref done);
            if (!Console.IsErrorRedirected) await Console.Error.WriteAsync($"\r{count}/{cases.Length}");
        });
        if (!Console.IsErrorRedirected) await Console.Error.WriteLineAsync();
        Report(cases, answers, Stopwatch.GetElapsedTime(started), parsed.GetValue(Show), parsed.GetValue(Json));
        return CommandLine.Done;
    }

    private static CompletionRequest Request(LocalModel model, EvaluationCase c)
    {
        var wishes = new SamplingWishes { Temperature = 0, MaxTokens = c.MaxTokens };
        return c.Chat is not null ? model.Builder.Chat(c.Chat, wishes) : model.Builder.Fim(c.Prompt, c.Suffix, wishes);
    }

    private static void Report(EvaluationCase[] cases, CompletedText[] answers, TimeSpan elapsed, int show, bool json)
    {
        var skills = cases.Zip(answers).GroupBy(pair => pair.First.Skill)
            .Select(skill => (Name: skill.Key, Total: skill.Count(), Right: skill.Count(pair => pair.First.Expected.Holds(pair.Second)), Failed: skill.Where(pair => !pair.First.Expected.Holds(pair.Second)).Take(show).ToArray()))
            .ToArray();
        int tokens = answers.Sum(answer => answer.Usage.CompletionTokens);
        if (json)
        {
            Console.WriteLine(JsonSerializer.Serialize(skills.Select(s => new { skill = s.Name, cases = s.Total, right = s.Right, accuracy = (double)s.Right / s.Total })));
            return;
        }

        var table = new TextTable(1, "skill", "cases", "right", "accuracy");
        foreach (var s in skills) table.AddRow(s.Name, $"{s.Total}", $"{s.Right}", $"{100.0 * s.Right / s.Total:F1}%");
        table.Write();
        foreach (var s in skills)
            foreach (var (c, answer) in s.Failed)
                Console.WriteLine($"{s.Name}: {(c.Chat is { } chat ? chat.Messages[^1].Content : c.Prompt)}\n  -> {answer.Content}{string.Concat(answer.Calls.Select(call => $" {call.CallName}({call.Text})"))}");
        Console.WriteLine($"{cases.Length} prompts, {tokens} tokens in {elapsed.TotalSeconds:F1} s ({tokens / elapsed.TotalSeconds:F0} tokens/s)");
    }
}
