using System.Text.Json;
using Conclave.Gateway.Tests.Support;

namespace Conclave.Gateway.Tests;

/// <summary>Clients that we did not write chat with the demo model: plain, streamed, thinking and with a tool.</summary>
[Collection(nameof(DemoServer))]
public sealed class ForeignClientTests(DemoServer fixture)
{
    private const string Greedy = "\"temperature\":0,\"max_tokens\":300";
    private const string Weather = """{"type":"function","function":{"name":"get_weather","description":"Get the weather of a city","parameters":{"type":"object","properties":{"city":{"type":"string","description":"City name"}},"required":["city"]}}}""";

    private readonly TestServer _server = fixture.Server;

    [Fact]
    public async Task The_openai_client_of_npm()
    {
        await ClientProcess.RunNodeAsync("openai.mjs", $"http://{_server.Options.Listen}/v1");
        await _server.AssertIdleAsync();
    }

    [Fact]
    public async Task The_grpc_client_of_npm()
    {
        await ClientProcess.RunNodeAsync("grpc-chat.mjs", $"{_server.Options.GrpcListen}", Repository.PathTo("src", "Gateway", "Protos"));
        await _server.AssertIdleAsync();
    }

    [Fact]
    public async Task Curl_streams_a_chat()
    {
        StreamedAnswer answer = await CurlAsync($$"""{"model":"deepseek-chat","messages":[{"role":"user","content":"Who are you?"}],{{Greedy}},"stream":true}""");
        Assert.Contains("Conclave demo model", answer.Content, StringComparison.Ordinal);
        Assert.Equal("", answer.Reasoning);
        Assert.Equal("stop", answer.FinishReason);
        int pieces = answer.Choices.Count(choice => choice.GetProperty("delta").TryGetProperty("content", out JsonElement piece) && piece.GetString() is { Length: > 0 });
        Assert.InRange(pieces, 2, 400);
    }

    [Fact]
    public async Task Curl_streams_a_chat_with_thinking()
    {
        StreamedAnswer answer = await CurlAsync($$"""{"model":"deepseek-reasoner","messages":[{"role":"user","content":"What is 12 + 30?"}],{{Greedy}},"stream":true}""");
        Assert.NotEqual("", answer.Reasoning);
        Assert.Contains("42", answer.Content, StringComparison.Ordinal);
        Assert.DoesNotContain("think>", answer.Content + answer.Reasoning, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Curl_streams_a_tool_call_and_the_answer_from_its_result()
    {
        const string question = """{"role":"user","content":"What's the weather in Paris?"}""";
        StreamedAnswer asked = await CurlAsync($$"""{"model":"deepseek-chat","messages":[{{question}}],"tools":[{{Weather}}],{{Greedy}},"stream":true}""");
        Assert.Equal("tool_calls", asked.FinishReason);
        JsonElement call = Assert.Single(asked.ToolCalls);
        JsonElement function = call.GetProperty("function");
        Assert.Equal("get_weather", function.GetProperty("name").GetString());
        Assert.Equal("Paris", JsonSerializer.Deserialize<JsonElement>(function.GetProperty("arguments").GetString()!).GetProperty("city").GetString());
        string told = $$"""{"role":"assistant","content":null,"tool_calls":[{{call.GetRawText()}}]},{"role":"tool","tool_call_id":"{{call.GetProperty("id").GetString()}}","content":"{\"temperature\": 21, \"condition\": \"sunny\"}"}""";
        StreamedAnswer answered = await CurlAsync($$"""{"model":"deepseek-chat","messages":[{{question}},{{told}}],"tools":[{{Weather}}],{{Greedy}},"stream":true}""");
        Assert.Contains("21", answered.Content, StringComparison.Ordinal);
        Assert.Equal("stop", answered.FinishReason);
    }

    [Fact]
    public async Task Curl_over_TLS()
    {
        (int exitCode, string output) = await ClientProcess.RunAsync(
            "curl", "-sS", "--fail-with-body", "--http2", "--cacert", _server.Options.TlsCertificatePath!, $"https://{_server.Options.TlsListen}/v1/models");
        Assert.True(exitCode == 0, output);
        Assert.Contains("deepseek-reasoner", output, StringComparison.Ordinal);
    }

    private async Task<StreamedAnswer> CurlAsync(string body)
    {
        (int exitCode, string output) = await ClientProcess.RunAsync(
            "curl", "-sS", "-N", "--fail-with-body", $"http://{_server.Options.Listen}/v1/chat/completions", "-H", "Content-Type: application/json", "-d", body);
        Assert.True(exitCode == 0, output);
        return StreamedAnswer.Parse(output);
    }
}
