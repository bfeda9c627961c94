using System.Globalization;
using System.Text.Json.Nodes;
using Conclave.Gateway.Completions;

namespace Conclave.Cli.Chat;

/// <summary>Sampling as fields of a request.</summary>
internal static class SamplingJson
{
    /// <summary>Adds what is not left to the server.</summary>
    public static void WriteTo(this SamplingWishes sampling, JsonObject body)
    {
        Put("temperature", sampling.Temperature);
        Put("top_p", sampling.TopP);
        Put("top_k", sampling.TopK);
        Put("min_p", sampling.MinP);
        Put("repetition_penalty", sampling.RepetitionPenalty);
        Put("frequency_penalty", sampling.FrequencyPenalty);
        Put("presence_penalty", sampling.PresencePenalty);
        Put("max_tokens", sampling.MaxTokens);
        Put("min_tokens", sampling.MinTokens);
        Put("seed", unchecked((long?)sampling.Seed));
        if (sampling.IgnoreEos) body["ignore_eos"] = true;
        if (sampling.Stop.Count > 0) body["stop"] = new JsonArray([.. sampling.Stop.Select(text => JsonValue.Create(text))]);
        if (sampling.StopTokenIds.Count > 0) body["stop_token_ids"] = new JsonArray([.. sampling.StopTokenIds.Select(id => JsonValue.Create(id))]);
        if (sampling.LogitBias.Count > 0)
            body["logit_bias"] = new JsonObject(sampling.LogitBias.Select(bias => KeyValuePair.Create(bias.TokenId.ToString(CultureInfo.InvariantCulture), (JsonNode?)bias.Bias)));

        void Put<T>(string name, T? value)
            where T : struct
        {
            if (value is { } given) body[name] = JsonValue.Create(given);
        }
    }
}
