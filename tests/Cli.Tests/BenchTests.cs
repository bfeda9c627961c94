using System.Text.Json;

namespace Conclave.Cli.Tests;

/// <summary>The measurements of micro-batches, of spreading and of moving experts run, and their figures hang together; how large they are is not a matter of tests.</summary>
public sealed class BenchTests
{
    [Fact]
    public async Task Bench_overlap_compares_modes_and_writes_a_trace()
    {
        string trace = Path.GetTempFileName();
        try
        {
            Outcome run = await Command.Run(
                ["bench", "overlap", "--model", Command.Golden("tiny-f32"), "--delay-ms", "8", "1", "--steps", "5", "--batch", "6", "--dispatch-dtype", "bf16", "--trace", trace, "--json"]);
            Assert.True(run.Code == 0, run.Error);
            using JsonDocument figures = JsonDocument.Parse(run.Out);
            Assert.Equal([8, 1], figures.RootElement.EnumerateArray().Select(f => f.GetProperty("delayMs").GetDouble()));
            foreach (JsonElement f in figures.RootElement.EnumerateArray())
            {
                foreach (string mode in new[] { "one", "two" })
                {
                    JsonElement m = f.GetProperty(mode);
                    Assert.InRange(m.GetProperty("hiddenShare").GetDouble(), 0, 1);
                    // Three layers with experts, there and back.
                    Assert.InRange(m.GetProperty("communicationMs").GetDouble(), 6 * f.GetProperty("delayMs").GetDouble(), 600_000);
                    Assert.InRange(m.GetProperty("stepMs").GetDouble(), 6 * f.GetProperty("delayMs").GetDouble(), 600_000);
                }

                Assert.InRange(f.GetProperty("autoMicroBatches").GetInt32(), 1, 2);
            }

            CheckTrace(await File.ReadAllBytesAsync(trace));
        }
        finally
        {
            File.Delete(trace);
        }
    }

    [Fact]
    public async Task Bench_cluster_compares_one_process_with_two_silos()
    {
        Outcome run = await Command.Run(
            ["bench", "cluster", "--model", Command.Golden("tiny-f32"), "--seconds", "0.1", "--rounds", "1", "--batch", "4", "--context", "8", "--prefill-rows", "16", "--json"]);
        Assert.True(run.Code == 0, run.Error);
        using JsonDocument figures = JsonDocument.Parse(run.Out);
        Assert.Equal(["decode", "decode", "prefill", "prefill"], figures.RootElement.EnumerateArray().Select(f => f.GetProperty("work").GetString()));
        Assert.All(figures.RootElement.EnumerateArray(), f => Assert.InRange(f.GetProperty("ratio").GetDouble(), 1e-6, 1e6));
    }

    [Fact]
    public async Task Bench_rebalance_moves_experts_between_silos_under_load()
    {
        Outcome run = await Command.Run(["bench", "rebalance", "--silos", "2", "--sequences", "2", "--max-tokens", "200", "--rounds", "1", "--seconds", "0.5", "--json"]);
        Assert.True(run.Code == 0, run.Error);
        using JsonDocument document = JsonDocument.Parse(run.Out);
        JsonElement figures = document.RootElement.GetProperty("figures");
        Assert.Equal(2, figures.GetProperty("changes").GetInt32());
        Assert.InRange(figures.GetProperty("moves").GetInt32(), 1, 1 << 20);
        Assert.InRange(figures.GetProperty("movedBytes").GetInt64(), 1, 1L << 40);
        foreach (string window in new[] { "quiet", "disturbed" })
        {
            JsonElement f = figures.GetProperty(window);
            Assert.InRange(f.GetProperty("steps").GetInt32(), 1, 1 << 20);
            Assert.InRange(f.GetProperty("p99Ms").GetDouble(), f.GetProperty("medianMs").GetDouble(), 1e6);
            Assert.InRange(f.GetProperty("withinTarget").GetDouble(), 0, 1);
        }

        Assert.Equal(1, figures.GetProperty("quiet").GetProperty("medianRatio").GetDouble(), 0.2);
    }

    [Theory]
    [InlineData("rebalance", "--rounds", "0")]
    [InlineData("rebalance", "--silos", "1")]
    [InlineData("overlap", "--steps", "0")]
    [InlineData("overlap", "--config", "no-such-file")]
    [InlineData("cluster", "--batch", "1")]
    [InlineData("cluster", "--seconds", "0")]
    public async Task Measurements_that_are_none_are_bad_usage(string bench, string option, string value)
    {
        Outcome run = await Command.Run(["bench", bench, option, value]);
        Assert.Equal(2, run.Code);
        Assert.Contains(option, run.Error, StringComparison.Ordinal);
    }

    /// <summary>Both halves of the step are there, rows are away while something is computed, and no lane does two things at a time.</summary>
    private static void CheckTrace(byte[] json)
    {
        using JsonDocument trace = JsonDocument.Parse(json);
        var events = trace.RootElement.GetProperty("traceEvents").EnumerateArray().ToList();
        var lanes = events.Where(e => e.GetProperty("name").GetString() == "thread_name").Select(e => (Process: e.GetProperty("pid").GetInt32(), Lane: e.GetProperty("tid").GetInt32())).ToList();
        var spans = events.Where(e => e.GetProperty("ph").GetString() == "X").Select(e => (
            Name: e.GetProperty("name").GetString()!, Lane: (Process: e.GetProperty("pid").GetInt32(), Lane: e.GetProperty("tid").GetInt32()),
            Start: e.GetProperty("ts").GetDouble(), End: e.GetProperty("ts").GetDouble() + e.GetProperty("dur").GetDouble(), Half: e.GetProperty("args").GetProperty("microBatch").GetInt32())).ToList();
        Assert.Equal(4, lanes.Count);
        Assert.All(spans, span => Assert.Contains(span.Lane, lanes));
        Assert.All(spans, span => Assert.True(span.Start >= 0 && span.End >= span.Start));
        foreach (var lane in spans.GroupBy(span => span.Lane))
        {
            double end = 0;
            foreach (var span in lane.OrderBy(span => span.Start))
            {
                Assert.True(span.Start >= end - 0.01, $"{span.Name} of lane {lane.Key} begins at {span.Start}, before {end}");
                end = span.End;
            }
        }

        Assert.Equal([0, 1], spans.Where(span => span.Name == "attention").Select(span => span.Half).Distinct().Order());
        var away = spans.Where(span => span.Name == "rows at experts" && span.Half == 0).ToList();
        Assert.Contains(spans, span => span.Name == "attention" && span.Half == 1 && away.Exists(a => a.Start <= span.Start && span.Start < a.End));
    }
}
