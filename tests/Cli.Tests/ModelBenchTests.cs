using System.Text.Json;

namespace Conclave.Cli.Tests;

/// <summary>The measurements of one machine run, and their figures hang together; how large they are is not a matter of tests.</summary>
public sealed class ModelBenchTests
{
    [Fact]
    public async Task Bench_model_measures_prefill_and_decoding_beside_the_machine()
    {
        Outcome run = await Command.Run(["bench", "model", "--model", Command.Golden("tiny-f32"), "--prefill", "24", "--decode", "4", "--batch", "1,3", "--context", "8", "--threads", "2", "--runs", "1", "--json"]);
        Assert.True(run.Code == 0, run.Error);
        using JsonDocument document = JsonDocument.Parse(run.Out);
        JsonElement figures = document.RootElement;
        Assert.Equal("tiny-f32", figures.GetProperty("model").GetString());
        Assert.Equal(2, figures.GetProperty("threads").GetInt32());
        Assert.Equal(24, figures.GetProperty("prefill").GetProperty("tokens").GetInt32());
        Assert.InRange(figures.GetProperty("prefill").GetProperty("tokens_per_second").GetDouble(), 1e-3, 1e9);
        double memory = figures.GetProperty("memory_gb_per_second").GetDouble();
        Assert.InRange(memory, 1e-3, 1e5);
        Assert.InRange(figures.GetProperty("fma_gflops").GetDouble(), 1e-3, 1e6);
        var decode = figures.GetProperty("decode").EnumerateArray().ToList();
        Assert.Equal([1, 3], decode.Select(d => d.GetProperty("batch").GetInt32()));
        foreach (JsonElement d in decode)
        {
            Assert.InRange(d.GetProperty("tokens_per_second").GetDouble(), 1e-3, 1e9);
            Assert.InRange(d.GetProperty("weight_gb_per_second").GetDouble(), 1e-9, 1e5);
            Assert.InRange(d.GetProperty("kernel_share").GetDouble(), 1e-6, 1);
        }

        // One token chooses exactly as many experts as the model says; three together at least as many.
        Assert.Equal(4, decode[0].GetProperty("experts_per_layer").GetDouble());
        Assert.InRange(decode[1].GetProperty("experts_per_layer").GetDouble(), 4, 12);
    }

    [Fact]
    public async Task Bench_memory_measures_one_thread_and_all()
    {
        Outcome run = await Command.Run(["bench", "memory", "--threads", "2", "--megabytes", "8", "--runs", "1", "--json"]);
        Assert.True(run.Code == 0, run.Error);
        using JsonDocument figures = JsonDocument.Parse(run.Out);
        Assert.Equal([1, 2], figures.RootElement.EnumerateArray().Select(f => f.GetProperty("threads").GetInt32()));
        foreach (JsonElement f in figures.RootElement.EnumerateArray())
        {
            Assert.InRange(f.GetProperty("memory_gb_per_second").GetDouble(), 1e-3, 1e6);
            Assert.InRange(f.GetProperty("fma_gflops").GetDouble(), 1e-3, 1e6);
        }
    }

    [Theory]
    [InlineData("model", "--batch", "1,x")]
    [InlineData("model", "--decode", "0")]
    [InlineData("model", "--prefill", "-1")]
    [InlineData("memory", "--threads", "0")]
    public async Task Measurements_that_are_none_are_bad_usage(string bench, string option, string value)
    {
        Outcome run = await Command.Run(["bench", bench, option, value]);
        Assert.Equal(2, run.Code);
        Assert.Contains(option, run.Error, StringComparison.Ordinal);
    }
}
