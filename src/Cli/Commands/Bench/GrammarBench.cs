using System.CommandLine;
using System.Diagnostics;
using Conclave.Engine.Grammars;
using Conclave.Model.Tokenization;

namespace Conclave.Cli.Commands.Bench;

/// <summary><c>conclave bench grammar</c>: what compiling grammars and computing token masks costs with a model's vocabulary.</summary>
internal static class GrammarBench
{
    private const int Repeats = 5;

    private static readonly Option<DirectoryInfo> Model = new("--model") { Description = "A directory with a tokenizer.json; no weights are needed", HelpName = "DIR", Required = true };

    private static readonly (string Name, GrammarSpec Spec, string Text)[] Cases =
    [
        ("JSON object", new GrammarSpec(GrammarKind.JsonObject, ""), """{"name": "Lily", "friends": [{"name": "Max", "age": 4}, {"name": "Tom", "age": 5}], "likes": ["the park", "red balls"], "happy": true}"""),
        ("JSON Schema", new GrammarSpec(GrammarKind.JsonSchema, """
            {"type":"object","properties":{"name":{"type":"string","maxLength":40},"age":{"type":"integer","minimum":0,"maximum":120},"kind":{"enum":["dog","cat","bird"]},
            "born":{"type":"string","format":"date"},"tags":{"type":"array","items":{"type":"string"},"maxItems":8}},"required":["name","age","kind","born","tags"],"additionalProperties":false}
            """), """{"name": "Max the little dog", "age": 4, "kind": "dog", "born": "2021-05-17", "tags": ["small", "brown", "runs in the park"]}"""),
        ("regex", new GrammarSpec(GrammarKind.Regex, @"(?:[A-Z][a-z]+ ){2,8}\d{4}-\d{2}-\d{2}: .{1,200}"), "Lily And Max 2021-05-17: they went to the park and saw a big red ball"),
        ("EBNF", new GrammarSpec(GrammarKind.Ebnf, "root ::= expr \"=\" [0-9]+\nexpr ::= term ([-+*/] term)*\nterm ::= \"(\" expr \")\" | [0-9]+"), "(12+30)*(4-(5+6)/7)*(88+99)/(1+2+3+4+5)=1234"),
    ];

    public static Command Create()
    {
        var command = new Command("grammar", "Time to compile grammars, and to mask the vocabulary at each token of a text: for the first text and for later ones") { Model };
        command.SetAction((parsed, cancellationToken) => Run(parsed.GetValue(Model)!.FullName, cancellationToken));
        return command;
    }

    private static async Task<int> Run(string directory, CancellationToken cancellationToken)
    {
        var tokenizer = Tokenizer.Load(directory);
        long start = Stopwatch.GetTimestamp();
        TokenVocabulary vocabulary = TokenVocabulary.From(tokenizer, tokenizer.VocabularySize);
        Console.WriteLine($"vocabulary of {vocabulary.Size} tokens, laid out in {Stopwatch.GetElapsedTime(start).TotalMilliseconds:F0} ms; medians of {Repeats}");

        // As a server does when it has loaded its model.
        await new GrammarCache(() => vocabulary).WarmUp(TimeProvider.System, cancellationToken);
        var table = new TextTable(1, "grammar", "states", "compile\nms", "tokens", "first text\nus a token", "worst\nus", "later texts\nus a token");
        foreach ((string name, GrammarSpec spec, string text) in Cases)
        {
            int[] ids = tokenizer.Encode(text, matchAddedTokens: false);
            var compile = new List<double>();
            var first = new List<double>();
            var worst = new List<double>();
            var later = new List<double>();
            CompiledGrammar grammar = CompiledGrammar.Compile(spec, vocabulary);
            for (int i = 0; i < Repeats; i++)
            {
                start = Stopwatch.GetTimestamp();
                grammar = CompiledGrammar.Compile(spec, vocabulary);
                compile.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
                (double mean, double most) = Mask(grammar, ids);
                first.Add(mean);
                worst.Add(most);
                later.Add(Mask(grammar, ids).Mean);
            }

            table.AddRow(name, $"{grammar.StateCount}", $"{Median(compile):F1}", $"{ids.Length}", $"{Median(first):F1}", $"{Median(worst):F0}", $"{Median(later):F2}");
        }

        table.Write();
        return CommandLine.Done;
    }

    /// <summary>Masks before each token and goes on by it; microseconds a token, and of the slowest.</summary>
    private static (double Mean, double Worst) Mask(CompiledGrammar grammar, int[] ids)
    {
        var matcher = new GrammarMatcher(grammar, []);
        var mask = new uint[matcher.MaskWords];
        double sum = 0, worst = 0;
        foreach (int id in ids)
        {
            long start = Stopwatch.GetTimestamp();
            matcher.FillMask(mask);
            bool isAllowed = (mask[id >> 5] >> (id & 31) & 1) != 0 && matcher.Accept(id);
            double took = Stopwatch.GetElapsedTime(start).TotalMicroseconds;
            if (!isAllowed) throw new InvalidOperationException($"token {id} of a benchmark's text does not fit its grammar");
            (sum, worst) = (sum + took, Math.Max(worst, took));
        }

        return (sum / ids.Length, worst);
    }

    private static double Median(List<double> values)
    {
        values.Sort();
        return values[values.Count / 2];
    }
}
