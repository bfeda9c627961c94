using Conclave.Model;
using Conclave.Model.Chat;
using Conclave.Model.Tokenization;

namespace Conclave.Gateway;

/// <summary>Which model a gateway fronts.</summary>
/// <param name="ModelDirectory">The checkpoint's directory; only its configuration and tokenizer are read.</param>
/// <param name="ChatVariant">The chat format to use instead of the one that the checkpoint suggests.</param>
public sealed record ServedModelOptions(string ModelDirectory, ChatVariant? ChatVariant);

/// <summary>What a gateway knows of the model it fronts: names, context, tokens and formats, no weights.</summary>
public sealed class ServedModel
{
    /// <summary>The hosted API's name for the model without thinking; served as an alias.</summary>
    public const string ChatAlias = "deepseek-chat";

    /// <summary>The hosted API's name for the model with thinking; served as an alias.</summary>
    public const string ReasonerAlias = "deepseek-reasoner";

    private const string UserMarker = "<｜User｜>";

    /// <summary>Reads configuration and tokenizer of <see cref="ServedModelOptions.ModelDirectory"/>.</summary>
    /// <exception cref="CheckpointException">The configuration cannot be used.</exception>
    /// <exception cref="InvalidDataException">A tokenizer file cannot be used.</exception>
    public ServedModel(ServedModelOptions options)
    {
        Name = Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(options.ModelDirectory)));
        Config = ModelConfig.Load(options.ModelDirectory);
        Tokenizer = Tokenizer.Load(options.ModelDirectory);
        Defaults = GenerationDefaults.Load(options.ModelDirectory) ?? new GenerationDefaults();
        Format = options.ChatVariant is { } forced
            ? ChatFormat.Get(forced)
            : ChatFormat.Detect(Config.ModelTypeName, Tokenizer.ChatTemplate, Tokenizer.TokenId);
        EosTokenIds = [.. Tokenizer.EosTokenIds.Count > 0 ? Tokenizer.EosTokenIds : Config.EosTokenIds];
        // A model that begins the user's next turn has ended its own.
        ChatStopTokenIds = Tokenizer.TokenId(UserMarker) is { } user ? [.. EosTokenIds, user] : EosTokenIds;
    }

    /// <summary>The model's own name: its directory's.</summary>
    public string Name { get; }

    /// <summary>The architecture.</summary>
    public ModelConfig Config { get; }

    /// <summary>Text to tokens and back.</summary>
    public Tokenizer Tokenizer { get; }

    /// <summary>The model's recommended sampling.</summary>
    public GenerationDefaults Defaults { get; }

    /// <summary>Messages to prompts, output to messages.</summary>
    public ChatFormat Format { get; }

    /// <summary>Tokens that end any generation.</summary>
    public int[] EosTokenIds { get; }

    /// <summary>Tokens that end a chat turn.</summary>
    public int[] ChatStopTokenIds { get; }

    /// <summary>Tokens of prompt and completion together.</summary>
    public int ContextLength => Config.MaxPositions;

    /// <summary>Names that clients may ask for.</summary>
    public IReadOnlyList<string> Ids => [ChatAlias, ReasonerAlias, Name];

    /// <summary>Whether <paramref name="model"/> is one of <see cref="Ids"/>.</summary>
    public bool Serves(string model) => Ids.Contains(model, StringComparer.Ordinal);

    /// <summary>Whether <paramref name="model"/> thinks unless the request says otherwise.</summary>
    public bool ThinksByDefault(string model) => model == ReasonerAlias && Format.SupportsThinking;
}
