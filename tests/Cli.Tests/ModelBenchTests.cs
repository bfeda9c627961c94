using System.Text.Json;

namespace Conclave.Cli.Tests;

/// <summary>The measurements of one machine run, and their figures hang together; how large they are is not a matter of tests.</summary>
public sealed class ModelBenchTests
{
    [Fact]
    public async Task Bench_model_measures_prefill_and_decoding_beside_the_machine()
    {
        Outcome run = await Command.Run(["bench", "model", "--model", Command.Golden("tiny-f32"), "--prefill", "24,40", "--decode", "4", "--batch", "1,3", "--context", "8", "--threads", "2", "--runs", "1", "--json"]);
        Assert.True(run.Code == 0, run.Error);
        using JsonDocument document = JsonDocument.Parse(run.Out);
        JsonElement figures = document.RootElement;
        Assert.Equal("tiny-f32", figures.GetProperty("model").GetString());
        Assert.Equal(2, figures.GetProperty("threads").GetInt32());
        Assert.Equal(24, figures.GetProperty("prefill").GetProperty("tokens").GetInt32());
        Assert.InRange(figures.GetProperty("prefill").GetProperty("tokens_per_second").GetDouble(), 1e-3, 1e9);
        Assert.Equal([24, 40], figures.GetProperty("prefills").EnumerateArray().Select(p => p.GetProperty("tokens").GetInt32()));
        Assert.Contains("run 1 of 1: prefill of 40 tokens", run.Error, StringComparison.Ordinal);
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

    /// <summary>With 8 bits a step reads half of what BF16 takes, a scale and a correction for every 128 weights, and zeros that fill narrow matrices up to blocks: of this model's about as much in all.</summary>
    [Fact]
    public async Task Weights_in_8_bits_count_as_such()
    {
        string[] command = ["bench", "model", "--model", Path.Combine(Command.Root, "models", "demo"), "--prefill", "0", "--decode", "2", "--batch", "1", "--context", "8", "--threads", "1", "--runs", "1", "--kv-dtype", "bf16", "--json"];
        double[] bytes = new double[2];
        foreach ((int i, string compute) in new[] { (0, "f32"), (1, "w8a8") })
        {
            Outcome run = await Command.Run([.. command, "--compute", compute]);
            Assert.True(run.Code == 0, run.Error);
            using JsonDocument document = JsonDocument.Parse(run.Out);
            JsonElement decode = document.RootElement.GetProperty("decode")[0];
            bytes[i] = decode.GetProperty("weight_gb_per_second").GetDouble() / decode.GetProperty("tokens_per_second").GetDouble();
            Assert.Equal("BF16", document.RootElement.GetProperty("kv_type").GetString());
        }

        Assert.NotEqual(1, bytes[1] / bytes[0], tolerance: 1e-3);
        Assert.InRange(bytes[1] / bytes[0], 0.5, 1.5);
    }

    [Fact]
    public async Task Bench_kernels_measures_every_type_and_number_of_rows()
    {
        Outcome run = await Command.Run(["bench", "kernels", "--shape", "60x130,128x64", "--rows", "1,7", "--types", "f32,bf16,fp8,w8a8", "--megabytes", "1", "--offset", "8", "--threads", "2", "--runs", "1", "--json"]);
        Assert.True(run.Code == 0, run.Error);
        using JsonDocument document = JsonDocument.Parse(run.Out);
        JsonElement[] products = [.. document.RootElement.GetProperty("products").EnumerateArray()];
        Assert.Equal(
            from shape in new[] { "60x130", "128x64" } from type in new[] { "f32", "bf16", "fp8", "w8a8" } from rows in new[] { 1, 7 } select (shape, type, rows),
            products.Select(p => (p.GetProperty("shape").GetString()!, p.GetProperty("type").GetString()!, p.GetProperty("rows").GetInt32())));
        foreach (string figure in new[] { "us", "weight_gb_per_second", "memory_share", "gflops", "fma_share" })
            Assert.All(products, p => Assert.InRange(p.GetProperty(figure).GetDouble(), 1e-9, 1e9));
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

    [Fact]
    public async Task Bench_layer_measures_both_kinds_of_layers_and_estimates_the_whole()
    {
        string config = Path.Combine(Command.Golden("tiny-f32"), "config.json");
        Outcome run = await Command.Run(["bench", "layer", "--config", config, "--batch", "1,3", "--prefill", "16", "--context", "8", "--silos", "1,4", "--threads", "2", "--runs", "1", "--json"]);
        Assert.True(run.Code == 0, run.Error);
        Assert.Contains("random weights made", run.Error, StringComparison.Ordinal);
        using JsonDocument document = JsonDocument.Parse(run.Out);
        var layers = document.RootElement.GetProperty("layers").EnumerateArray().ToList();
        Assert.Equal(["dense", "moe", "dense", "moe", "dense", "moe"], layers.Select(l => l.GetProperty("layer").GetString()));
        Assert.Equal([1, 1, 3, 3, 16, 16], layers.Select(l => l.GetProperty("rows").GetInt32()));
        Assert.StartsWith("ESTIMATE", document.RootElement.GetProperty("estimate_note").GetString(), StringComparison.Ordinal);
        Assert.All(layers, l => Assert.InRange(l.GetProperty("ms").GetDouble(), 1e-6, 1e6));
        Assert.All(layers, l => Assert.InRange(l.GetProperty("weight_gb_per_second").GetDouble(), 1e-9, 1e5));
        Assert.Equal(4, layers[1].GetProperty("experts").GetDouble());
        var estimate = document.RootElement.GetProperty("estimate").EnumerateArray().ToList();
        Assert.Equal([(1, 1), (1, 3), (4, 1), (4, 3)], estimate.Select(e => (e.GetProperty("silos").GetInt32(), e.GetProperty("batch").GetInt32())));
        Assert.All(estimate, e => Assert.InRange(e.GetProperty("tokens_per_second").GetDouble(), 1e-6, 1e9));
        // Each silo holds its share of the routed experts only.
        Assert.True(estimate[2].GetProperty("weight_gb_per_silo").GetDouble() < estimate[0].GetProperty("weight_gb_per_silo").GetDouble());
    }

    [Fact]
    public async Task Bench_speculate_compares_drafts_with_none()
    {
        Outcome run = await Command.Run(["bench", "speculate", "--model", Path.Combine(Command.Root, "models", "demo"), "--skill", "chat", "--count", "2", "--batch", "1,2", "--drafts", "2,auto", "--threads", "1", "--json"]);
        Assert.True(run.Code == 0, run.Error);
        using JsonDocument figures = JsonDocument.Parse(run.Out);
        var rows = figures.RootElement.EnumerateArray().ToList();
        Assert.Equal(
            [(1, "off"), (1, "2"), (1, "auto"), (2, "off"), (2, "2"), (2, "auto")],
            rows.Select(row => (row.GetProperty("batch").GetInt32(), row.GetProperty("drafts").GetString()!)));
        foreach (JsonElement row in rows.Where(row => row.GetProperty("drafts").GetString() == "2"))
        {
            Assert.InRange(row.GetProperty("acceptance").GetDouble(), 0.3, 1);
            Assert.InRange(row.GetProperty("tokens_per_step").GetDouble(), 1.3, 3);
            Assert.InRange(row.GetProperty("gain").GetDouble(), 1e-3, 1e3);
        }

        Assert.All(rows.Where(row => row.GetProperty("drafts").GetString() == "off"), row => Assert.Equal(JsonValueKind.Null, row.GetProperty("acceptance").ValueKind));
    }

    /// <summary>One thread: with more of them the share also tells how long a busy machine lets one wait for another.</summary>
    [Fact]
    public async Task Most_of_a_step_of_the_demo_model_is_spent_in_kernels()
    {
        Outcome run = await Command.Run(["bench", "model", "--model", Path.Combine(Command.Root, "models", "demo"), "--prefill", "0", "--decode", "40", "--batch", "1", "--threads", "1", "--runs", "3", "--json"]);
        Assert.True(run.Code == 0, run.Error);
        using JsonDocument figures = JsonDocument.Parse(run.Out);
        Assert.InRange(figures.RootElement.GetProperty("decode")[0].GetProperty("kernel_share").GetDouble(), 0.6, 1);
    }

    [Theory]
    [InlineData("layer", "--experts", "7")]
    [InlineData("kernels", "--shape", "512")]
    [InlineData("kernels", "--offset", "64")]
    [InlineData("kernels", "--types", "f32,int3")]
    [InlineData("model", "--kv-dtype", "int3")]
    [InlineData("model", "--batch", "1,x")]
    [InlineData("model", "--decode", "0")]
    [InlineData("model", "--prefill", "-1")]
    [InlineData("model", "--prefill", "512,999999")]
    [InlineData("model", "--context", "999999")]
    [InlineData("model", "--model", "no-such-model")]
    [InlineData("model", "--threads", "5000")]
    [InlineData("model", "--compute", "int3")]
    [InlineData("layer", "--context", "999999")]
    [InlineData("context", "--model", "no-such-model")]
    [InlineData("speculate", "--model", "no-such-model")]
    [InlineData("memory", "--threads", "0")]
    [InlineData("speculate", "--drafts", "many")]
    [InlineData("speculate", "--batch", "0")]
    [InlineData("speculate", "--skill", "none")]
    public async Task Measurements_that_are_none_are_bad_usage(string bench, string option, string value)
    {
        Outcome run = await Command.Run(["bench", bench, option, value]);
        Assert.Equal(2, run.Code);
        Assert.Contains(option, run.Error, StringComparison.Ordinal);
    }
}
