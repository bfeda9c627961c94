using System.CommandLine;
using System.Diagnostics;
using Conclave.Cli.Chaos;
using Conclave.Engine.Pages;
using Conclave.Model.Tokenization;
using Conclave.Silo;

namespace Conclave.Cli.Commands.Bench;

/// <summary>Time to the first token of prompts of one length, medians, in ms.</summary>
/// <param name="PromptTokens">Tokens of a prompt, those of the chat format not counted.</param>
/// <param name="CachedTokens">Tokens that were found where all of the prompt had been computed before.</param>
/// <param name="ComputedMs">Nothing of it was known.</param>
/// <param name="MemoryMs">Its pages were in memory.</param>
/// <param name="FileCacheMs">The server had been restarted, its pages were on disk and in the operating system's file cache.</param>
/// <param name="DiskMs">The same, with an empty file cache.</param>
internal sealed record PrefixFigures(int PromptTokens, int CachedTokens, double ComputedMs, double MemoryMs, double FileCacheMs, double DiskMs);

/// <summary><c>conclave bench prefix</c>: what it saves that a prompt's KV pages are found in memory, or on disk after a restart.</summary>
internal static class PrefixBench
{
    private const int WarmUpTokens = 100;

    private static readonly ModelOptions Model = new();
    private static readonly Option<string> Lengths = new("--lengths") { Description = "Tokens of the prompts", DefaultValueFactory = _ => "512,1024", HelpName = "N,N,..." };
    private static readonly Option<int> Prompts = new("--prompts") { Description = "Prompts of each length; medians are shown", DefaultValueFactory = _ => 3, HelpName = "N" };
    private static readonly Option<bool> Json = new("--json") { Description = "Print the figures as JSON" };

    public static Command Create()
    {
        var command = new Command("prefix", "Time to the first token of a prompt that is computed, found in memory, or found on disk after a restart, over HTTP");
        Model.AddTo(command);
        foreach (Option option in new Option[] { Lengths, Prompts, Json }) command.Add(option);
        command.SetAction(Run);
        return command;
    }

    private static async Task<int> Run(ParseResult parsed, CancellationToken cancellationToken)
    {
        int[] lengths = BenchOptions.Numbers(parsed, Lengths, 1_000_000);
        BenchOptions.RequirePositive(parsed, Prompts);
        string? made = parsed.GetValue(Model.KvDisk) is null ? Directory.CreateTempSubdirectory("conclave-bench-").FullName : null;
        try
        {
            SiloOptions Silo()
            {
                SiloOptions silo = Model.Silo(parsed);
                return made is null ? silo : silo with { Engine = silo.Engine with { KvDisk = new KvDiskOptions { Directory = made, SizeBytes = 16L << 30 } } };
            }

            PrefixFigures[] figures = await Measure(Silo, made ?? parsed.GetValue(Model.KvDisk)!, lengths, parsed.GetValue(Prompts), parsed, cancellationToken);
            if (parsed.GetValue(Json)) BenchOptions.PrintJson(figures);
            else Show(figures);
            return CommandLine.Done;
        }
        finally
        {
            if (made is not null) Directory.Delete(made, recursive: true);
        }
    }

    private static async Task<PrefixFigures[]> Measure(Func<SiloOptions> silo, string folder, int[] lengths, int prompts, ParseResult parsed, CancellationToken cancellationToken)
    {
        var random = new Random(7);
        var tokenizer = Tokenizer.Load(silo().ModelDirectory);
        ChaosCase Case(int tokens) => new(0, BenchRequest.Body(BenchRequest.Prompt(tokenizer, random, tokens), outputTokens: 8, random.Next()), Streams: true);
        ChaosCase[][] cases = [.. lengths.Select(length => Enumerable.Range(0, prompts).Select(_ => Case(length)).ToArray())];
        using var client = new LoadClient();
        async Task<Exchange[][]> Ask(Uri server)
        {
            // Code is compiled, and the engine learns how long a token takes to compute.
            for (int i = 0; i < 3; i++) await client.Run(server, Case(WarmUpTokens), cancellationToken);
            List<Exchange[]> all = [];
            foreach (ChaosCase[] ofLength in cases)
            {
                List<Exchange> exchanges = [];
                foreach (ChaosCase @case in ofLength) exchanges.Add(await client.Run(server, @case, cancellationToken));
                all.Add([.. exchanges]);
            }

            return [.. all];
        }

        async Task<Exchange[][][]> Serve(int rounds)
        {
            await using BenchServer server = await BenchServer.Start(silo(), Model.Variant(parsed), cancellationToken);
            List<Exchange[][]> answers = [];
            for (int round = 0; round < rounds; round++) answers.Add(await Ask(server.Address));
            return [.. answers];
        }

        Exchange[][][] fresh = await Serve(rounds: 2), restarted = await Serve(rounds: 1);
        foreach (string file in Directory.GetFiles(folder)) FileCache.Drop(file);
        Exchange[][][] all = [.. fresh, .. restarted, .. await Serve(rounds: 1)];
        if (all.Any(answers => !answers.SelectMany(a => a).Select(a => a.Answer).SequenceEqual(all[0].SelectMany(a => a).Select(a => a.Answer))))
            throw new InvalidDataException("answers differ between prompts that were computed and prompts that were found: a defect of this program");
        return [.. lengths.Select((length, i) => new PrefixFigures(length, all[^1][i].Min(e => e.CachedTokens), FirstTokenMs(all[0][i]), FirstTokenMs(all[1][i]), FirstTokenMs(all[2][i]), FirstTokenMs(all[3][i])))];
    }

    private static double FirstTokenMs(Exchange[] exchanges) => MachineSpeed.Median(exchanges.Select(e => Stopwatch.GetElapsedTime(e.Began, e.Arrivals[0]).TotalMilliseconds));

    private static void Show(PrefixFigures[] figures)
    {
        var table = new TextTable(0, "prompt\ntokens", "found\ntokens", "computed\nms", "in memory\nms", "in file cache\nms", "on disk\nms");
        foreach (PrefixFigures f in figures) table.AddRow($"{f.PromptTokens}", $"{f.CachedTokens}", $"{f.ComputedMs:F1}", $"{f.MemoryMs:F1}", $"{f.FileCacheMs:F1}", $"{f.DiskMs:F1}");
        table.Write();
        Console.WriteLine("Time to the first token over HTTP. File cache, disk: after a restart of the server, the files still in memory, or not.");
    }
}
