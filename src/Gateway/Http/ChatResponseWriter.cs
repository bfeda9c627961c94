using System.Text;
using System.Text.Json;
using Conclave.Gateway.Completions;
using Conclave.Model.Chat;

namespace Conclave.Gateway.Http;

/// <summary>Writes the JSON of one chat answer, whole or in chunks: same id, creation time and model throughout.</summary>
/// <param name="served">The model that answers.</param>
/// <param name="request">What was asked for.</param>
/// <param name="thinking">The answer begins with reasoning; otherwise nothing of it is mentioned.</param>
/// <param name="now">Time of creation.</param>
internal sealed class ChatResponseWriter(ServedModel served, ChatCompletionRequest request, bool thinking, DateTimeOffset now)
{
    private readonly string _id = Guid.NewGuid().ToString();

    /// <summary>Identifies the model and the format, as <c>system_fingerprint</c>.</summary>
    private string Fingerprint => $"fp_{served.Name}_{ChatVariants.NameOf(served.Format.Variant)}";

    /// <summary>The first chunk: the role, and which text comes first.</summary>
    public void WriteFirst(Utf8JsonWriter json, int index) => WriteChunk(json, index, delta =>
    {
        delta.WriteString("role", "assistant");
        if (thinking) WriteText(delta, ChatDeltaKind.Reasoning, "");
        else delta.WriteString("content", "");
    });

    /// <summary>One delta of choice <paramref name="index"/>; <paramref name="tokens"/> are those that made it complete.</summary>
    public void WriteDelta(Utf8JsonWriter json, int index, ChatDelta delta, IReadOnlyList<TokenLogprob>? tokens) => WriteChunk(json, index, body =>
    {
        if (delta.Kind != ChatDeltaKind.ToolCall) WriteText(body, delta.Kind, delta.Text);
        else WriteCalls(body, [delta]);
    }, tokens);

    /// <summary>The chunk that ends choice <paramref name="index"/>, with the usage of the whole request if it is given.</summary>
    public void WriteEnd(Utf8JsonWriter json, int index, CompletionEnd end, CompletionUsage? usage) =>
        WriteChunk(json, index, delta => WriteText(delta, ChatDeltaKind.Content, ""), end: end, usage: usage);

    /// <summary>The extra chunk with the usage of the whole request.</summary>
    public void WriteUsageChunk(Utf8JsonWriter json, CompletionUsage usage)
    {
        WriteHead(json, "chat.completion.chunk");
        json.WriteStartArray("choices");
        json.WriteEndArray();
        WriteUsage(json, usage);
        json.WriteEndObject();
    }

    /// <summary>The whole answer.</summary>
    public void WriteWhole(Utf8JsonWriter json, IReadOnlyList<ChatChoice> choices)
    {
        WriteHead(json, "chat.completion");
        json.WriteStartArray("choices");
        var tally = new UsageTally(choices.Count);
        CompletionUsage? total = null;
        for (int index = 0; index < choices.Count; index++)
        {
            WriteChoice(json, index, choices[index]);
            total = tally.Add(choices[index].Finished!.Usage);
        }

        json.WriteEndArray();
        WriteUsage(json, total!);
        json.WriteEndObject();
    }

    private void WriteChoice(Utf8JsonWriter json, int index, ChatChoice choice)
    {
        json.WriteStartObject();
        json.WriteNumber("index", index);
        json.WriteStartObject("message");
        json.WriteString("role", "assistant");
        json.WriteString("content", Join(choice.Deltas, ChatDeltaKind.Content));
        if (thinking) json.WriteString("reasoning_content", Join(choice.Deltas, ChatDeltaKind.Reasoning));
        ChatDelta[] calls = [.. choice.Deltas.Where(d => d.Kind == ChatDeltaKind.ToolCall)];
        if (calls.Length > 0) WriteCalls(json, calls);
        json.WriteEndObject();
        WriteLogprobs(json, request.Sampling.TopLogprobs is null ? null : choice.Tokens);
        json.WriteString("finish_reason", Name(choice.Finished!.End));
        json.WriteEndObject();
    }

    private void WriteChunk(
        Utf8JsonWriter json, int index, Action<Utf8JsonWriter> writeDelta, IReadOnlyList<TokenLogprob>? tokens = null, CompletionEnd? end = null, CompletionUsage? usage = null)
    {
        WriteHead(json, "chat.completion.chunk");
        json.WriteStartArray("choices");
        json.WriteStartObject();
        json.WriteNumber("index", index);
        json.WriteStartObject("delta");
        writeDelta(json);
        json.WriteEndObject();
        WriteLogprobs(json, tokens);
        json.WriteString("finish_reason", end is { } reason ? Name(reason) : null);
        json.WriteEndObject();
        json.WriteEndArray();
        if (request.IncludeUsage) json.WriteNull("usage");
        else if (usage is not null) WriteUsage(json, usage);
        json.WriteEndObject();
    }

    private void WriteHead(Utf8JsonWriter json, string kind)
    {
        json.WriteStartObject();
        json.WriteString("id", _id);
        json.WriteString("object", kind);
        json.WriteNumber("created", now.ToUnixTimeSeconds());
        json.WriteString("model", request.Model);
        json.WriteString("system_fingerprint", Fingerprint);
    }

    private void WriteText(Utf8JsonWriter json, ChatDeltaKind kind, string text)
    {
        bool reasoning = kind == ChatDeltaKind.Reasoning;
        if (reasoning) json.WriteNull("content");
        else json.WriteString("content", text);
        if (reasoning) json.WriteString("reasoning_content", text);
        else if (thinking) json.WriteNull("reasoning_content");
    }

    private void WriteCalls(Utf8JsonWriter json, IReadOnlyList<ChatDelta> calls)
    {
        json.WriteStartArray("tool_calls");
        foreach (ChatDelta call in calls)
        {
            json.WriteStartObject();
            json.WriteNumber("index", call.CallIndex);
            json.WriteString("id", ToolCallIds.New(call.CallIndex));
            json.WriteString("type", "function");
            json.WriteStartObject("function");
            json.WriteString("name", call.CallName);
            json.WriteString("arguments", call.Text);
            json.WriteEndObject();
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private void WriteLogprobs(Utf8JsonWriter json, IReadOnlyList<TokenLogprob>? tokens)
    {
        if (tokens is null)
        {
            json.WriteNull("logprobs");
            return;
        }

        json.WriteStartObject("logprobs");
        json.WriteStartArray("content");
        foreach (TokenLogprob token in tokens)
        {
            json.WriteStartObject();
            WriteToken(json, token.Id, token.Logprob);
            json.WriteStartArray("top_logprobs");
            foreach ((int id, float logprob) in token.Top)
            {
                json.WriteStartObject();
                WriteToken(json, id, logprob);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private void WriteToken(Utf8JsonWriter json, int id, float logprob)
    {
        ReadOnlySpan<byte> bytes = served.Tokenizer.HasToken(id) ? served.Tokenizer.TokenBytes(id) : [];
        json.WriteString("token", Encoding.UTF8.GetString(bytes));
        json.WriteNumber("logprob", logprob);
        json.WriteStartArray("bytes");
        foreach (byte b in bytes) json.WriteNumberValue(b);
        json.WriteEndArray();
    }

    private void WriteUsage(Utf8JsonWriter json, CompletionUsage usage)
    {
        json.WriteStartObject("usage");
        json.WriteNumber("prompt_tokens", usage.PromptTokens);
        json.WriteNumber("completion_tokens", usage.CompletionTokens);
        json.WriteNumber("total_tokens", usage.PromptTokens + usage.CompletionTokens);
        json.WriteStartObject("prompt_tokens_details");
        json.WriteNumber("cached_tokens", usage.CachedTokens);
        json.WriteEndObject();
        if (thinking)
        {
            json.WriteStartObject("completion_tokens_details");
            json.WriteNumber("reasoning_tokens", usage.ReasoningTokens);
            json.WriteEndObject();
        }

        json.WriteNumber("prompt_cache_hit_tokens", usage.CachedTokens);
        json.WriteNumber("prompt_cache_miss_tokens", usage.PromptTokens - usage.CachedTokens);
        json.WriteEndObject();
    }

    private static string Join(IReadOnlyList<ChatDelta> deltas, ChatDeltaKind kind) => string.Concat(deltas.Where(d => d.Kind == kind).Select(d => d.Text));

    private static string Name(CompletionEnd end) => end switch
    {
        CompletionEnd.ToolCalls => "tool_calls",
        CompletionEnd.Length => "length",
        _ => "stop",
    };
}
