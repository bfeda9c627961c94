using System.Globalization;
using System.Text.Json;
using Conclave.Engine;
using Conclave.Gateway.Completions;
using Conclave.Model.Chat;

namespace Conclave.Gateway.Http;

/// <summary>Reads how a completion is sampled and served: OpenAI's fields, and vLLM's names for what OpenAI has not.</summary>
internal static class SamplingFields
{
    /// <summary>Temperature and the like count in thinking mode too: the hosted API ignores them there, here a seed or temperature 0 must give the same tokens.</summary>
    public static SamplingWishes Read(JsonField root, bool thinking)
    {
        bool logprobs = root["logprobs"]?.Bool() ?? false;
        long? top = root["top_logprobs"]?.Integer();
        if (top is < 0 or > 20) throw Invalid($"top_logprobs: {top} is out of range; it must be 0 to 20");
        if (top is not null && !logprobs) throw Invalid("top_logprobs: needs \"logprobs\": true");
        if (thinking && logprobs) throw Invalid("logprobs: is not supported in thinking mode");
        return new SamplingWishes
        {
            Temperature = root["temperature"]?.Number(),
            TopP = root["top_p"]?.Number(),
            TopK = root["top_k"]?.Integer(),
            MinP = root["min_p"]?.Number(),
            RepetitionPenalty = root["repetition_penalty"]?.Number(),
            FrequencyPenalty = root["frequency_penalty"]?.Number(),
            PresencePenalty = root["presence_penalty"]?.Number(),
            LogitBias = ReadBias(root["logit_bias"]),
            Seed = root["seed"]?.Integer() is { } seed ? unchecked((ulong)seed) : null,
            MaxTokens = (root["max_tokens"] ?? root["max_completion_tokens"])?.Integer(),
            MinTokens = root["min_tokens"]?.Integer(),
            IgnoreEos = root["ignore_eos"]?.Bool() ?? false,
            Stop = ReadStop(root["stop"]),
            StopTokenIds = ReadStopTokens(root["stop_token_ids"]),
            TopLogprobs = logprobs ? (int)(top ?? 0) : null,
        };
    }

    /// <summary>For whom the completion is, and how urgently.</summary>
    public static ServiceTerms ReadService(JsonField root, string? key) => ServiceTerms.Read(
        root["priority"]?.Integer(), key, root["user"]?.String(), root["user_id"]?.String(), root["timeout"]?.Number());

    /// <summary><c>n</c>.</summary>
    public static int ReadChoices(JsonField root)
    {
        long count = root["n"]?.Integer() ?? 1;
        return count is >= 1 and <= Choices.Max ? (int)count : throw Invalid($"Invalid n value, the valid range of n is [1, {Choices.Max}]");
    }

    private static IReadOnlyList<TokenBias> ReadBias(JsonField? field)
    {
        if (field?.RequireObject() is not { } biases) return [];
        int count = biases.Value.GetPropertyCount();
        if (count > SamplingParameters.MaxLogitBiases) throw Invalid($"logit_bias: {count} entries are too many; at most {SamplingParameters.MaxLogitBiases} are allowed");
        return [.. biases.Value.EnumerateObject().Select(entry => new TokenBias(TokenId(entry.Name), (float)new JsonField(entry.Value, $"logit_bias.{entry.Name}").Number()))];
    }

    private static int TokenId(string name) => int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out int id)
        ? id
        : throw Invalid($"logit_bias: the names of its fields must be token ids, not '{(name.Length > 20 ? name[..20] + "..." : name)}'");

    private static IReadOnlyList<int> ReadStopTokens(JsonField? field)
    {
        if (field is not { } list) return [];
        if (list.Value.ValueKind == JsonValueKind.Array && list.Value.GetArrayLength() is var count and > CompletionBuilder.MaxStopTokens)
            throw Invalid($"stop_token_ids: {count} tokens are too many; at most {CompletionBuilder.MaxStopTokens} are allowed");
        return [.. list.Items().Select(item => item.Integer() is >= 0 and <= int.MaxValue and var id ? (int)id : throw item.Error("must be a token id"))];
    }

    private static IReadOnlyList<string> ReadStop(JsonField? stop) => stop switch
    {
        null => [],
        { Value.ValueKind: JsonValueKind.String } one => [one.String()],
        { Value.ValueKind: JsonValueKind.Array } list when list.Value.GetArrayLength() > CompletionBuilder.MaxStops =>
            throw Invalid($"stop: {list.Value.GetArrayLength()} texts are too many; at most {CompletionBuilder.MaxStops} are allowed"),
        { Value.ValueKind: JsonValueKind.Array } list => [.. list.Items().Select(item => item.String())],
        { } other => throw other.Error("must be a string or a list of strings"),
    };

    private static OperatingException Invalid(string message) => new(OperatingError.InvalidRequest, message);
}
