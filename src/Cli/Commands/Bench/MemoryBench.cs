using System.CommandLine;
using Conclave.Model;

namespace Conclave.Cli.Commands.Bench;

/// <summary>What one number of threads reads and multiplies.</summary>
/// <param name="Threads">Threads.</param>
/// <param name="MemoryGbPerSecond">Reading, medians.</param>
/// <param name="FmaGflops">Fused multiply-adds between registers, each counted twice.</param>
internal sealed record MemoryFigures(int Threads, double MemoryGbPerSecond, double FmaGflops);

/// <summary><c>conclave bench memory</c>: what the machine can give at best, with one thread and with all.</summary>
internal static class MemoryBench
{
    private static readonly Option<int> Threads = new("--threads") { Description = "Most threads", DefaultValueFactory = _ => Environment.ProcessorCount };
    private static readonly Option<int> Megabytes = new("--megabytes") { Description = "Size of the buffer that is read; take much more than the caches hold", DefaultValueFactory = _ => 1024 };
    private static readonly Option<int> Runs = new("--runs") { Description = "Measurements; medians are shown", DefaultValueFactory = _ => 5 };
    private static readonly Option<bool> Json = new("--json") { Description = "Print the figures as JSON" };

    public static Command Create()
    {
        var command = new Command("memory", "Memory bandwidth and register-only multiply-adds: what other figures are compared with") { Threads, Megabytes, Runs, Json };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parsed)
    {
        BenchOptions.RequirePositive(parsed, Megabytes, Runs);
        BenchOptions.RequireThreads(parsed, Threads);
        var figures = new List<MemoryFigures>();
        foreach (int threads in new[] { 1, parsed.GetValue(Threads) }.Distinct())
        {
            using var workers = new WorkerPool(threads);
            using var speed = new MachineSpeed(workers, (long)parsed.GetValue(Megabytes) << 20);
            for (int run = 0; run < parsed.GetValue(Runs); run++) speed.Measure();
            figures.Add(new MemoryFigures(threads, speed.MemoryGigabytesPerSecond, speed.FmaGigaflops));
        }

        if (parsed.GetValue(Json))
        {
            BenchOptions.PrintJson(figures);
            return CommandLine.Done;
        }

        var table = new TextTable(0, "threads", "memory GB/s", "FMA GFLOP/s");
        foreach (MemoryFigures f in figures) table.AddRow($"{f.Threads}", $"{f.MemoryGbPerSecond:F1}", $"{f.FmaGflops:F0}");
        table.Write();
        return CommandLine.Done;
    }
}
