namespace Conclave.Model.Chat;

/// <summary>One chat format: renders conversations as prompts. <see cref="OutputParser"/> reads what the model answers.</summary>
public sealed class ChatFormat
{
    private static readonly ChatFormat[] All = [.. Enum.GetValues<ChatVariant>().Select(variant => new ChatFormat(variant))];

    private ChatFormat(ChatVariant variant)
    {
        Variant = variant;
        Family = ChatVariants.FamilyOf(variant);
    }

    /// <summary>How conversations are rendered.</summary>
    public ChatVariant Variant { get; }

    /// <summary>How output is parsed.</summary>
    public ChatFamily Family { get; }

    /// <summary>Whether the format knows reasoning.</summary>
    public bool SupportsThinking => Family != ChatFamily.V3;

    /// <summary>The format of a variant.</summary>
    public static ChatFormat Get(ChatVariant variant) => All[(int)variant];

    /// <summary>Picks the format of a checkpoint.</summary>
    /// <param name="modelType"><c>model_type</c> of config.json.</param>
    /// <param name="chatTemplate"><c>chat_template</c> of tokenizer_config.json (or chat_template.jinja); null if there is none.</param>
    /// <param name="tokenId">Looks up the id of an added token by its text; null if the tokenizer has no such token.</param>
    /// <remarks>
    /// V3.2 ships without a template. V3.2-Exp has the same model type but the template of V3.1-Terminus, so a template outranks the model type.
    /// </remarks>
    public static ChatFormat Detect(string modelType, string? chatTemplate, Func<string, int?> tokenId)
    {
        if (string.IsNullOrWhiteSpace(chatTemplate))
        {
            if (modelType == "deepseek_v32" || tokenId(Markers.Dsml) is not null) return Get(ChatVariant.V32);
            return Get(tokenId(Markers.ThinkBegin) is null ? ChatVariant.V30324 : ChatVariant.V31Terminus);
        }

        if (chatTemplate.Contains("DSML", StringComparison.Ordinal)) return Get(ChatVariant.V32);
        if (chatTemplate.Contains(Markers.ThinkEnd, StringComparison.Ordinal) && !chatTemplate.Contains("```json", StringComparison.Ordinal))
        {
            return Get(chatTemplate.Contains("is_only_sys", StringComparison.Ordinal) ? ChatVariant.V31Terminus : ChatVariant.V31);
        }

        return Get(chatTemplate.Contains("is_last_user", StringComparison.Ordinal) ? ChatVariant.V30324 : ChatVariant.V3Original);
    }

    /// <summary>Renders a conversation.</summary>
    /// <exception cref="ChatFormatException">The messages are out of order, or the format cannot express them.</exception>
    public RenderedPrompt Render(ChatRequest request)
    {
        var ordered = request with { Messages = ChatRules.Order(request.Messages, Family) };
        var prompt = new PromptBuilder().Template(Markers.Bos);
        switch (Variant)
        {
            case ChatVariant.V3Original:
                V3OriginalPrompt.Write(prompt, ordered);
                break;
            case ChatVariant.V30324:
                V3Prompt.Write(prompt, ordered);
                break;
            case ChatVariant.V31 or ChatVariant.V31Terminus:
                V31Prompt.Write(prompt, ordered, terminus: Variant == ChatVariant.V31Terminus);
                break;
            default:
                V32Prompt.Write(prompt, ordered);
                break;
        }

        return prompt.Build();
    }

    /// <summary>Renders a prompt for filling in the middle; without a suffix (null or empty) the model simply continues the prompt.</summary>
    public RenderedPrompt RenderFim(string prompt, string? suffix)
    {
        var builder = new PromptBuilder().Template(Markers.Bos);
        if (string.IsNullOrEmpty(suffix)) return builder.Client(prompt).Build();
        return builder.Template(Markers.FimBegin).Client(prompt)
            .Template(Markers.FimHole).Client(suffix)
            .Template(Markers.FimEnd).Build();
    }
}
