using System.Net;
using System.Text;
using System.Text.Json;
using Conclave.Gateway.Tests.Support;

namespace Conclave.Gateway.Tests;

/// <summary>The shapes of the HTTP API on a model that talks nonsense, so that every text and every length can come.</summary>
[Collection(nameof(RandomServer))]
public sealed class ChatTests(RandomServer fixture)
{
    private readonly TestServer _server = fixture.Server;

    [Fact]
    public async Task A_whole_answer_has_the_documented_shape()
    {
        JsonElement answer = await _server.AskAsync(Request(maxTokens: 20));
        Assert.True(Guid.TryParse(answer.GetProperty("id").GetString(), out _));
        Assert.Equal("chat.completion", answer.GetProperty("object").GetString());
        Assert.Equal("deepseek-chat", answer.GetProperty("model").GetString());
        Assert.StartsWith("fp_", answer.GetProperty("system_fingerprint").GetString(), StringComparison.Ordinal);
        Assert.True(answer.GetProperty("created").GetInt64() > 1_700_000_000);
        JsonElement choice = Assert.Single(answer.GetProperty("choices").EnumerateArray());
        Assert.Equal(0, choice.GetProperty("index").GetInt32());
        Assert.Equal(JsonValueKind.Null, choice.GetProperty("logprobs").ValueKind);
        Assert.Contains(choice.GetProperty("finish_reason").GetString(), new[] { "stop", "length" });
        JsonElement message = choice.GetProperty("message");
        Assert.Equal("assistant", message.GetProperty("role").GetString());
        Assert.Equal(JsonValueKind.String, message.GetProperty("content").ValueKind);
        Assert.False(message.TryGetProperty("reasoning_content", out _));
        Assert.False(message.TryGetProperty("tool_calls", out _));
        AssertUsage(answer.GetProperty("usage"), thinking: false);
    }

    [Theory]
    [InlineData("deepseek-chat", 7)]
    [InlineData("deepseek-reasoner", 8)]
    [InlineData("tiny-random", 9)]
    public async Task A_stream_says_what_the_whole_answer_says(string model, int seed)
    {
        JsonElement whole = await _server.AskAsync(Request(maxTokens: 60, model: model, seed: seed));
        StreamedAnswer stream = await _server.StreamAsync(Request(maxTokens: 60, model: model, seed: seed, stream: true));
        JsonElement choice = whole.GetProperty("choices")[0], message = choice.GetProperty("message");
        Assert.Equal(message.GetProperty("content").GetString(), stream.Content);
        Assert.Equal(message.TryGetProperty("reasoning_content", out JsonElement reasoning) ? reasoning.GetString() : "", stream.Reasoning);
        Assert.Equal(choice.GetProperty("finish_reason").GetString(), stream.FinishReason);
        Assert.Equal(whole.GetProperty("usage").GetRawText(), stream.Usage.GetRawText());
        Assert.Single(stream.Chunks.Select(chunk => (chunk.GetProperty("id").GetString(), chunk.GetProperty("created").GetInt64())).Distinct());
        Assert.All(stream.Chunks, chunk => Assert.Equal("chat.completion.chunk", chunk.GetProperty("object").GetString()));
        Assert.All(stream.Chunks, chunk => Assert.Equal(model, chunk.GetProperty("model").GetString()));
        Assert.All(stream.Chunks.SkipLast(1), chunk => Assert.False(chunk.TryGetProperty("usage", out _)));
        await _server.AssertIdleAsync();
    }

    [Fact]
    public async Task The_first_chunk_carries_the_role_and_which_text_comes_first()
    {
        StreamedAnswer plain = await _server.StreamAsync(Request(maxTokens: 3, stream: true));
        Assert.Equal("""{"role":"assistant","content":""}""", plain.Deltas.First().GetRawText());
        Assert.All(plain.Deltas, delta => Assert.False(delta.TryGetProperty("reasoning_content", out _)));

        StreamedAnswer thinking = await _server.StreamAsync(Request(maxTokens: 8, model: "deepseek-reasoner", stream: true));
        Assert.Equal("""{"role":"assistant","content":null,"reasoning_content":""}""", thinking.Deltas.First().GetRawText());
        Assert.NotEqual("", thinking.Reasoning);
    }

    [Fact]
    public async Task Thinking_is_switched_by_model_name_and_by_field()
    {
        JsonElement byField = await _server.AskAsync(new { model = "deepseek-chat", thinking = new { type = "enabled" }, messages = User("x"), max_tokens = 10, seed = 1 });
        Assert.True(byField.GetProperty("choices")[0].GetProperty("message").TryGetProperty("reasoning_content", out _));
        AssertUsage(byField.GetProperty("usage"), thinking: true);
        JsonElement off = await _server.AskAsync(new { model = "deepseek-reasoner", thinking = new { type = "disabled" }, messages = User("x"), max_tokens = 10, seed = 1 });
        Assert.False(off.GetProperty("choices")[0].GetProperty("message").TryGetProperty("reasoning_content", out _));
        AssertUsage(off.GetProperty("usage"), thinking: false);
    }

    [Fact]
    public async Task Usage_comes_in_a_chunk_of_its_own_when_asked_for()
    {
        StreamedAnswer stream = await _server.StreamAsync(
            new { model = "deepseek-chat", messages = User("usage"), max_tokens = 5, stream = true, stream_options = new { include_usage = true } });
        Assert.Equal(0, stream.Chunks[^1].GetProperty("choices").GetArrayLength());
        AssertUsage(stream.Usage, thinking: false);
        Assert.All(stream.Chunks.SkipLast(1), chunk => Assert.Equal(JsonValueKind.Null, chunk.GetProperty("usage").ValueKind));
    }

    [Fact]
    public async Task Log_probabilities_come_with_every_token()
    {
        object request(bool stream) => new { model = "deepseek-chat", messages = User("p"), max_tokens = 12, seed = 3, logprobs = true, top_logprobs = 3, stream };
        JsonElement whole = await _server.AskAsync(request(stream: false));
        JsonElement[] tokens = [.. whole.GetProperty("choices")[0].GetProperty("logprobs").GetProperty("content").EnumerateArray()];
        Assert.Equal(whole.GetProperty("usage").GetProperty("completion_tokens").GetInt32(), tokens.Length);
        foreach (JsonElement token in tokens)
        {
            double[] top = [.. token.GetProperty("top_logprobs").EnumerateArray().Select(t => t.GetProperty("logprob").GetDouble())];
            Assert.Equal(3, top.Length);
            Assert.Equal(top.OrderDescending(), top);
            Assert.InRange(token.GetProperty("logprob").GetDouble(), -1000, top[0]);
            Assert.All(token.GetProperty("bytes").EnumerateArray(), octet => Assert.InRange(octet.GetInt32(), 0, 255));
        }

        StreamedAnswer stream = await _server.StreamAsync(request(stream: true));
        IEnumerable<string> streamed = stream.Choices.Select(c => c.GetProperty("logprobs")).Where(l => l.ValueKind == JsonValueKind.Object)
            .SelectMany(l => l.GetProperty("content").EnumerateArray()).Select(t => t.GetRawText());
        Assert.Equal(tokens.Select(t => t.GetRawText()), streamed);
    }

    [Fact]
    public async Task A_stop_text_ends_the_answer_and_is_not_part_of_it()
    {
        string text = Content(await _server.AskAsync(Request(maxTokens: 80, seed: 5)));
        string stop = text.Substring(text.Length / 2, 2);
        string expected = text[..text.IndexOf(stop, StringComparison.Ordinal)];
        JsonElement stopped = await _server.AskAsync(new { model = "deepseek-chat", messages = User("Say something."), max_tokens = 80, seed = 5, stop });
        Assert.Equal(expected, Content(stopped));
        Assert.Equal("stop", stopped.GetProperty("choices")[0].GetProperty("finish_reason").GetString());
        StreamedAnswer stream = await _server.StreamAsync(
            new { model = "deepseek-chat", messages = User("Say something."), max_tokens = 80, seed = 5, stop = new[] { "never so", stop }, stream = true });
        Assert.Equal(expected, stream.Content);
        await _server.AssertIdleAsync();
    }

    [Fact]
    public async Task A_seed_and_temperature_0_repeat_an_answer()
    {
        string first = Content(await _server.AskAsync(Request(maxTokens: 40, seed: 42)));
        Assert.Equal(first, Content(await _server.AskAsync(Request(maxTokens: 40, seed: 42))));
        Assert.NotEqual(first, Content(await _server.AskAsync(Request(maxTokens: 40, seed: 43))));
        object greedy(int seed) => new { model = "deepseek-chat", messages = User("greedy"), max_tokens = 30, temperature = 0, seed };
        Assert.Equal(Content(await _server.AskAsync(greedy(1))), Content(await _server.AskAsync(greedy(2))));
    }

    [Fact]
    public async Task The_last_message_may_be_a_prefix_to_continue()
    {
        object[] messages = [new { role = "user", content = "Write code" }, new { role = "assistant", content = "```python\n", prefix = true }];
        JsonElement answer = await _server.AskAsync(new { model = "deepseek-chat", messages, max_tokens = 5, temperature = 0 }, "beta/chat/completions");
        Assert.False(Content(answer).StartsWith("```python", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("")]
    [InlineData("v1/")]
    [InlineData("beta/")]
    public async Task Every_path_has_its_aliases(string prefix)
    {
        JsonElement answer = await _server.AskAsync(Request(maxTokens: 1), prefix + "chat/completions");
        Assert.Equal("chat.completion", answer.GetProperty("object").GetString());
        using JsonDocument models = JsonDocument.Parse(await _server.Client.GetStringAsync(prefix + "models"));
        Assert.Equal("list", models.RootElement.GetProperty("object").GetString());
        Assert.Equal(["deepseek-chat", "deepseek-reasoner", "tiny-random"], models.RootElement.GetProperty("data").EnumerateArray().Select(m => m.GetProperty("id").GetString()));
        Assert.All(models.RootElement.GetProperty("data").EnumerateArray(), m => Assert.Equal("model", m.GetProperty("object").GetString()));
    }

    [Theory]
    [InlineData("GET", "health/live")]
    [InlineData("HEAD", "health/live")]
    [InlineData("GET", "health/ready")]
    [InlineData("HEAD", "health/ready")]
    public async Task Health_is_told(string method, string path)
    {
        using HttpResponseMessage response = await _server.Client.SendAsync(new HttpRequestMessage(new HttpMethod(method), path));
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
    }

    [Theory]
    [InlineData("GET", "v1/nothing", HttpStatusCode.NotFound)]
    [InlineData("POST", "v2/chat/completions", HttpStatusCode.NotFound)]
    [InlineData("GET", "v1/chat/completions", HttpStatusCode.MethodNotAllowed)]
    [InlineData("DELETE", "models", HttpStatusCode.MethodNotAllowed)]
    public async Task A_wrong_path_or_method_is_a_json_error(string method, string path, HttpStatusCode status)
    {
        using HttpResponseMessage response = await _server.Client.SendAsync(new HttpRequestMessage(new HttpMethod(method), path));
        Assert.Equal(status, response.StatusCode);
        using JsonDocument body = JsonDocument.Parse(await response.Content.ReadAsStringAsync());
        Assert.Equal("invalid_request_error", body.RootElement.GetProperty("error").GetProperty("type").GetString());
        if (status == HttpStatusCode.MethodNotAllowed) Assert.NotEmpty(response.Content.Headers.Allow);
    }

    [Fact]
    public async Task A_client_that_waits_is_kept_alive()
    {
        // Nothing is computed until the client has heard that it is waited for.
        string whole = await HeldAsync(stream: false, body => body.Length > 0);
        Assert.StartsWith("\n", whole, StringComparison.Ordinal);
        Assert.Equal("chat.completion", JsonSerializer.Deserialize<JsonElement>(whole).GetProperty("object").GetString());
        StreamedAnswer answer = StreamedAnswer.Parse(await HeldAsync(stream: true, body => $"\n{body}".Contains("\n:", StringComparison.Ordinal)));
        Assert.NotEqual(0, answer.KeepAlives);
        await _server.AssertIdleAsync();
    }

    /// <summary>An answer whose computation does not begin before what came of the body is <paramref name="enough"/>.</summary>
    private async Task<string> HeldAsync(bool stream, Func<string, bool> enough)
    {
        fixture.Steps.Hold();
        try
        {
            string request = JsonSerializer.Serialize(new { model = "deepseek-chat", messages = User("hello"), max_tokens = 5, temperature = 0, stream });
            using var message = new HttpRequestMessage(HttpMethod.Post, "chat/completions") { Content = new StringContent(request) };
            using HttpResponseMessage response = await _server.Client.SendAsync(message, HttpCompletionOption.ResponseHeadersRead);
            using var reader = new StreamReader(await response.Content.ReadAsStreamAsync());
            var body = new StringBuilder();
            char[] buffer = new char[100];
            while (!enough(body.ToString()))
            {
                int read = await reader.ReadAsync(buffer);
                Assert.NotEqual(0, read);
                body.Append(buffer, 0, read);
            }

            fixture.Steps.Release();
            return body.Append(await reader.ReadToEndAsync()).ToString();
        }
        finally
        {
            fixture.Steps.Release();
        }
    }

    internal static object[] User(string content) => [new { role = "user", content }];

    private static object Request(int maxTokens, string model = "deepseek-chat", int seed = 1, bool stream = false) =>
        new { model, messages = User("Say something."), max_tokens = maxTokens, seed, stream };

    private static string Content(JsonElement answer) => answer.GetProperty("choices")[0].GetProperty("message").GetProperty("content").GetString()!;

    private static void AssertUsage(JsonElement usage, bool thinking)
    {
        int number(string name) => usage.GetProperty(name).GetInt32();
        Assert.True(number("prompt_tokens") > 0);
        Assert.Equal(number("prompt_tokens") + number("completion_tokens"), number("total_tokens"));
        Assert.Equal(number("prompt_tokens"), number("prompt_cache_hit_tokens") + number("prompt_cache_miss_tokens"));
        Assert.Equal(number("prompt_cache_hit_tokens"), usage.GetProperty("prompt_tokens_details").GetProperty("cached_tokens").GetInt32());
        Assert.Equal(thinking, usage.TryGetProperty("completion_tokens_details", out JsonElement details));
        if (thinking) Assert.InRange(details.GetProperty("reasoning_tokens").GetInt32(), 1, number("completion_tokens"));
    }
}
