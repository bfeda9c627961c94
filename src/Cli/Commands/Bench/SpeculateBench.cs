using System.CommandLine;
using Conclave.Cli.Evaluation;
using Conclave.Engine;
using Conclave.Engine.Speculation;
using Conclave.Gateway;
using Conclave.Gateway.Completions;
using Conclave.Model;
using Conclave.Model.Checkpoints;

namespace Conclave.Cli.Commands.Bench;

/// <summary>What drafts came to in one kind of text.</summary>
/// <param name="Skill">The kind.</param>
/// <param name="Batch">Sequences at once.</param>
/// <param name="Drafts">Drafts a step: off, a number, or auto.</param>
/// <param name="Acceptance">Share of the drafts that were right.</param>
/// <param name="BreakEven">Share of right drafts from which on they would pay, by what the steps took; none for auto, which also makes steps without.</param>
/// <param name="TokensPerStep">Tokens that a sequence got from a step.</param>
/// <param name="TokensPerSecond">All sequences together, while they decode.</param>
/// <param name="Gain">The rate over that of the same texts without drafts in the same round; median of all texts and rounds; none if no text has two tokens.</param>
/// <param name="LowerQuartile">Of the same ratios.</param>
/// <param name="UpperQuartile">Of the same ratios.</param>
internal sealed record SpeculateFigures(
    string Skill, int Batch, string Drafts, double? Acceptance, double? BreakEven, double TokensPerStep, double TokensPerSecond, double? Gain, double? LowerQuartile, double? UpperQuartile);

/// <summary><c>conclave bench speculate</c>: how many drafts of the MTP module are right, and what that gains, a row a kind of text.</summary>
internal static class SpeculateBench
{
    private static readonly Option<string?> Model = new("--model") { Description = "Checkpoint directory with an MTP module (default: the bundled demo model)", HelpName = "DIR" };
    private static readonly Option<string?> Cases = new("--cases") { Description = "JSON lines with prompts, as eval takes them (default: eval.jsonl of the model, or random texts if it has none)", HelpName = "FILE" };
    private static readonly Option<string?> Skill = new("--skill") { Description = "Only this kind of text", HelpName = "NAME" };
    private static readonly Option<string> Drafts = new("--drafts") { Description = "Drafts a step to compare with none: numbers, or auto", DefaultValueFactory = _ => "1,2,3,auto", HelpName = "N,N,..." };
    private static readonly Option<string> Batch = new("--batch") { Description = "Sequences at once", DefaultValueFactory = _ => "1,8", HelpName = "N,N,..." };
    private static readonly Option<int> Count = new("--count") { Description = "Prompts of each kind", DefaultValueFactory = _ => 16 };
    private static readonly Option<int> Rounds = new("--rounds") { Description = "Measurements of each text, in turns; medians are shown", DefaultValueFactory = _ => 5 };
    private static readonly Option<double> Temperature = new("--temperature") { Description = "0 (greedy) to 2", HelpName = "T" };
    private static readonly Option<int> Threads = new("--threads") { Description = "Threads of the forward pass", DefaultValueFactory = _ => Environment.ProcessorCount };
    private static readonly Option<bool> Json = new("--json") { Description = "Print the figures as JSON" };

    public static Command Create()
    {
        var command = new Command("speculate", "Acceptance of the MTP module's drafts and what they gain, for each kind of text") { Model, Cases, Skill, Drafts, Batch, Count, Rounds, Temperature, Threads, Json };
        command.SetAction(Run);
        return command;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        string directory = parsed.GetValue(Model) is { } model ? BenchModel.Existing(model) : DemoModel.Find();
        BenchOptions.RequirePositive(parsed, Count, Rounds);
        BenchOptions.RequireThreads(parsed, Threads);
        string[] names = ["off", .. parsed.GetValue(Drafts)!.Split(',', StringSplitOptions.TrimEntries)];
        SpeculationOptions[] settings = [.. names.Select(name => ModelOptions.Speculation("--drafts", name))];
        int[] batches = BenchOptions.Numbers(parsed, Batch, 256);
        using var checkpoint = Checkpoint.Open(directory);
        if (checkpoint.Config.NextTokenPredictLayers == 0) throw new ArgumentException($"--model: {directory} has no MTP module, so there is nothing to draft with");
        var skills = Load(parsed, directory, checkpoint.Config.VocabularySize);
        using var workers = new WorkerPool(parsed.GetValue(Threads));
        List<SpeculateFigures> figures = [];
        foreach (int batch in batches)
        {
            // The same engines for all kinds of text, as in a server: auto has to find out anew.
            using var run = new SpeculateRun(checkpoint, workers, settings, batch);
            foreach (var (skill, requests) in skills)
            {
                BenchOptions.Progress($"{skill}, {batch} at once");
                figures.AddRange(Figures(skill, batch, names, await run.Measure(requests, parsed.GetValue(Rounds), cancellationToken)));
            }
        }

        if (parsed.GetValue(Json)) BenchOptions.PrintJson(figures);
        else Show(figures);
        return CommandLine.Done;
    }

    private static (string Skill, GenerationRequest[] Requests)[] Load(ParseResult parsed, string directory, int vocabularySize)
    {
        string path = parsed.GetValue(Cases) ?? Path.Combine(directory, "eval.jsonl");
        if (parsed.GetValue(Cases) is null && !File.Exists(path)) return [("random", RandomTexts(parsed.GetValue(Count), vocabularySize))];
        string? only = parsed.GetValue(Skill);
        var builder = new CompletionBuilder(new ServedModel(new ServedModelOptions(directory, null)));
        var skills = EvaluationCase.Load(path).Where(c => only is null || c.Skill == only).GroupBy(c => c.Skill)
            .Select(group => (group.Key, group.Take(parsed.GetValue(Count)).Select((c, i) => Request(builder, c, parsed.GetValue(Temperature), i)).ToArray()))
            .ToArray();
        return skills.Length > 0 ? skills : throw new ArgumentException(only is null ? $"--cases: {path} holds no case" : $"--skill: {path} has no case of '{only}'");
    }

    /// <summary>For random weights: hardly a draft will be right, but what drafts cost is what they cost.</summary>
    private static GenerationRequest[] RandomTexts(int count, int vocabularySize)
    {
        var random = new Random(1);
        return [.. Enumerable.Range(0, count).Select(_ => new GenerationRequest
        {
            PromptIds = [.. Enumerable.Range(0, 64).Select(_ => random.Next(vocabularySize))],
            MaxTokens = 64,
            StopTokenIds = Array.Empty<int>(),
            Sampling = new SamplingParameters { Temperature = 0 },
        })];
    }

    private static GenerationRequest Request(CompletionBuilder builder, EvaluationCase c, double temperature, int seed)
    {
        var wishes = new SamplingWishes { Temperature = temperature, MaxTokens = c.MaxTokens, Seed = (ulong)seed };
        CompletionRequest request = c.Chat is not null ? builder.Chat(c.Chat, wishes) : builder.Fim(c.Prompt, c.Suffix, wishes);
        return new GenerationRequest { PromptIds = request.PromptIds, MaxTokens = request.MaxTokens, StopTokenIds = request.StopTokenIds, Sampling = request.Sampling };
    }

    private static IEnumerable<SpeculateFigures> Figures(string skill, int batch, string[] names, SpeculateTotals[][] runs)
    {
        for (int i = 0; i < names.Length; i++)
        {
            SpeculateTotals all = runs.Select(run => run[i]).Aggregate((a, b) => a + b);

            // Neighbours in time compared with each other, since other programs use the machine as well. A text of one token says nothing.
            double[] gains = [.. runs.Where(run => run.All(totals => totals.Tokens > 0)).Select(run => run[i].TokensPerSecond / run[0].TokensPerSecond).Order()];
            double? gain = Quantile(gains, 0.5);
            double tokensPerStep = (double)all.AllTokens / all.Steps;
            double? breakEven = all.Drafted == 0 || names[i] == "auto" ? null : ((tokensPerStep / gain) - 1) * all.Steps / all.Drafted;
            yield return new SpeculateFigures(
                skill, batch, names[i], all.Drafted == 0 ? null : (double)all.Accepted / all.Drafted, breakEven, tokensPerStep,
                all.TokensPerSecond, gain, Quantile(gains, 0.25), Quantile(gains, 0.75));
        }
    }

    private static double? Quantile(double[] sorted, double share) => sorted.Length == 0 ? null : sorted[(int)Math.Round(share * (sorted.Length - 1))];

    private static void Show(List<SpeculateFigures> figures)
    {
        var table = new TextTable(1, "skill", "batch", "drafts", "right", "break even", "tokens a step", "tokens/s", "gain", "25 %", "75 %");
        foreach (SpeculateFigures f in figures)
            table.AddRow([f.Skill, $"{f.Batch}", f.Drafts, $"{f.Acceptance:P1}", $"{f.BreakEven:P0}", $"{f.TokensPerStep:F2}", $"{f.TokensPerSecond:F0}", $"{f.Gain:F3}", $"{f.LowerQuartile:F2}", $"{f.UpperQuartile:F2}"]);
        table.Write();
        Console.WriteLine("tokens/s and gain: while sequences decode, all together; the same texts with and");
        Console.WriteLine("without drafts, in turns; the median of all texts and rounds, and its quartiles.");
        Console.WriteLine("Break even: the share of right drafts at which the gain would be 1.");
    }
}
