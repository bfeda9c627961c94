using System.Text.Json;
using Conclave.Engine;
using Conclave.Gateway.Completions;
using Conclave.Model.Chat;
using Conclave.V1;
using Grpc.Core;
using Chat = Conclave.Model.Chat;
using FinishReason = Conclave.V1.FinishReason;

namespace Conclave.Gateway.Grpc;

/// <summary><c>conclave.v1.Inference</c>.</summary>
internal sealed class InferenceService(ServedModel served, CompletionBuilder builder, CompletionRunner runner) : Inference.InferenceBase
{
    public override async Task Chat(V1.ChatRequest request, IServerStreamWriter<ChatChunk> responseStream, ServerCallContext context)
    {
        string model = RequireModel(request.Model);
        CompletionRequest completion = builder.Chat(Conversation(request, model), SamplingMessages.Wishes(request.Sampling), OutputMessages.Read(request)) with { Service = SamplingMessages.Terms(request.Service, context) };
        var usage = new UsageTally(SamplingMessages.ChoiceCount(request.N));
        await foreach ((int index, CompletionEvent happened) in Choices.Run(runner, completion, usage.ChoiceCount, context.CancellationToken))
            if (Chunk(index, happened, usage) is { } chunk) await responseStream.WriteAsync(chunk, context.CancellationToken);
    }

    public override async Task Generate(GenerateRequest request, IServerStreamWriter<GenerateChunk> responseStream, ServerCallContext context)
    {
        RequireModel(request.Model);
        SamplingWishes wishes = SamplingMessages.Wishes(request.Sampling);
        if (request.IgnoreEos) wishes = wishes with { IgnoreEos = true };
        CompletionRequest completion = request.PromptCase switch
        {
            GenerateRequest.PromptOneofCase.Text => builder.Raw(request.Text, wishes),
            GenerateRequest.PromptOneofCase.Tokens => builder.Raw([.. request.Tokens.Ids], wishes),
            _ => throw new OperatingException(OperatingError.InvalidRequest, "prompt: give either text or tokens"),
        };
        completion = completion with { Service = SamplingMessages.Terms(request.Service, context), Grammar = OutputMessages.Read(request.OutputGrammar) };
        var usage = new UsageTally(SamplingMessages.ChoiceCount(request.N));
        await foreach ((int index, CompletionEvent happened) in Choices.Run(runner, completion, usage.ChoiceCount, context.CancellationToken))
            if (RawChunk(index, happened, usage) is { } chunk) await responseStream.WriteAsync(chunk, context.CancellationToken);
    }

    public override Task<TokenizeResponse> Tokenize(TokenizeRequest request, ServerCallContext context)
    {
        RequireModel(request.Model);
        var response = new TokenizeResponse();
        response.Ids.AddRange(served.Tokenizer.Encode(request.Text));
        return Task.FromResult(response);
    }

    public override Task<ListModelsResponse> ListModels(ListModelsRequest request, ServerCallContext context)
    {
        var response = new ListModelsResponse();
        response.Models.AddRange(served.Ids.Select(id => new ModelInfo { Id = id, ContextLength = served.ContextLength }));
        return Task.FromResult(response);
    }

    private string RequireModel(string model)
    {
        if (model.Length == 0) return ServedModel.ChatAlias;
        return served.Serves(model) ? model : throw new OperatingException(OperatingError.UnknownModel, $"model: '{model}' is not served here; ListModels tells what is");
    }

    private Chat.ChatRequest Conversation(V1.ChatRequest request, string model)
    {
        bool thinking = request.HasThinking ? request.Thinking : served.ThinksByDefault(model);
        return new Chat.ChatRequest
        {
            Messages = [.. request.Messages.Select(Message)],
            Tools = OutputMessages.Offered(request, [.. request.Tools.Select(Tool)]),
            Thinking = thinking && served.Format.SupportsThinking,
            AddGenerationPrompt = request.Messages is not [.., { Prefix: true }],
        };
    }

    private static Chat.ChatMessage Message(V1.ChatMessage message, int index) => new()
    {
        Role = message.Role switch
        {
            "system" => ChatRole.System,
            "user" => ChatRole.User,
            "assistant" => ChatRole.Assistant,
            "tool" => ChatRole.Tool,
            _ => throw new OperatingException(OperatingError.InvalidRequest, $"messages[{index}].role: must be 'system', 'user', 'assistant' or 'tool'"),
        },
        Content = message.HasContent ? message.Content : null,
        ReasoningContent = message.HasReasoningContent ? message.ReasoningContent : null,
        ToolCalls = [.. message.ToolCalls.Select(call => new Chat.ToolCall(call.Id, call.Name, call.Arguments))],
        ToolCallId = message.HasToolCallId ? message.ToolCallId : null,
        Prefix = message.Prefix,
    };

    /// <summary>Goes through the JSON of the HTTP API, since the formats print that.</summary>
    private static ToolDefinition Tool(V1.Tool tool, int index)
    {
        try
        {
            JsonElement? parameters = tool.Parameters.Length == 0 ? null : JsonSerializer.Deserialize<JsonElement>(tool.Parameters);
            object function = parameters is { } schema
                ? new { name = tool.Name, description = tool.Description, parameters = schema }
                : new { name = tool.Name, description = tool.Description };
            return ChatJson.ReadTools(JsonSerializer.SerializeToElement(new[] { new { type = "function", function } }))[0];
        }
        catch (JsonException e)
        {
            throw new OperatingException(OperatingError.InvalidRequest, $"tools[{index}].parameters: is not JSON", e);
        }
    }

    private static ChatChunk? Chunk(int index, CompletionEvent happened, UsageTally usage)
    {
        if (happened is CompletionEvent.Finished finished) return new ChatChunk { Index = index, FinishReason = Reason(finished.End), Usage = Usage(usage.Add(finished.Usage)) };
        if (happened is not CompletionEvent.Progress progress) return null;
        var chunk = new ChatChunk();
        foreach (ChatDelta delta in progress.Deltas)
            if (delta.Kind == ChatDeltaKind.Content) chunk.Content += delta.Text;
            else if (delta.Kind == ChatDeltaKind.Reasoning) chunk.ReasoningContent += delta.Text;
            else chunk.ToolCalls.Add(new V1.ToolCall { Id = ToolCallIds.New(delta.CallIndex), Name = delta.CallName, Arguments = delta.Text });
        chunk.Logprobs.AddRange(SamplingMessages.Logprobs(progress.Logprobs));
        if (chunk.CalculateSize() == 0) return null;
        chunk.Index = index;
        return chunk;
    }

    private static GenerateChunk? RawChunk(int index, CompletionEvent happened, UsageTally usage)
    {
        if (happened is CompletionEvent.Finished finished) return new GenerateChunk { Index = index, FinishReason = Reason(finished.End), Usage = Usage(usage.Add(finished.Usage)) };
        if (happened is not CompletionEvent.Progress progress) return null;
        var chunk = new GenerateChunk { Text = string.Concat(progress.Deltas.Select(delta => delta.Text)) };
        chunk.Ids.AddRange(progress.Ids);
        chunk.Logprobs.AddRange(SamplingMessages.Logprobs(progress.Logprobs));
        if (chunk.CalculateSize() == 0) return null;
        chunk.Index = index;
        return chunk;
    }

    /// <summary>Null while answers are still to come.</summary>
    private static Usage? Usage(CompletionUsage? usage) => usage is null ? null : new Usage
    {
        PromptTokens = usage.PromptTokens,
        CompletionTokens = usage.CompletionTokens,
        CachedTokens = usage.CachedTokens,
        ReasoningTokens = usage.ReasoningTokens,
    };

    private static FinishReason Reason(CompletionEnd end) => end switch
    {
        CompletionEnd.ToolCalls => FinishReason.ToolCalls,
        CompletionEnd.Length => FinishReason.Length,
        _ => FinishReason.Stop,
    };
}
