using System.Security.Cryptography;
using Conclave.Engine;
using Conclave.Model.Chat;

namespace Conclave.Gateway.Completions;

/// <summary>Sampling as a client asks for it: what is null takes the model's default.</summary>
public sealed record SamplingWishes
{
    /// <summary>0 (greedy) to 2.</summary>
    public double? Temperature { get; init; }

    /// <summary>Above 0 to 1.</summary>
    public double? TopP { get; init; }

    /// <summary>-2 to 2.</summary>
    public double? FrequencyPenalty { get; init; }

    /// <summary>-2 to 2.</summary>
    public double? PresencePenalty { get; init; }

    /// <summary>The same seed gives the same tokens; null draws one.</summary>
    public ulong? Seed { get; init; }

    /// <summary>At least 1.</summary>
    public long? MaxTokens { get; init; }

    /// <summary>Up to 16 texts.</summary>
    public IReadOnlyList<string> Stop { get; init; } = [];

    /// <summary>0 to 20; null for no log probabilities.</summary>
    public int? TopLogprobs { get; init; }
}

/// <summary>Turns a client's wishes into a completion: renders, tokenizes, fills in defaults, checks limits. Both protocols go through here.</summary>
public sealed class CompletionBuilder(ServedModel model)
{
    /// <summary>Completion tokens when the client names no limit.</summary>
    public const int DefaultMaxTokens = 4096;

    /// <summary>The same when the model thinks, since reasoning counts.</summary>
    public const int DefaultThinkingMaxTokens = 32768;

    /// <summary>Most stop texts.</summary>
    public const int MaxStops = 16;

    /// <summary>Most characters of a stop text.</summary>
    public const int MaxStopLength = 4096;

    /// <summary>Most tools.</summary>
    public const int MaxTools = 128;

    /// <summary>One chat turn.</summary>
    /// <exception cref="ChatFormatException">The messages do not make a conversation.</exception>
    /// <exception cref="OperatingException">A value is out of range, or the prompt is too long.</exception>
    public CompletionRequest Chat(ChatRequest request, SamplingWishes wishes)
    {
        ChatRules.CheckForApi(request, model.Format.Family);
        CheckTools(request.Tools ?? []);
        RenderedPrompt prompt = model.Format.Render(request);
        var reading = new ChatReading(model.Format, prompt.ThinkingOpen, ToolsOffered: request.Tools is { Count: > 0 });
        return Build(model.Tokenizer.Encode(prompt.Segments), wishes, prompt.ThinkingOpen ? DefaultThinkingMaxTokens : DefaultMaxTokens) with
        {
            StopTokenIds = model.ChatStopTokenIds,
            Chat = reading,
        };
    }

    /// <summary>A raw continuation of text; BOS is put in front if the tokenizer asks for it, markers become tokens.</summary>
    /// <exception cref="OperatingException">A value is out of range, or the prompt is too long.</exception>
    public CompletionRequest Raw(string text, SamplingWishes wishes)
    {
        int[] ids = model.Tokenizer.Encode(text);
        if (model.Tokenizer is { AddBosToken: true, BosTokenId: { } bos } && (ids.Length == 0 || ids[0] != bos)) ids = [bos, .. ids];
        return Build(ids, wishes, DefaultMaxTokens);
    }

    /// <summary>Fills in the middle between <paramref name="prompt"/> and <paramref name="suffix"/>; without a suffix, continues the prompt.</summary>
    /// <exception cref="OperatingException">A value is out of range, or the prompt is too long.</exception>
    public CompletionRequest Fim(string prompt, string? suffix, SamplingWishes wishes) =>
        Build(model.Tokenizer.Encode(model.Format.RenderFim(prompt, suffix).Segments), wishes, DefaultMaxTokens);

    /// <summary>A raw continuation of tokens, taken as they are.</summary>
    /// <exception cref="OperatingException">A value is out of range, or the prompt is empty or too long.</exception>
    public CompletionRequest Raw(int[] ids, SamplingWishes wishes) => Build(ids, wishes, DefaultMaxTokens);

    private CompletionRequest Build(int[] ids, SamplingWishes wishes, int defaultMaxTokens)
    {
        int context = model.ContextLength;
        if (ids.Length == 0) throw Invalid("the prompt is empty; it needs at least one token");
        if (wishes.MaxTokens is { } asked && (asked < 1 || asked > context))
            throw Invalid($"Invalid max_tokens value, the valid range of max_tokens is [1, {context}]");
        long maxTokens = wishes.MaxTokens ?? Math.Min(defaultMaxTokens, Math.Max(1, context - ids.Length));
        GenerationRequest.CheckContext(ids.Length, maxTokens, context);
        if (wishes.Stop.Count > MaxStops) throw Invalid($"stop: {wishes.Stop.Count} texts are too many; at most {MaxStops} are allowed");
        if (wishes.Stop.Any(text => text.Length > MaxStopLength)) throw Invalid($"stop: a text is too long; at most {MaxStopLength} characters are allowed");
        var sampling = new SamplingParameters
        {
            Temperature = (float)(wishes.Temperature ?? (model.Defaults.DoSample == false ? 0 : model.Defaults.Temperature ?? 1)),
            TopP = (float)(wishes.TopP ?? model.Defaults.TopP ?? 1),
            FrequencyPenalty = (float)(wishes.FrequencyPenalty ?? 0),
            PresencePenalty = (float)(wishes.PresencePenalty ?? 0),
            Seed = wishes.Seed ?? BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong))),
            TopLogprobs = wishes.TopLogprobs ?? -1,
        };
        sampling.Validate();
        return new CompletionRequest { PromptIds = ids, MaxTokens = (int)maxTokens, StopTokenIds = model.EosTokenIds, Stop = wishes.Stop, Sampling = sampling };
    }

    private static void CheckTools(IReadOnlyList<ToolDefinition> tools)
    {
        if (tools.Count > MaxTools) throw Invalid($"tools: {tools.Count} are too many; at most {MaxTools} are allowed");
        for (int i = 0; i < tools.Count; i++)
            if (tools[i].Name.Length is 0 or > 64 || !tools[i].Name.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '-'))
                throw new ChatFormatException($"tools[{i}].function.name: must be 1 to 64 letters, digits, '_' or '-'", $"tools[{i}].function.name");
    }

    private static OperatingException Invalid(string message) => new(OperatingError.InvalidRequest, message);
}
