using System.Text.Json;

namespace Conclave.Cli.Tests;

public sealed class ContextBenchTests
{
    [Theory]
    [InlineData("tiny-f32", "f32", 64)]
    [InlineData("dsa", "fp8", 128)]
    public async Task Bench_context_measures_each_length_and_memory_is_that_of_the_formula(string model, string type, int pageTokens)
    {
        Outcome run = await Command.Run(
            ["bench", "context", "--model", Command.Golden(model), "--lengths", "128,512", "--chunk", "32", "--decode", "2", "--threads", "2", "--kv-dtype", type, "--page-tokens", $"{pageTokens}", "--runs", "1", "--json"]);
        Assert.True(run.Code == 0, run.Error);
        using JsonDocument document = JsonDocument.Parse(run.Out);
        JsonElement report = document.RootElement;
        Assert.Equal((model, pageTokens, 32), (report.GetProperty("model").GetString(), report.GetProperty("page_tokens").GetInt32(), report.GetProperty("chunk").GetInt32()));
        var contexts = report.GetProperty("contexts").EnumerateArray().ToList();
        Assert.Equal([128, 512], contexts.Select(c => c.GetProperty("length").GetInt32()));
        double formula = report.GetProperty("kv_bytes_per_token_by_formula").GetDouble();
        foreach (JsonElement c in contexts)
        {
            Assert.InRange(c.GetProperty("prompt_tokens_per_second").GetDouble(), 1e-3, 1e9);
            Assert.InRange(c.GetProperty("prefill_tokens_per_second").GetDouble(), 1e-3, 1e9);
            Assert.InRange(c.GetProperty("decode_tokens_per_second").GetDouble(), 1e-3, 1e9);
            Assert.InRange(c.GetProperty("decode_attention_ms").GetDouble(), 1e-9, c.GetProperty("decode_ms").GetDouble());
            // Areas of a page are filled up to 64 bytes.
            Assert.InRange(c.GetProperty("kv_bytes_per_token").GetDouble(), formula, formula * 1.02);
        }

        Assert.Equal(1, contexts[0].GetProperty("decode_attention_ratio").GetDouble());
    }

    [Fact]
    public async Task Contexts_that_are_not_computed_say_so()
    {
        Outcome run = await Command.Run(["bench", "context", "--model", Command.Golden("tiny-f32"), "--lengths", "64", "--chunk", "16", "--decode", "1", "--threads", "1", "--runs", "1", "--prefill-seconds", "0", "--json"]);
        Assert.True(run.Code == 0, run.Error);
        using JsonDocument document = JsonDocument.Parse(run.Out);
        Assert.Equal(JsonValueKind.Null, document.RootElement.GetProperty("contexts")[0].GetProperty("prompt_tokens_per_second").ValueKind);
    }

    [Theory]
    [InlineData("--prefill-seconds", "-1")]
    [InlineData("--lengths", "12,x")]
    [InlineData("--kv-dtype", "int3")]
    [InlineData("--page-tokens", "96")]
    [InlineData("--chunk", "0")]
    public async Task Contexts_that_are_none_are_bad_usage(string option, string value)
    {
        Outcome run = await Command.Run(["bench", "context", option, value]);
        Assert.Equal(2, run.Code);
        Assert.Contains(option, run.Error, StringComparison.Ordinal);
    }
}
