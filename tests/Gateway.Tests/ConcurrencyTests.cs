using System.Text.Json;
using Conclave.Gateway.Tests.Support;
using Conclave.V1;

namespace Conclave.Gateway.Tests;

/// <summary>Streams that share steps get the very tokens that each gets alone.</summary>
[Collection(nameof(RandomServer))]
public sealed class ConcurrencyTests(RandomServer fixture)
{
    private const int StreamCount = 32;

    private readonly TestServer _server = fixture.Server;

    [Fact]
    public async Task Streams_at_once_get_the_text_that_each_gets_alone()
    {
        var alone = new List<string>();
        for (int i = 0; i < StreamCount; i++) alone.Add(await ChatAsync(i));
        string[] together = await Task.WhenAll(Enumerable.Range(0, StreamCount).Select(ChatAsync));
        Assert.Equal(alone, together);
        Assert.True(alone.Distinct().Count() > StreamCount / 2, "the answers should differ");
        await _server.AssertIdleAsync();
    }

    [Fact]
    public async Task Streams_at_once_get_the_tokens_that_each_gets_alone()
    {
        using var probe = new GrpcProbe(_server);
        var alone = new List<int[]>();
        for (int i = 0; i < StreamCount; i++) alone.Add(await GenerateAsync(probe, i));
        int[][] together = await Task.WhenAll(Enumerable.Range(0, StreamCount).Select(i => GenerateAsync(probe, i)));
        Assert.Equal(alone, together);
        await _server.AssertIdleAsync();
    }

    /// <summary>A conversation that differs from all others in prompt, length, temperature, seed, mode and protocol details; its answer with finish and usage.</summary>
    private async Task<string> ChatAsync(int index)
    {
        var request = new
        {
            model = index % 3 == 0 ? "deepseek-reasoner" : "deepseek-chat",
            messages = ChatTests.User(string.Concat(Enumerable.Repeat($"question {index}. ", 1 + (index * 7 % 40)))),
            max_tokens = 12 + (index * 5 % 30),
            temperature = index % 4 * 0.5,
            top_p = index % 5 == 0 ? 0.7 : 1,
            frequency_penalty = index % 6 == 0 ? 0.5 : 0,
            seed = index,
            stream = index % 2 == 0,
        };
        if (request.stream)
        {
            StreamedAnswer stream = await _server.StreamAsync(request);
            return $"{stream.Reasoning}|{stream.Content}|{stream.FinishReason}|{Counts(stream.Usage)}";
        }

        JsonElement answer = await _server.AskAsync(request), choice = answer.GetProperty("choices")[0], message = choice.GetProperty("message");
        string? reasoning = message.TryGetProperty("reasoning_content", out JsonElement text) ? text.GetString() : "";
        return $"{reasoning}|{message.GetProperty("content").GetString()}|{choice.GetProperty("finish_reason").GetString()}|{Counts(answer.GetProperty("usage"))}";
    }

    /// <summary>What of the usage does not depend on what the prefix cache had.</summary>
    private static string Counts(JsonElement usage) => $"{usage.GetProperty("prompt_tokens")}+{usage.GetProperty("completion_tokens")}";

    private static async Task<int[]> GenerateAsync(GrpcProbe probe, int index)
    {
        var request = new GenerateRequest
        {
            Text = string.Concat(Enumerable.Repeat($"{index} bottles ", 1 + (index * 11 % 30))),
            IgnoreEos = true,
            Sampling = new Sampling { Temperature = index % 4 * 0.4f, Seed = (ulong)index, MaxTokens = 8 + (index * 3 % 30) },
        };
        using GrpcProbeCall call = await probe.OpenAsync("Generate", request);
        List<GenerateChunk> chunks = await call.ReadAllAsync(GenerateChunk.Parser);
        Assert.Equal(0, call.Status);
        Assert.Equal(FinishReason.Length, chunks[^1].FinishReason);
        int[] ids = [.. chunks.SelectMany(chunk => chunk.Ids)];
        Assert.Equal(request.Sampling.MaxTokens, ids.Length);
        return ids;
    }
}
