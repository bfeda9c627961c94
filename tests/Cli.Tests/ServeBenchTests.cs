using System.Text.Json;

namespace Conclave.Cli.Tests;

/// <summary>A tiny load against a real server in the process.</summary>
public sealed class ServeBenchTests
{
    [Fact]
    public async Task Bench_serve_measures_rates()
    {
        Outcome run = await Command.Run(["bench", "serve", "--rates", "4,8", "--duration", "1", "--prompt-tokens", "12", "--output-tokens", "6", "--seed", "3", "--threads", "2", "--json"]);
        Assert.True(run.Code == 0, run.Error);
        using JsonDocument document = JsonDocument.Parse(run.Out);
        JsonElement[] figures = [.. document.RootElement.EnumerateArray()];
        Assert.Equal([4, 8], figures.Select(f => f.GetProperty("rate").GetDouble()));
        foreach (JsonElement f in figures)
        {
            int requests = f.GetProperty("requests").GetInt32();
            Assert.Equal((requests, 0, 0), (f.GetProperty("completed").GetInt32(), f.GetProperty("rejected").GetInt32(), f.GetProperty("failed").GetInt32()));
            Assert.Equal(requests * 6, f.GetProperty("offered_tokens_per_second").GetDouble());
            Assert.InRange(f.GetProperty("tokens_per_second").GetDouble(), 0, requests * 6);
            if (requests > 0)
                Assert.InRange(f.GetProperty("first_token_ms").GetProperty("p50").GetDouble(), 0.01, 600_000);
        }
    }

    /// <summary>Three servers one after the other with one disk tier; that all of them answer alike is checked by the command.</summary>
    [Fact]
    public async Task Bench_prefix_measures_what_is_found_in_memory_and_on_disk()
    {
        Outcome run = await Command.Run(["bench", "prefix", "--lengths", "100,300", "--prompts", "1", "--threads", "2", "--json"]);
        Assert.True(run.Code == 0, run.Error);
        using JsonDocument document = JsonDocument.Parse(run.Out);
        JsonElement[] figures = [.. document.RootElement.EnumerateArray()];
        Assert.Equal([100, 300], figures.Select(f => f.GetProperty("prompt_tokens").GetInt32()));
        Assert.All(figures, f => Assert.InRange(f.GetProperty("cached_tokens").GetInt32(), f.GetProperty("prompt_tokens").GetInt32() - 63, f.GetProperty("prompt_tokens").GetInt32() + 63));
        foreach (string place in new[] { "computed_ms", "memory_ms", "file_cache_ms", "disk_ms" })
            Assert.All(figures, f => Assert.InRange(f.GetProperty(place).GetDouble(), 0.01, 600_000));
    }

    [Theory]
    [InlineData("--rates", "fast")]
    [InlineData("--rates", "1,0")]
    [InlineData("--duration", "0")]
    [InlineData("--url", "nowhere")]
    [InlineData("--prompt-tokens", "0")]
    [InlineData("--prompt-tokens", "99999")]
    [InlineData("--step-tokens", "7")]
    public async Task Loads_that_are_none_are_bad_usage(string option, string value)
    {
        Outcome run = await Command.Run(["bench", "serve", option, value]);
        Assert.Equal(2, run.Code);
        Assert.Contains(option, run.Error, StringComparison.Ordinal);
    }
}
