using System.CommandLine;
using System.Globalization;
using Conclave.Model;
using Conclave.Model.Checkpoints;
using Conclave.Model.Kernels;

namespace Conclave.Cli.Commands.Bench;

/// <summary>Products of one shape, type and number of rows; medians.</summary>
/// <param name="Shape">Outputs by inputs, as stored.</param>
/// <param name="Type">f32, bf16, fp8, or w8a8.</param>
/// <param name="Rows">Rows that are multiplied.</param>
/// <param name="Us">A product, all threads together, microseconds.</param>
/// <param name="WeightGbPerSecond">Weights read as this type holds them, scales included.</param>
/// <param name="MemoryShare">The same as a share of what only reading gave just before and after.</param>
/// <param name="Gflops">Two operations a weight and row, GFLOP/s.</param>
/// <param name="FmaShare">The same as a share of what register-only multiply-adds gave just before and after.</param>
internal sealed record KernelFigures(string Shape, string Type, int Rows, double Us, double WeightGbPerSecond, double MemoryShare, double Gflops, double FmaShare);

/// <summary>What <c>bench kernels</c> prints.</summary>
internal sealed record KernelReport(int Threads, string Kernels, int Runs, double MemoryGbPerSecond, double FmaGflops, IReadOnlyList<KernelFigures> Products);

/// <summary><c>conclave bench kernels</c>: matrix products by type of weights and number of rows, in turns with a loop that only reads and one that only multiplies.</summary>
internal static class KernelBench
{
    private static readonly (string Name, DType Type, bool IsInt8)[] Kinds = [("f32", DType.F32, false), ("bf16", DType.BF16, false), ("fp8", DType.F8E4M3, false), ("w8a8", DType.BF16, true)];

    private static readonly Option<string> Shapes = new("--shape") { Description = "Outputs by inputs of the matrices", DefaultValueFactory = _ => "512x1024,1024x512", HelpName = "OUTxIN,..." };
    private static readonly Option<string> Rows = new("--rows") { Description = "Rows that are multiplied", DefaultValueFactory = _ => "1,2,4,8,16,64,512", HelpName = "N,N,..." };
    private static readonly Option<string> Types = new("--types") { Description = "Weights: f32, bf16, fp8, w8a8", DefaultValueFactory = _ => "f32,bf16,fp8,w8a8", HelpName = "T,T,..." };
    private static readonly Option<int> Megabytes = new("--megabytes") { Description = "Size of all matrices of a type; take much more than the caches hold", DefaultValueFactory = _ => 192 };
    private static readonly Option<int> Offset = new("--offset") { Description = "Bytes behind the beginning of a cache line at which weights begin, 0 to 63, as in checkpoints of other writers; not for w8a8", DefaultValueFactory = _ => 0 };
    private static readonly Option<int> Threads = new("--threads") { Description = "Threads", DefaultValueFactory = _ => Environment.ProcessorCount };
    private static readonly Option<int> Runs = new("--runs") { Description = "Measurements of each kind; medians are shown", DefaultValueFactory = _ => 7 };
    private static readonly Option<bool> Json = new("--json") { Description = "Print the figures as JSON" };

    public static Command Create()
    {
        var command = new Command("kernels", "Matrix products by type of weights and number of rows, beside memory bandwidth and multiply-add rate of the same moment") { Shapes, Rows, Types, Megabytes, Offset, Threads, Runs, Json };
        command.SetAction(parsed => Run(parsed));
        return command;
    }

    private static int Run(ParseResult parsed)
    {
        BenchOptions.RequirePositive(parsed, Megabytes, Runs);
        BenchOptions.RequireThreads(parsed, Threads);
        if (parsed.GetValue(Offset) is < 0 or > 63) throw new ArgumentException($"--offset: {parsed.GetValue(Offset)} is not from 0 to 63");
        int[] rows = BenchOptions.Numbers(parsed, Rows, 4096);
        (int Outputs, int Inputs)[] shapes = [.. parsed.GetValue(Shapes)!.Split(',', StringSplitOptions.TrimEntries).Select(ReadShape)];
        string[] types = parsed.GetValue(Types)!.Split(',', StringSplitOptions.TrimEntries);
        var kinds = types.Select(type => ModelOptions.Choose("--types", type, [.. Kinds.Select(kind => (kind.Name, kind))])).ToArray();
        using var workers = new WorkerPool(parsed.GetValue(Threads));
        using var speed = new MachineSpeed(workers, 256L << 20);
        var figures = new List<KernelFigures>();
        foreach ((int outputs, int inputs) in shapes)
        {
            foreach ((string name, DType type, bool isInt8) in kinds)
            {
                using var run = new KernelRun(workers, type, isInt8, outputs, inputs, rows.Max(), (long)parsed.GetValue(Megabytes) << 20, parsed.GetValue(Offset));
                figures.AddRange(Measure(run, speed, rows, parsed.GetValue(Runs), $"{outputs}x{inputs}", name, 2.0 * outputs * inputs));
            }
        }

        var report = new KernelReport(workers.ThreadCount, KernelSet.Best.Tier.ToString(), parsed.GetValue(Runs), speed.MemoryGigabytesPerSecond, speed.FmaGigaflops, figures);
        if (parsed.GetValue(Json)) BenchOptions.PrintJson(report);
        else Show(report);
        return CommandLine.Done;
    }

    private static IEnumerable<KernelFigures> Measure(KernelRun run, MachineSpeed speed, int[] rows, int runs, string shape, string type, double flopsPerRow)
    {
        foreach (int count in rows)
        {
            // Code is compiled in steps, in the background.
            for (int i = 0; i < 3; i++) run.Measure(count);
            List<double> seconds = [], memoryShares = [], fmaShares = [];
            (double bandwidth, double gigaflops) before = speed.MeasureBoth();
            for (int i = 0; i < runs; i++)
            {
                double time = run.Measure(count);
                (double bandwidth, double gigaflops) after = speed.MeasureBoth();
                seconds.Add(time);
                memoryShares.Add(run.MatrixSizeBytes / time / 1e9 / ((before.bandwidth + after.bandwidth) / 2));
                fmaShares.Add(count * flopsPerRow / time / 1e9 / ((before.gigaflops + after.gigaflops) / 2));
                before = after;
            }

            double median = MachineSpeed.Median(seconds);
            yield return new KernelFigures(
                shape, type, count, median * 1e6, run.MatrixSizeBytes / median / 1e9, MachineSpeed.Median(memoryShares), count * flopsPerRow / median / 1e9, MachineSpeed.Median(fmaShares));
        }
    }

    private static (int Outputs, int Inputs) ReadShape(string text)
    {
        string[] sides = text.Split('x');
        return sides.Length == 2 && Side(sides[0]) is { } outputs && Side(sides[1]) is { } inputs
            ? (outputs, inputs)
            : throw new ArgumentException($"--shape: '{text}' is no shape such as 512x1024, outputs by inputs of 1 to 65536");

        static int? Side(string side) => int.TryParse(side, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number is >= 1 and <= 65_536 ? number : null;
    }

    private static void Show(KernelReport report)
    {
        Console.WriteLine($"{report.Threads} threads, {report.Kernels}; memory {report.MemoryGbPerSecond:F1} GB/s, FMA loop {report.FmaGflops:F0} GFLOP/s; medians of {report.Runs}");
        var table = new TextTable(2, "shape", "weights", "rows", "us a\nproduct", "weights\nGB/s", "of\nmemory", "GFLOP/s", "of\nFMA");
        foreach (KernelFigures f in report.Products)
            table.AddRow(f.Shape, f.Type, $"{f.Rows}", $"{f.Us:F1}", $"{f.WeightGbPerSecond:F1}", $"{f.MemoryShare:P0}", $"{f.Gflops:F0}", $"{f.FmaShare:P0}");
        table.Write();
    }
}
