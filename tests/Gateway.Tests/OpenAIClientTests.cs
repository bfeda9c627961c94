using System.ClientModel;
using System.ClientModel.Primitives;
using System.Text.Json;
using Conclave.Gateway.Tests.Support;
using OpenAI;
using OpenAI.Chat;

namespace Conclave.Gateway.Tests;

/// <summary>The official .NET client chats with the demo model.</summary>
[Collection(nameof(DemoServer))]
public sealed class OpenAIClientTests(DemoServer fixture)
{
    private static readonly ChatCompletionOptions Greedy = new() { Temperature = 0, MaxOutputTokenCount = 300 };

    private readonly TestServer _server = fixture.Server;

    [Fact]
    public async Task Chat_whole_and_streamed()
    {
        ChatMessage[] messages = [new SystemChatMessage("You are a friendly assistant."), new UserChatMessage("Who are you?")];
        ChatCompletion whole = await Client("deepseek-chat").CompleteChatAsync(messages, Greedy);
        Assert.Contains("Conclave demo model", whole.Content[0].Text, StringComparison.Ordinal);
        Assert.Equal(ChatFinishReason.Stop, whole.FinishReason);
        Assert.Equal(whole.Usage.InputTokenCount + whole.Usage.OutputTokenCount, whole.Usage.TotalTokenCount);

        string text = "";
        ChatTokenUsage? usage = null;
        await foreach (StreamingChatCompletionUpdate update in Client("deepseek-chat").CompleteChatStreamingAsync(messages, Greedy))
        {
            text += string.Concat(update.ContentUpdate.Select(part => part.Text));
            usage = update.Usage ?? usage;
        }

        Assert.Equal(whole.Content[0].Text, text);
        Assert.Equal(whole.Usage.OutputTokenCount, usage!.OutputTokenCount);
        await _server.AssertIdleAsync();
    }

    [Fact]
    public async Task Thinking()
    {
        ClientResult<ChatCompletion> result = await Client("deepseek-reasoner").CompleteChatAsync([new UserChatMessage("What is 12 + 30?")], Greedy);
        Assert.Contains("42", result.Value.Content[0].Text, StringComparison.Ordinal);
        Assert.True(result.Value.Usage.OutputTokenDetails.ReasoningTokenCount > 0);
        // The client knows no field for it, but hands out what came.
        JsonElement message = JsonSerializer.Deserialize<JsonElement>(result.GetRawResponse().Content).GetProperty("choices")[0].GetProperty("message");
        Assert.NotEqual("", message.GetProperty("reasoning_content").GetString());
        Assert.DoesNotContain("</think>", result.Value.Content[0].Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_tool_call_and_the_answer_from_its_result()
    {
        var options = new ChatCompletionOptions
        {
            Temperature = 0,
            MaxOutputTokenCount = 300,
            Tools =
            {
                ChatTool.CreateFunctionTool("get_weather", "Get the weather of a city", BinaryData.FromString(
                    """{"type":"object","properties":{"city":{"type":"string","description":"City name"}},"required":["city"]}""")),
            },
        };
        List<ChatMessage> messages = [new UserChatMessage("What's the weather in Paris?")];
        ChatCompletion asked = await Client("deepseek-chat").CompleteChatAsync(messages, options);
        Assert.Equal(ChatFinishReason.ToolCalls, asked.FinishReason);
        ChatToolCall call = Assert.Single(asked.ToolCalls);
        Assert.Equal("get_weather", call.FunctionName);
        Assert.Equal("Paris", JsonSerializer.Deserialize<JsonElement>(call.FunctionArguments).GetProperty("city").GetString());

        messages.AddRange([new AssistantChatMessage(asked), new ToolChatMessage(call.Id, "{\"temperature\": 21, \"condition\": \"sunny\"}")]);
        ChatCompletion answered = await Client("deepseek-chat").CompleteChatAsync(messages, options);
        Assert.Contains("21", answered.Content[0].Text, StringComparison.Ordinal);
        Assert.Equal(ChatFinishReason.Stop, answered.FinishReason);
    }

    /// <summary>Several choices, which the client's types cannot ask for, go out by its protocol method.</summary>
    [Fact]
    public async Task Choices_stop_texts_biases_and_seeds()
    {
        ChatMessage[] messages = [new UserChatMessage("Who are you?")];
#pragma warning disable OPENAI001 // The client's seed is marked as subject to change.
        var sampled = new ChatCompletionOptions { Temperature = 1.5f, TopP = 0.9f, Seed = 11, MaxOutputTokenCount = 40, EndUserId = "tests" };
#pragma warning restore OPENAI001
        ChatCompletion first = await Client("deepseek-chat").CompleteChatAsync(messages, sampled);
        ChatCompletion again = await Client("deepseek-chat").CompleteChatAsync(messages, sampled);
        Assert.Equal(first.Content[0].Text, again.Content[0].Text);

        using var body = BinaryContent.Create(BinaryData.FromString(
            """{"model":"deepseek-chat","messages":[{"role":"user","content":"Who are you?"}],"temperature":1.5,"top_p":0.9,"seed":10,"n":2,"max_tokens":40}"""));
        JsonElement choices = JsonSerializer.Deserialize<JsonElement>((await Client("deepseek-chat").CompleteChatAsync(body)).GetRawResponse().Content).GetProperty("choices");
        Assert.Equal(2, choices.GetArrayLength());
        Assert.Equal(first.Content[0].Text, choices[1].GetProperty("message").GetProperty("content").GetString());

        ChatCompletion whole = await Client("deepseek-chat").CompleteChatAsync(messages, Greedy);
        ChatCompletion stopped = await Client("deepseek-chat").CompleteChatAsync(messages, new ChatCompletionOptions { Temperature = 0, MaxOutputTokenCount = 300, StopSequences = { "demo model" } });
        Assert.Equal(whole.Content[0].Text[..whole.Content[0].Text.IndexOf("demo model", StringComparison.Ordinal)], stopped.Content[0].Text);
        Assert.Equal(ChatFinishReason.Stop, stopped.FinishReason);

        int capital = Assert.Single(_server.Encode("I"));
        var biased = new ChatCompletionOptions { Temperature = 0, MaxOutputTokenCount = 30, LogitBiases = { [capital] = -100 } };
        ChatCompletion other = await Client("deepseek-chat").CompleteChatAsync(messages, biased);
        Assert.False(other.Content[0].Text.StartsWith('I'), other.Content[0].Text);
        await _server.AssertIdleAsync();
    }

    [Fact]
    public async Task An_error_is_told()
    {
        ClientResultException error = await Assert.ThrowsAsync<ClientResultException>(() => Client("nobody").CompleteChatAsync([new UserChatMessage("x")]));
        Assert.Equal(400, error.Status);
        Assert.Contains("Model Not Exist", error.Message, StringComparison.Ordinal);
    }

    private ChatClient Client(string model) => new(model, new ApiKeyCredential("unused"), new OpenAIClientOptions
    {
        Endpoint = new Uri($"http://{_server.Options.Listen}/v1"),
        RetryPolicy = new ClientRetryPolicy(maxRetries: 0),
        NetworkTimeout = TestServer.Patience,
    });
}
