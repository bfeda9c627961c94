using Conclave.Engine;
using Conclave.Gateway.Completions;
using Conclave.Gateway.Http;
using Conclave.V1;
using Grpc.Core;

namespace Conclave.Gateway.Grpc;

/// <summary>The messages about sampling and service, to and from what the gateway knows.</summary>
internal static class SamplingMessages
{
    public static SamplingWishes Wishes(Sampling? sampling) => sampling is null ? new SamplingWishes() : new SamplingWishes
    {
        Temperature = sampling.HasTemperature ? sampling.Temperature : null,
        TopP = sampling.HasTopP ? sampling.TopP : null,
        TopK = sampling.HasTopK ? sampling.TopK : null,
        MinP = sampling.HasMinP ? sampling.MinP : null,
        RepetitionPenalty = sampling.HasRepetitionPenalty ? sampling.RepetitionPenalty : null,
        FrequencyPenalty = sampling.HasFrequencyPenalty ? sampling.FrequencyPenalty : null,
        PresencePenalty = sampling.HasPresencePenalty ? sampling.PresencePenalty : null,
        LogitBias = [.. sampling.LogitBias.Select(bias => new TokenBias(bias.Key, bias.Value))],
        Seed = sampling.HasSeed ? sampling.Seed : null,
        MaxTokens = sampling.HasMaxTokens ? sampling.MaxTokens : null,
        MinTokens = sampling.HasMinTokens ? sampling.MinTokens : null,
        IgnoreEos = sampling.IgnoreEos,
        Stop = sampling.Stop,
        StopTokenIds = sampling.StopTokenIds,
        TopLogprobs = sampling.HasTopLogprobs ? TopLogprobs(sampling.TopLogprobs) : null,
    };

    /// <summary>The call's deadline needs no mention: it cancels the call, and that frees the sequence.</summary>
    public static ServiceTerms Terms(Service? service, ServerCallContext context) => ServiceTerms.Read(
        service?.Priority,
        ApiKey.DigestOf(context.RequestHeaders.GetValue("authorization"), context.RequestHeaders.GetValue("x-api-key")),
        NullIfEmpty(service?.User),
        NullIfEmpty(service?.UserId),
        timeoutSeconds: null);

    public static int ChoiceCount(int n) => n is >= 0 and <= Choices.Max ? Math.Max(1, n) : throw Invalid("n", $"[1, {Choices.Max}]");

    public static IEnumerable<TokenProbability> Logprobs(IReadOnlyList<TokenLogprob>? tokens) => (tokens ?? []).Select(token =>
    {
        var message = new TokenProbability { Id = token.Id, Logprob = token.Logprob };
        message.Top.AddRange(token.Top.Select(other => new TokenProbability { Id = other.Id, Logprob = other.Logprob }));
        return message;
    });

    private static int TopLogprobs(int count) => count is >= 0 and <= 20 ? count : throw Invalid("top_logprobs", "[0, 20]");

    private static string? NullIfEmpty(string? text) => string.IsNullOrEmpty(text) ? null : text;

    private static OperatingException Invalid(string field, string range) =>
        new(OperatingError.InvalidRequest, $"Invalid {field} value, the valid range of {field} is {range}");
}
