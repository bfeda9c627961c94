using System.ClientModel;
using System.ClientModel.Primitives;
using System.Text.Json;
using System.Text.RegularExpressions;
using Conclave.Gateway.Tests.Support;
using Conclave.V1;
using OpenAI;
using OpenAI.Chat;
using ChatMessage = OpenAI.Chat.ChatMessage;

namespace Conclave.Gateway.Tests;

/// <summary>The official .NET client, and gRPC, ask the demo model for outputs of a given form, at a temperature at which it would talk nonsense.</summary>
[Collection(nameof(DemoServer))]
public sealed class OutputGrammarTests(DemoServer fixture)
{
    private const string Schema = """{"type":"object","properties":{"city":{"type":"string","maxLength":20},"degrees":{"type":"integer","minimum":-50,"maximum":50},"sky":{"enum":["clear","cloudy"]}},"required":["city","degrees","sky"],"additionalProperties":false}""";

    private static readonly ChatMessage[] Messages = [new UserChatMessage("What's the weather in Paris? Answer in json.")];

    private readonly TestServer _server = fixture.Server;

    [Theory]
    [InlineData("deepseek-chat", 1)]
    [InlineData("deepseek-chat", 2)]
    [InlineData("deepseek-reasoner", 3)]
    public async Task A_schema_is_kept(string model, long seed)
    {
        ChatCompletion answer = await Client(model).CompleteChatAsync(Messages, Options(seed, ChatResponseFormat.CreateJsonSchemaFormat("weather", BinaryData.FromString(Schema), null, true)));
        if (answer.FinishReason == ChatFinishReason.Length) return;
        Assert.Equal(ChatFinishReason.Stop, answer.FinishReason);
        AssertWeather(answer.Content[0].Text);
    }

    [Fact]
    public async Task JSON_mode_gives_an_object()
    {
        ChatCompletion answer = await Client("deepseek-chat").CompleteChatAsync(Messages, new ChatCompletionOptions { Temperature = 0, MaxOutputTokenCount = 400, ResponseFormat = ChatResponseFormat.CreateJsonObjectFormat() });
        if (answer.FinishReason == ChatFinishReason.Stop) Assert.Equal(JsonValueKind.Object, JsonSerializer.Deserialize<JsonElement>(answer.Content[0].Text).ValueKind);
        else Assert.StartsWith("{", answer.Content[0].Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("deepseek-chat", true, 4)]
    [InlineData("deepseek-chat", false, 5)]
    public async Task Tools_are_called_where_they_must_be(string model, bool isNamed, long seed)
    {
        ChatCompletionOptions options = Options(seed, null);
        options.Tools.Add(ChatTool.CreateFunctionTool("report_weather", "Report the weather", BinaryData.FromString(Schema)));
        options.ToolChoice = isNamed ? ChatToolChoice.CreateFunctionChoice("report_weather") : ChatToolChoice.CreateRequiredChoice();
        options.AllowParallelToolCalls = false;
        ChatCompletion answer = await Client(model).CompleteChatAsync([new UserChatMessage("Hello!")], options);
        Assert.Equal(ChatFinishReason.ToolCalls, answer.FinishReason);
        ChatToolCall call = Assert.Single(answer.ToolCalls);
        Assert.Equal("report_weather", call.FunctionName);
        AssertWeather(call.FunctionArguments.ToString());
    }

    [Theory]
    [InlineData("\"guided_regex\":\"\\\\d{3}-[a-f]{2}\"", @"\A\d{3}-[a-f]{2}\z")]
    [InlineData("\"guided_choice\":[\"yes\",\"no\",\"say \\\"what\\\"\"]", "\\A(yes|no|say \"what\")\\z")]
    [InlineData("\"guided_grammar\":\"root ::= [a-c]{4} \\\"!\\\"\"", @"\A[a-c]{4}!\z")]
    [InlineData("\"structured_outputs\":{\"json\":{\"type\":\"integer\",\"minimum\":10,\"maximum\":12}}", @"\A1[012]\z")]
    public async Task The_extensions_of_vLLM_are_kept(string field, string pattern)
    {
        using var body = BinaryContent.Create(BinaryData.FromString($$"""{"model":"deepseek-chat","messages":[{"role":"user","content":"Hi"}],"temperature":2,"seed":7,"max_tokens":60,{{field}}}"""));
        JsonElement answer = JsonSerializer.Deserialize<JsonElement>((await Client("deepseek-chat").CompleteChatAsync(body)).GetRawResponse().Content).GetProperty("choices")[0];
        Assert.Matches(new Regex(pattern), answer.GetProperty("message").GetProperty("content").GetString()!);
        Assert.Equal("stop", answer.GetProperty("finish_reason").GetString());
    }

    [Fact]
    public async Task GRPC_constrains_text_and_calls()
    {
        using var probe = new GrpcProbe(_server);
        var generate = new GenerateRequest { Text = "Once", OutputGrammar = new OutputGrammar { Regex = "[xyz]{5}" }, Sampling = new Sampling { MaxTokens = 30, Temperature = 2, Seed = 3 } };
        using GrpcProbeCall raw = await probe.OpenAsync("Generate", generate);
        Assert.Matches(@"\A[xyz]{5}\z", string.Concat((await raw.ReadAllAsync(GenerateChunk.Parser)).Select(chunk => chunk.Text)));

        var chat = new ChatRequest { ToolChoice = "required", Sampling = new Sampling { MaxTokens = 400, Temperature = 1, Seed = 3 } };
        chat.Messages.Add(new V1.ChatMessage { Role = "user", Content = "Hello!" });
        chat.Tools.Add(new Tool { Name = "report_weather", Parameters = Schema });
        using GrpcProbeCall call = await probe.OpenAsync("Chat", chat);
        List<ChatChunk> chunks = await call.ReadAllAsync(ChatChunk.Parser);
        Assert.All(chunks.SelectMany(chunk => chunk.ToolCalls), one => AssertWeather(one.Arguments));
        Assert.NotEmpty(chunks.SelectMany(chunk => chunk.ToolCalls));
    }

    private static void AssertWeather(string json)
    {
        JsonElement weather = JsonSerializer.Deserialize<JsonElement>(json);
        Assert.Equal(["city", "degrees", "sky"], weather.EnumerateObject().Select(member => member.Name));
        Assert.True(weather.GetProperty("city").GetString()!.Length <= 40);
        Assert.InRange(weather.GetProperty("degrees").GetInt32(), -50, 50);
        Assert.Contains(weather.GetProperty("sky").GetString(), new[] { "clear", "cloudy" });
    }

    private static ChatCompletionOptions Options(long seed, ChatResponseFormat? format) => new()
    {
        Temperature = 2,
        MaxOutputTokenCount = 400,
        ResponseFormat = format,
#pragma warning disable OPENAI001 // The client's seed is marked as subject to change.
        Seed = seed,
#pragma warning restore OPENAI001
    };

    private ChatClient Client(string model) => new(model, new ApiKeyCredential("unused"), new OpenAIClientOptions
    {
        Endpoint = new Uri($"http://{_server.Options.Listen}/v1"),
        RetryPolicy = new ClientRetryPolicy(maxRetries: 0),
        NetworkTimeout = TestServer.Patience,
    });
}
