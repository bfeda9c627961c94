using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Conclave.Gateway.Tests.Support;

namespace Conclave.Gateway.Tests;

/// <summary>Every bad request gets its documented error, and leaves nothing behind.</summary>
[Collection(nameof(ShortContextServer))]
public sealed class BadInputTests(ShortContextServer fixture)
{
    private const string Ok = """{"role":"user","content":"hi"}""";
    private const string WrongType = "Failed to deserialize the JSON body into the target type";
    private const string Call = """{"role":"assistant","content":"","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"b","type":"function","function":{"name":"f","arguments":"{}"}}]}""";

    private readonly TestServer _server = fixture.Server;

    /// <summary>Bodies and messages: name, body, a part of the error's message, the field at fault.</summary>
    public static TheoryData<string, string, string, string?> Messages() => new()
    {
        { "empty body", "", WrongType, null },
        { "not JSON", "hello", WrongType, null },
        { "cut off", """{"model":"deepseek-chat","messages":[""", WrongType, null },
        { "trailing garbage", Body(Ok) + "}", WrongType, null },
        { "a list", "[]", "must be an object", null },
        { "null", "null", "must be an object", null },
        { "deep nesting", new string('[', 100_000), WrongType, null },
        { "deep nesting in a schema", $$"""{"model":"deepseek-chat","messages":[{{Ok}}],"tools":{{string.Concat(Enumerable.Repeat("{\"a\":", 5000))}}1{{new string('}', 5000)}}}""", WrongType, null },
        { "no model", $$"""{"messages":[{{Ok}}]}""", "model: is required", "model" },
        { "model of the wrong type", $$"""{"model":1,"messages":[{{Ok}}]}""", "model: must be a string", "model" },
        { "unknown model", $$"""{"model":"gpt-4","messages":[{{Ok}}]}""", "Model Not Exist", null },
        { "no messages", """{"model":"deepseek-chat"}""", "messages: is required", "messages" },
        { "empty messages", Body(""), "messages", "messages" },
        { "messages of the wrong type", """{"model":"deepseek-chat","messages":"hi"}""", "messages: must be a list", "messages" },
        { "a message of the wrong type", Body("\"hi\""), "messages[0]", "messages[0]" },
        { "unknown role", Body("""{"role":"king","content":"x"}"""), "messages[0].role", "messages[0].role" },
        { "developer role", Body("""{"role":"developer","content":"x"}"""), "messages[0].role", "messages[0].role" },
        { "no role", Body("""{"content":"x"}"""), "messages[0].role", "messages[0].role" },
        { "content of the wrong type", Body("""{"role":"user","content":5}"""), "messages[0].content", "messages[0].content" },
        { "an image", Body("""{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}"""), "messages[0].content[0].type", "messages[0].content[0].type" },
        { "last message of the assistant", Body(Ok + """,{"role":"assistant","content":"x"}"""), "last message", "messages" },
        { "only a system message", Body("""{"role":"system","content":"x"}"""), "last message", "messages" },
        { "prefix in the middle", Body("""{"role":"assistant","content":"x","prefix":true},""" + Ok), "messages[0].prefix", "messages[0].prefix" },
        { "tool message without a call", Body(Ok + """,{"role":"tool","tool_call_id":"a","content":"x"}"""), "Messages with role 'tool' must be a response to a preceding message with 'tool_calls'", "messages[1]" },
        { "too few tool messages", Body($$"""{{Ok}},{{Call}},{"role":"tool","tool_call_id":"a","content":"1"}"""), "insufficient tool messages following tool_calls message", "messages[1].tool_calls" },
        { "a user message instead of tool messages", Body($"{Ok},{Call},{Ok}"), "insufficient tool messages following tool_calls message", "messages[1].tool_calls" },
        { "tool messages for other calls", Body($$"""{{Ok}},{{Call}},{"role":"tool","tool_call_id":"x","content":"1"},{"role":"tool","tool_call_id":"y","content":"1"}"""), "tool_call", "messages[1].tool_calls" },
    };

    /// <summary>All other fields, likewise.</summary>
    public static TheoryData<string, string, string, string?> Fields() => new()
    {
        { "max_tokens 0", Body(Ok, "\"max_tokens\":0"), "Invalid max_tokens value, the valid range of max_tokens is [1, ", null },
        { "max_tokens negative", Body(Ok, "\"max_tokens\":-1"), "Invalid max_tokens value, the valid range of max_tokens is [1, ", null },
        { "max_tokens huge", Body(Ok, "\"max_tokens\":9223372036854775807"), "Invalid max_tokens value, the valid range of max_tokens is [1, ", null },
        { "max_tokens beyond integers", Body(Ok, "\"max_tokens\":1e99"), "max_tokens: must be an integer", "max_tokens" },
        { "max_tokens as text", Body(Ok, "\"max_tokens\":\"12\""), "max_tokens: must be an integer", "max_tokens" },
        { "max_tokens broken", Body(Ok, "\"max_tokens\":1.5"), "max_tokens: must be an integer", "max_tokens" },
        { "prompt and completion too long", Body(Ok, "\"max_tokens\":512"), "This model's maximum context length is 512 tokens. However, you requested ", null },
        { "prompt too long", Body($$"""{"role":"user","content":"{{new string('x', 5000)}}"}"""), "Please reduce the length of the messages or completion.", null },
        { "temperature NaN", Body(Ok, "\"temperature\":NaN"), WrongType, null },
        { "temperature infinite", Body(Ok, "\"temperature\":Infinity"), WrongType, null },
        { "temperature 1e999", Body(Ok, "\"temperature\":1e999"), "temperature", "temperature" },
        { "temperature as text", Body(Ok, "\"temperature\":\"NaN\""), "temperature: must be a finite number", "temperature" },
        { "temperature 2.1", Body(Ok, "\"temperature\":2.1"), "temperature", null },
        { "temperature negative", Body(Ok, "\"temperature\":-0.1"), "temperature", null },
        { "top_p 0", Body(Ok, "\"top_p\":0"), "top_p", null },
        { "top_p 1.1", Body(Ok, "\"top_p\":1.1"), "top_p", null },
        { "frequency_penalty 3", Body(Ok, "\"frequency_penalty\":3"), "frequency_penalty", null },
        { "presence_penalty -3", Body(Ok, "\"presence_penalty\":-3"), "presence_penalty", null },
        { "seed as text", Body(Ok, "\"seed\":\"1\""), "seed: must be an integer", "seed" },
        { "stop of the wrong type", Body(Ok, "\"stop\":1"), "stop: must be a string or a list of strings", "stop" },
        { "a stop of the wrong type", Body(Ok, "\"stop\":[1]"), "stop[0]: must be a string", "stop[0]" },
        { "17 stop strings", Body(Ok, $"\"stop\":[{string.Join(',', Enumerable.Repeat("\"a\"", 17))}]"), "stop: 17 texts are too many", null },
        { "10,000 stop strings", Body(Ok, $"\"stop\":[{string.Join(',', Enumerable.Range(0, 10_000).Select(i => $"\"{i}\""))}]"), "stop: 10000 texts are too many", null },
        { "an endless stop string", Body(Ok, $"\"stop\":\"{new string('a', 1_000_000)}\""), "stop: a text is too long", null },
        { "stream of the wrong type", Body(Ok, "\"stream\":\"yes\""), "stream: must be true or false", "stream" },
        { "stream_options without a stream", Body(Ok, "\"stream_options\":{\"include_usage\":true}"), "stream_options", null },
        { "stream_options of the wrong type", Body(Ok, "\"stream\":true,\"stream_options\":1"), "stream_options: must be an object", "stream_options" },
        { "thinking of the wrong type", Body(Ok, "\"thinking\":true"), "thinking: must be an object", "thinking" },
        { "unknown thinking", Body(Ok, "\"thinking\":{\"type\":\"maybe\"}"), "thinking.type", "thinking.type" },
        { "logprobs of the wrong type", Body(Ok, "\"logprobs\":3"), "logprobs: must be true or false", "logprobs" },
        { "top_logprobs without logprobs", Body(Ok, "\"top_logprobs\":3"), "top_logprobs", null },
        { "21 top_logprobs", Body(Ok, "\"logprobs\":true,\"top_logprobs\":21"), "top_logprobs", null },
        { "logprobs while thinking", Body(Ok, "\"logprobs\":true,\"thinking\":{\"type\":\"enabled\"}"), "logprobs", null },
        { "JSON mode without the word", Body(Ok, "\"response_format\":{\"type\":\"json_object\"}"), "Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'.", null },
        { "a JSON schema", Body(Ok, "\"response_format\":{\"type\":\"json_schema\"}"), "response_format.json_schema: is required", "response_format.json_schema" },
        { "a JSON schema that is none", Body(Ok, "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"a\",\"schema\":{\"type\":\"thing\"}}}"), "schema #/type: must be 'null'", null },
        { "a JSON schema that cannot be told", Body(Ok, "\"guided_json\":{\"properties\":{\"a\":{\"type\":\"array\",\"uniqueItems\":true}}}"), "schema #/properties/a/uniqueItems: is supported where items are an enum", null },
        { "an expression that cannot be used", Body(Ok, "\"guided_regex\":\"(a\""), "regex: position 0: '(' is never closed", null },
        { "two grammars", Body(Ok, "\"guided_regex\":\"a\",\"guided_grammar\":\"root ::= \\\"a\\\"\""), "guided_grammar: cannot be combined with guided_regex", null },
        { "required calls without tools", Body(Ok, "\"tool_choice\":\"required\""), "tool_choice: 'required' needs tools", null },
        { "unknown response_format", Body(Ok, "\"response_format\":{\"type\":\"xml\"}"), "response_format.type", "response_format.type" },
        { "tools of the wrong type", Body(Ok, "\"tools\":{}"), "tools: must be a list", "tools" },
        { "a tool without a name", Body(Ok, "\"tools\":[{\"type\":\"function\",\"function\":{}}]"), "tools[0].function.name", "tools[0].function.name" },
        { "a tool with a bad name", Body(Ok, "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a b\"}}]"), "tools[0].function.name", "tools[0].function.name" },
        { "129 tools", Body(Ok, $"\"tools\":[{string.Join(',', Enumerable.Range(0, 129).Select(i => $$$"""{"type":"function","function":{"name":"f{{{i}}}"}}"""))}]"), "tools: 129 are too many", null },
        { "unknown tool_choice", Body(Ok, "\"tool_choice\":\"perhaps\""), "tool_choice", "tool_choice" },
        { "tool_choice of a missing tool", Body(Ok, "\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"g\"}}"), "tool_choice", null },
        { "half a surrogate pair in text", Body("""{"role":"user","content":"\ud800"}"""), "surrogate", null },
        { "half a surrogate pair in a name", Body(Ok, "\"\\udc00\":1"), "surrogate", null },
        { "half a surrogate pair in a schema", Body(Ok, "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"a\":\"\\uD8ff\"}}}]"), "surrogate", null },
    };

    /// <summary>What vLLM and others have beside OpenAI's fields, likewise.</summary>
    public static TheoryData<string, string, string, string?> Extensions() => new()
    {
        { "top_k -2", Body(Ok, "\"top_k\":-2"), "Invalid top_k value, the valid range of top_k is [0, ", null },
        { "top_k broken", Body(Ok, "\"top_k\":1.5"), "top_k: must be an integer", "top_k" },
        { "top_k as text", Body(Ok, "\"top_k\":\"5\""), "top_k: must be an integer", "top_k" },
        { "min_p 1.1", Body(Ok, "\"min_p\":1.1"), "Invalid min_p value, the valid range of min_p is [0, 1]", null },
        { "min_p negative", Body(Ok, "\"min_p\":-0.1"), "Invalid min_p value", null },
        { "min_p as text", Body(Ok, "\"min_p\":\"a\""), "min_p: must be a finite number", "min_p" },
        { "repetition_penalty 0", Body(Ok, "\"repetition_penalty\":0"), "Invalid repetition_penalty value, the valid range of repetition_penalty is [0.01, 100]", null },
        { "repetition_penalty negative", Body(Ok, "\"repetition_penalty\":-1"), "Invalid repetition_penalty value", null },
        { "repetition_penalty huge", Body(Ok, "\"repetition_penalty\":1e99"), "Invalid repetition_penalty value", null },
        { "logit_bias as a list", Body(Ok, "\"logit_bias\":[1]"), "logit_bias: must be an object", "logit_bias" },
        { "logit_bias of a word", Body(Ok, "\"logit_bias\":{\"the\":1}"), "logit_bias: the names of its fields must be token ids, not 'the'", null },
        { "logit_bias of a negative id", Body(Ok, "\"logit_bias\":{\"-1\":1}"), "logit_bias: the names of its fields must be token ids", null },
        { "logit_bias beyond the vocabulary", Body(Ok, "\"logit_bias\":{\"99999999\":1}"), "logit_bias: token 99999999 is outside the vocabulary", null },
        { "logit_bias 101", Body(Ok, "\"logit_bias\":{\"5\":101}"), "Invalid logit_bias value, the valid range of logit_bias is [-100, 100]", null },
        { "logit_bias of the wrong type", Body(Ok, "\"logit_bias\":{\"5\":\"x\"}"), "logit_bias.5: must be a finite number", "logit_bias.5" },
        { "logit_bias twice", Body(Ok, "\"logit_bias\":{\"5\":1,\"05\":1}"), "logit_bias: token 5 occurs twice", null },
        { "min_tokens negative", Body(Ok, "\"min_tokens\":-1"), "Invalid min_tokens value, the valid range of min_tokens is [0, ", null },
        { "min_tokens above max_tokens", Body(Ok, "\"max_tokens\":4,\"min_tokens\":5"), "Invalid min_tokens value, the valid range of min_tokens is [0, 4]", null },
        { "ignore_eos of the wrong type", Body(Ok, "\"ignore_eos\":1"), "ignore_eos: must be true or false", "ignore_eos" },
        { "stop_token_ids of the wrong type", Body(Ok, "\"stop_token_ids\":5"), "stop_token_ids: must be a list", "stop_token_ids" },
        { "a stop token of the wrong type", Body(Ok, "\"stop_token_ids\":[1,\"a\"]"), "stop_token_ids[1]: must be an integer", "stop_token_ids[1]" },
        { "a negative stop token", Body(Ok, "\"stop_token_ids\":[-1]"), "stop_token_ids[0]: must be a token id", "stop_token_ids[0]" },
        { "a stop token beyond the vocabulary", Body(Ok, "\"stop_token_ids\":[99999999]"), "stop_token_ids: token 99999999 is outside the vocabulary", null },
        { "n 0", Body(Ok, "\"n\":0"), "Invalid n value, the valid range of n is [1, 16]", null },
        { "n 17", Body(Ok, "\"n\":17"), "Invalid n value, the valid range of n is [1, 16]", null },
        { "n huge", Body(Ok, "\"n\":9223372036854775807"), "Invalid n value", null },
        { "n as text", Body(Ok, "\"n\":\"2\""), "n: must be an integer", "n" },
        { "priority 11", Body(Ok, "\"priority\":11"), "Invalid priority value, the valid range of priority is [-10, 10]", null },
        { "priority as text", Body(Ok, "\"priority\":\"high\""), "priority: must be an integer", "priority" },
        { "user of the wrong type", Body(Ok, "\"user\":5"), "user: must be a string", "user" },
        { "user_id of the wrong type", Body(Ok, "\"user_id\":{}"), "user_id: must be a string", "user_id" },
        { "timeout 0", Body(Ok, "\"timeout\":0"), "Invalid timeout value, the valid range of timeout is [0.001, 86400] seconds", null },
        { "timeout too long", Body(Ok, "\"timeout\":1e9"), "Invalid timeout value", null },
        { "an endless user_id", Body(Ok, $"\"user_id\":\"{new string('u', 513)}\""), "user_id: 513 characters are too many; at most 512 are allowed", null },
        { "1025 biases", Body(Ok, $"\"logit_bias\":{{{string.Join(',', Enumerable.Range(0, 1025).Select(id => $"\"{id}\":1"))}}}"), "logit_bias: 1025 entries are too many; at most 1024 are allowed", null },
        { "65 stop tokens", Body(Ok, $"\"stop_token_ids\":[{string.Join(',', Enumerable.Range(0, 65))}]"), "stop_token_ids: 65 tokens are too many; at most 64 are allowed", null },
    };

    [Theory]
    [MemberData(nameof(Messages))]
    [MemberData(nameof(Fields))]
    [MemberData(nameof(Extensions))]
    public async Task A_bad_body_gets_its_error(string name, string body, string message, string? param)
    {
        JsonElement error = await RefusedAsync(Encoding.UTF8.GetBytes(body), HttpStatusCode.BadRequest);
        Assert.True(error.GetProperty("message").GetString()!.Contains(message, StringComparison.Ordinal), $"{name}: {error}");
        Assert.Equal("invalid_request_error", error.GetProperty("type").GetString());
        Assert.Equal("invalid_request_error", error.GetProperty("code").GetString());
        Assert.Equal(param, error.GetProperty("param").GetString());
    }

    [Theory]
    [InlineData(new byte[] { 0xFF, 0xFE })]
    [InlineData(new byte[] { 0xC0, 0x80 })]
    [InlineData(new byte[] { 0xED, 0xA0, 0x80 })]
    [InlineData(new byte[] { 0xE2, 0x82 })]
    public async Task Text_that_is_not_UTF_8_is_refused(byte[] text)
    {
        byte[] body = [.. """{"model":"deepseek-chat","messages":[{"role":"user","content":"x"""u8, .. text, .. "\"}]}"u8];
        Assert.Contains("UTF-8", (await RefusedAsync(body, HttpStatusCode.BadRequest)).GetProperty("message").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_great_many_messages_are_too_long_and_nothing_worse()
    {
        string body = Body(string.Join(',', Enumerable.Repeat(Ok, 100_000)));
        Assert.Contains("maximum context length", (await RefusedAsync(Encoding.UTF8.GetBytes(body), HttpStatusCode.BadRequest)).GetProperty("message").GetString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Content-Length: 104857600")]
    [InlineData("Transfer-Encoding: chunked")]
    public async Task A_body_of_100_megabytes_is_refused(string header)
    {
        using TcpClient client = await ConnectAsync();
        NetworkStream stream = client.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes($"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{header}\r\n\r\n"));
        bool chunked = header.Contains("chunked", StringComparison.Ordinal);
        Task sending = SendMegabytesAsync(stream, 100, chunked);
        string answer = await ReadAnswerAsync(stream);
        Assert.StartsWith("HTTP/1.1 413 ", answer, StringComparison.Ordinal);
        Assert.Contains("\"message\":\"the request body is too large", answer, StringComparison.Ordinal);
        client.Close();
        await sending;
        await AssertServesAsync();
    }

    [Theory]
    [InlineData("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{\"model\":")]
    [InlineData("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")]
    [InlineData("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n")]
    [InlineData("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nBad Header\u0001: 1\r\n\r\n")]
    [InlineData("\u0000\u0001\u0002garbage\r\n\r\n")]
    [InlineData("GET / HTTP/9.9\r\n\r\n")]
    public async Task Garbage_on_the_wire_ends_its_connection_only(string sent)
    {
        using TcpClient client = await ConnectAsync();
        NetworkStream stream = client.GetStream();
        await stream.WriteAsync(Encoding.Latin1.GetBytes(sent));
        client.Client.Shutdown(SocketShutdown.Send);
        string answer = await ReadAnswerAsync(stream);
        Assert.True(answer.Length == 0 || answer.StartsWith("HTTP/1.1 4", StringComparison.Ordinal) || answer.StartsWith("HTTP/1.1 505", StringComparison.Ordinal), answer);
        await AssertServesAsync();
    }

    [Fact]
    public async Task Very_large_headers_are_refused()
    {
        using TcpClient client = await ConnectAsync();
        NetworkStream stream = client.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes($"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Long: {new string('a', 100_000)}\r\n\r\n"));
        Assert.StartsWith("HTTP/1.1 431 ", await ReadAnswerAsync(stream), StringComparison.Ordinal);
        await AssertServesAsync();
    }

    private static string Body(string messages, string? more = null) =>
        $$"""{"model":"deepseek-chat","messages":[{{messages}}]{{(more is null ? "" : "," + more)}}}""";

    private async Task<JsonElement> RefusedAsync(byte[] body, HttpStatusCode status)
    {
        using HttpResponseMessage response = await _server.PostAsync(body);
        string text = await response.Content.ReadAsStringAsync();
        Assert.True(response.StatusCode == status, $"{response.StatusCode}: {text}");
        Assert.Equal("application/json", response.Content.Headers.ContentType!.MediaType);
        await AssertServesAsync();
        return JsonSerializer.Deserialize<JsonElement>(text).GetProperty("error");
    }

    private async Task AssertServesAsync()
    {
        await _server.AssertIdleAsync();
        Assert.Empty(_server.Errors);
        using HttpResponseMessage models = await _server.Client.GetAsync("v1/models");
        Assert.Equal(HttpStatusCode.OK, models.StatusCode);
    }

    private async Task<TcpClient> ConnectAsync()
    {
        var client = new TcpClient();
        await client.ConnectAsync(_server.Options.Listen);
        return client;
    }

    private static async Task SendMegabytesAsync(NetworkStream stream, int count, bool chunked)
    {
        byte[] megabyte = new byte[1 << 20];
        Array.Fill(megabyte, (byte)'x');
        try
        {
            for (int i = 0; i < count; i++)
            {
                if (chunked) await stream.WriteAsync("100000\r\n"u8.ToArray());
                await stream.WriteAsync(megabyte);
                if (chunked) await stream.WriteAsync("\r\n"u8.ToArray());
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            // The server has answered and reads no more.
        }
    }

    private static async Task<string> ReadAnswerAsync(NetworkStream stream)
    {
        using var limit = new CancellationTokenSource(TestServer.Patience);
        var answer = new StringBuilder();
        byte[] buffer = new byte[4096];
        try
        {
            for (int read; (read = await stream.ReadAsync(buffer, limit.Token)) > 0;)
            {
                answer.Append(Encoding.UTF8.GetString(buffer, 0, read));
                // A connection that stays open has sent its answer when the error's body is there.
                if (answer.ToString().Contains("\"}}", StringComparison.Ordinal)) break;
            }
        }
        catch (IOException)
        {
            // A connection that was reset: what came before counts.
        }

        return answer.ToString();
    }
}
