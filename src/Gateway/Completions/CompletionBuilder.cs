using System.Security.Cryptography;
using Conclave.Engine;
using Conclave.Model.Chat;

namespace Conclave.Gateway.Completions;

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

    /// <summary>Most stop tokens beside the model's own.</summary>
    public const int MaxStopTokens = 64;

    /// <summary>Most tools.</summary>
    public const int MaxTools = 128;

    /// <summary>One chat turn.</summary>
    /// <exception cref="ChatFormatException">The messages do not make a conversation.</exception>
    /// <exception cref="OperatingException">A value is out of range, or the prompt is too long.</exception>
    public CompletionRequest Chat(ChatRequest request, SamplingWishes wishes, OutputWishes? output = null)
    {
        ChatRules.CheckForApi(request, model.Format.Family);
        CheckTools(request.Tools ?? []);
        RenderedPrompt prompt = model.Format.Render(request);
        var reading = new ChatReading(model.Format, prompt.ThinkingOpen, ToolsOffered: request.Tools is { Count: > 0 });
        int defaultMaxTokens = prompt.ThinkingOpen ? DefaultThinkingMaxTokens : DefaultMaxTokens;
        return Build(model.Tokenizer.Encode(prompt.Segments), wishes, defaultMaxTokens, model.ChatStopTokenIds) with
        {
            Chat = reading,
            Grammar = (output ?? new OutputWishes()).ForTurn(request.Tools ?? [], model.Format.Family, prompt.ThinkingOpen),
        };
    }

    /// <summary>A raw continuation of text; BOS is put in front if the tokenizer asks for it, markers become tokens.</summary>
    /// <exception cref="OperatingException">A value is out of range, or the prompt is too long.</exception>
    public CompletionRequest Raw(string text, SamplingWishes wishes)
    {
        int[] ids = model.Tokenizer.Encode(text);
        if (model.Tokenizer is { AddBosToken: true, BosTokenId: { } bos } && (ids.Length == 0 || ids[0] != bos)) ids = [bos, .. ids];
        return Build(ids, wishes, DefaultMaxTokens, model.EosTokenIds);
    }

    /// <summary>Fills in the middle between <paramref name="prompt"/> and <paramref name="suffix"/>; without a suffix, continues the prompt.</summary>
    /// <exception cref="OperatingException">A value is out of range, or the prompt is too long.</exception>
    public CompletionRequest Fim(string prompt, string? suffix, SamplingWishes wishes) =>
        Build(model.Tokenizer.Encode(model.Format.RenderFim(prompt, suffix).Segments), wishes, DefaultMaxTokens, model.EosTokenIds);

    /// <summary>A raw continuation of tokens, taken as they are.</summary>
    /// <exception cref="OperatingException">A value is out of range, or the prompt is empty or too long.</exception>
    public CompletionRequest Raw(int[] ids, SamplingWishes wishes) => Build(ids, wishes, DefaultMaxTokens, model.EosTokenIds);

    private CompletionRequest Build(int[] ids, SamplingWishes wishes, int defaultMaxTokens, int[] endTokenIds)
    {
        int context = model.ContextLength;
        if (ids.Length == 0) throw Invalid("the prompt is empty; it needs at least one token");
        if (wishes.MaxTokens is { } asked && (asked < 1 || asked > context))
            throw Invalid($"Invalid max_tokens value, the valid range of max_tokens is [1, {context}]");
        long maxTokens = wishes.MaxTokens ?? Math.Min(defaultMaxTokens, Math.Max(1, context - ids.Length));
        GenerationRequest.CheckContext(ids.Length, maxTokens, context);
        long minTokens = wishes.MinTokens ?? 0;
        if (minTokens < 0 || minTokens > maxTokens) throw Invalid($"Invalid min_tokens value, the valid range of min_tokens is [0, {maxTokens}]");
        CheckStops(wishes);
        SamplingParameters sampling = Sampling(wishes);
        sampling.Validate(model.Config.VocabularySize);
        return new CompletionRequest
        {
            PromptIds = ids,
            MaxTokens = (int)maxTokens,
            MayBeShorter = wishes.MaxTokens is null,
            MinTokens = (int)minTokens,
            StopTokenIds = [.. wishes.IgnoreEos ? [] : endTokenIds, .. wishes.StopTokenIds],
            Stop = wishes.Stop,
            Sampling = sampling,
        };
    }

    private SamplingParameters Sampling(SamplingWishes wishes) => new()
    {
        Temperature = (float)(wishes.Temperature ?? (model.Defaults.DoSample == false ? 0 : model.Defaults.Temperature ?? 1)),
        TopP = (float)(wishes.TopP ?? model.Defaults.TopP ?? 1),
        // -1 is how vLLM writes "all"; more than any vocabulary is all as well.
        TopK = wishes.TopK is null or -1 ? 0 : (int)Math.Clamp(wishes.TopK.Value, -1, int.MaxValue),
        MinP = (float)(wishes.MinP ?? 0),
        RepetitionPenalty = (float)(wishes.RepetitionPenalty ?? 1),
        FrequencyPenalty = (float)(wishes.FrequencyPenalty ?? 0),
        PresencePenalty = (float)(wishes.PresencePenalty ?? 0),
        LogitBias = [.. wishes.LogitBias],
        Seed = wishes.Seed ?? BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong))),
        TopLogprobs = wishes.TopLogprobs ?? -1,
    };

    private void CheckStops(SamplingWishes wishes)
    {
        if (wishes.Stop.Count > MaxStops) throw Invalid($"stop: {wishes.Stop.Count} texts are too many; at most {MaxStops} are allowed");
        if (wishes.Stop.Any(text => text.Length > MaxStopLength)) throw Invalid($"stop: a text is too long; at most {MaxStopLength} characters are allowed");
        if (wishes.StopTokenIds.Count > MaxStopTokens) throw Invalid($"stop_token_ids: {wishes.StopTokenIds.Count} tokens are too many; at most {MaxStopTokens} are allowed");
        foreach (int id in wishes.StopTokenIds)
            if ((uint)id >= (uint)model.Config.VocabularySize) throw Invalid($"stop_token_ids: token {id} is outside the vocabulary of {model.Config.VocabularySize}");
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
