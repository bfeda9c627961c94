using System.Text.Json;
using Conclave.Gateway.Tests.Support;

namespace Conclave.Gateway.Tests;

/// <summary>The sampling fields over HTTP, on a model that talks nonsense.</summary>
[Collection(nameof(RandomServer))]
public sealed class SamplingTests(RandomServer fixture)
{
    private static readonly object[] Messages = [new { role = "user", content = "Say something." }];

    private readonly TestServer _server = fixture.Server;

    [Theory]
    [InlineData(1)]
    [InlineData(60)]
    public async Task Several_choices_are_the_answers_of_successive_seeds(int repetitions)
    {
        // A long prompt fills pages, which the choices share.
        object[] messages = [new { role = "user", content = string.Concat(Enumerable.Repeat("Say something. ", repetitions)) }];
        object request(int n, int seed, bool stream) => new { model = "deepseek-chat", messages, max_tokens = 25, temperature = 1, seed, n, stream };
        JsonElement[] single = await Task.WhenAll(Enumerable.Range(0, 3).Select(i => _server.AskAsync(request(1, 40 + i, stream: false))));
        JsonElement whole = await _server.AskAsync(request(3, 40, stream: false));
        JsonElement[] choices = [.. whole.GetProperty("choices").EnumerateArray()];
        Assert.Equal([0, 1, 2], choices.Select(choice => choice.GetProperty("index").GetInt32()));
        Assert.Equal(single.Select(Content), choices.Select(ContentOf));
        Assert.Equal(3, choices.Select(ContentOf).Distinct().Count());

        JsonElement usage = whole.GetProperty("usage");
        Assert.Equal(single[0].GetProperty("usage").GetProperty("prompt_tokens").GetInt32(), usage.GetProperty("prompt_tokens").GetInt32());
        Assert.Equal(single.Sum(CompletionTokens), CompletionTokens(whole));
        Assert.Equal(usage.GetProperty("prompt_tokens").GetInt32(), usage.GetProperty("prompt_cache_hit_tokens").GetInt32() + usage.GetProperty("prompt_cache_miss_tokens").GetInt32());

        StreamedAnswer stream = await _server.StreamAsync(request(3, 40, stream: true));
        for (int index = 0; index < 3; index++)
        {
            JsonElement[] own = [.. stream.Choices.Where(choice => choice.GetProperty("index").GetInt32() == index)];
            Assert.Equal("assistant", own[0].GetProperty("delta").GetProperty("role").GetString());
            Assert.Equal(Content(single[index]), string.Concat(own.Select(choice => choice.GetProperty("delta").TryGetProperty("content", out JsonElement text) ? text.GetString() : "")));
            Assert.Equal(choices[index].GetProperty("finish_reason").GetString(), own[^1].GetProperty("finish_reason").GetString());
            Assert.All(own[..^1], choice => Assert.Equal(JsonValueKind.Null, choice.GetProperty("finish_reason").ValueKind));
        }

        Assert.Equal(CompletionTokens(whole), stream.Usage.GetProperty("completion_tokens").GetInt32());
        await _server.AssertIdleAsync();
    }

    [Fact]
    public async Task A_biased_token_comes_always_or_never()
    {
        int first = Tokens(await Ask(new { logprobs = true })).First(id => id >= 0);
        JsonElement without = await Ask(new { logprobs = true, logit_bias = new Dictionary<string, int> { [$"{first}"] = -100 } });
        Assert.DoesNotContain(first, Tokens(without));
        JsonElement always = await Ask(new { logprobs = true, logit_bias = new Dictionary<string, int> { ["65"] = 100 } });
        Assert.Equal(Enumerable.Repeat(65, 10), Tokens(always));
    }

    [Fact]
    public async Task Stop_tokens_end_the_answer_least_tokens_hold_them_back()
    {
        int[] tokens = Tokens(await Ask(new { logprobs = true }));
        int stop = tokens.Skip(3).First(id => id >= 0);
        int at = Array.IndexOf(tokens, stop);
        JsonElement stopped = await Ask(new { logprobs = true, stop_token_ids = new[] { stop } });
        Assert.Equal(tokens[..at], Tokens(stopped));
        Assert.Equal("stop", stopped.GetProperty("choices")[0].GetProperty("finish_reason").GetString());
        JsonElement held = await Ask(new { logprobs = true, stop_token_ids = new[] { stop }, min_tokens = 10 });
        Assert.Equal(10, CompletionTokens(held));
        Assert.DoesNotContain(stop, Tokens(held));
        Assert.Equal("length", held.GetProperty("choices")[0].GetProperty("finish_reason").GetString());
    }

    [Fact]
    public async Task One_candidate_is_greedy_whatever_the_temperature()
    {
        string greedy = Content(await Ask(new { temperature = 0 }));
        Assert.Equal(greedy, Content(await Ask(new { temperature = 2, top_k = 1 })));
        Assert.Equal(greedy, Content(await Ask(new { temperature = 2, min_p = 1 })));
        Assert.NotEqual(greedy, Content(await Ask(new { temperature = 2, seed = 1 })));
        Assert.NotEqual(greedy, Content(await Ask(new { temperature = 0, repetition_penalty = 100 })));
    }

    [Fact]
    public async Task Ends_are_ignored_when_asked_for()
    {
        // Nothing but end tokens, and they are tokens like any other.
        var bias = _server.EndTokenIds.ToDictionary(id => $"{id}", _ => 100);
        JsonElement ended = await Ask(new { logit_bias = bias });
        Assert.Equal((0, "stop"), (CompletionTokens(ended), ended.GetProperty("choices")[0].GetProperty("finish_reason").GetString()));
        JsonElement ignored = await Ask(new { logit_bias = bias, ignore_eos = true });
        Assert.Equal((10, "length"), (CompletionTokens(ignored), ignored.GetProperty("choices")[0].GetProperty("finish_reason").GetString()));
    }

    [Fact]
    public async Task Priority_and_users_change_no_token()
    {
        string plain = Content(await Ask(new { temperature = 1, seed = 9 }));
        Assert.Equal(plain, Content(await Ask(new { temperature = 1, seed = 9, priority = 10, user = "somebody", timeout = 60 })));
        Assert.Equal(plain, Content(await Ask(new { temperature = 1, seed = 9, priority = -10, user_id = "somebody" })));
    }

    private static string Content(JsonElement answer) => ContentOf(answer.GetProperty("choices")[0]);

    private static string ContentOf(JsonElement choice) => choice.GetProperty("message").GetProperty("content").GetString()!;

    private static int CompletionTokens(JsonElement answer) => answer.GetProperty("usage").GetProperty("completion_tokens").GetInt32();

    private int[] Tokens(JsonElement answer) => [.. answer.GetProperty("choices")[0].GetProperty("logprobs").GetProperty("content").EnumerateArray().Select(_server.TokenId)];

    /// <summary>Ten greedy tokens unless <paramref name="more"/> says otherwise.</summary>
    private Task<JsonElement> Ask(object more)
    {
        var request = new Dictionary<string, object> { ["model"] = "deepseek-chat", ["messages"] = Messages, ["max_tokens"] = 10, ["temperature"] = 0 };
        foreach (JsonProperty field in JsonSerializer.SerializeToElement(more).EnumerateObject()) request[field.Name] = field.Value;
        return _server.AskAsync(request);
    }
}
