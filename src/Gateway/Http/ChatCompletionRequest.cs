using System.Text.Json;
using Conclave.Engine;
using Conclave.Engine.Grammars;
using Conclave.Gateway.Completions;
using Conclave.Model.Chat;

namespace Conclave.Gateway.Http;

/// <summary>The body of <c>POST /chat/completions</c>, read strictly: a field of the wrong type is an error that names it, unknown fields are ignored.</summary>
internal sealed record ChatCompletionRequest
{
    public required string Model { get; init; }

    public required ChatRequest Chat { get; init; }

    public required SamplingWishes Sampling { get; init; }

    public required OutputWishes Output { get; init; }

    public ServiceTerms Service { get; init; } = new();

    /// <summary><c>n</c>: answers to give.</summary>
    public int Choices { get; init; } = 1;

    public bool Stream { get; init; }

    /// <summary><c>stream_options.include_usage</c>.</summary>
    public bool IncludeUsage { get; init; }

    /// <summary>Reads a parsed body.</summary>
    /// <param name="body">The body.</param>
    /// <param name="served">The model that is served.</param>
    /// <param name="key">What stands for the request's API key; null if it has none.</param>
    /// <exception cref="ChatFormatException">A field is missing or of the wrong type.</exception>
    /// <exception cref="OperatingException">A value is not allowed, or the model is not served.</exception>
    public static ChatCompletionRequest Read(JsonElement body, ServedModel served, string? key = null)
    {
        try
        {
            return ReadFields(body, served, key);
        }
        catch (ChatFormatException e)
        {
            throw new ChatFormatException($"{JsonBody.Undeserializable}: {e.Message}", e.Field, e);
        }
    }

    private static ChatCompletionRequest ReadFields(JsonElement body, ServedModel served, string? key)
    {
        JsonField root = new JsonField(body, "").RequireObject();
        string model = root.Required("model").String();
        if (!served.Serves(model)) throw new OperatingException(OperatingError.UnknownModel, "Model Not Exist");
        bool thinking = (Thinking(root) ?? served.ThinksByDefault(model)) && served.Format.SupportsThinking;
        bool stream = root["stream"]?.Bool() ?? false;
        JsonField? options = root["stream_options"]?.RequireObject();
        if (options is not null && !stream) throw Invalid("stream_options: is allowed only with \"stream\": true");
        return new ChatCompletionRequest
        {
            Model = model,
            Chat = ReadChat(root, thinking),
            Sampling = SamplingFields.Read(root, thinking),
            Service = SamplingFields.ReadService(root, key),
            Choices = SamplingFields.ReadChoices(root),
            Output = OutputFields.Read(root),
            Stream = stream,
            IncludeUsage = options?["include_usage"]?.Bool() ?? false,
        };
    }

    private static ChatRequest ReadChat(JsonField root, bool thinking)
    {
        IReadOnlyList<ChatMessage> messages = ChatJson.ReadMessages(root.Required("messages").Value);
        return new ChatRequest
        {
            Messages = messages,
            Tools = ReadTools(root),
            ResponseFormat = ReadResponseFormat(root, messages),
            Thinking = thinking,
            AddGenerationPrompt = messages is not [.., { Prefix: true }],
        };
    }

    private static IReadOnlyList<ToolDefinition>? ReadTools(JsonField root)
    {
        if (root["tools"] is { } given && given.Value.GetRawText().Length > GrammarSpec.MaxLength) throw given.Error($"has more than {GrammarSpec.MaxLength} characters; make it shorter");
        IReadOnlyList<ToolDefinition>? tools = root["tools"] is { } field ? ChatJson.ReadTools(field.Value) : null;
        if (root["tool_choice"] is not { } choice) return tools;
        if (choice.Value.ValueKind == JsonValueKind.String)
            return choice.String() switch
            {
                "none" => null,
                "auto" => tools,
                "required" => tools is { Count: > 0 } ? tools : throw Invalid("tool_choice: 'required' needs tools"),
                _ => throw choice.Error("must be 'none', 'auto', 'required' or an object that names a function"),
            };
        string name = choice.RequireObject().Required("function").RequireObject().Required("name").String();
        return tools?.FirstOrDefault(t => t.Name == name) is { } named ? [named] : throw Invalid($"tool_choice: no tool is named '{name}'");
    }

    private static JsonElement? ReadResponseFormat(JsonField root, IReadOnlyList<ChatMessage> messages)
    {
        if (root["response_format"]?.RequireObject() is not { } format) return null;
        JsonField type = format.Required("type");
        switch (type.String())
        {
            case "text":
                return null;
            case "json_object":
                if (messages.Any(m => (m.Content ?? "").Contains("json", StringComparison.OrdinalIgnoreCase))) return format.Value;
                throw Invalid("Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'.");
            case "json_schema":
                return format.Value;
            default:
                throw type.Error("must be 'text', 'json_object' or 'json_schema'");
        }
    }

    private static bool? Thinking(JsonField root)
    {
        if (root["thinking"]?.RequireObject() is not { } thinking) return null;
        JsonField type = thinking.Required("type");
        return type.String() switch
        {
            "enabled" => true,
            "disabled" => false,
            _ => throw type.Error("must be 'enabled' or 'disabled'"),
        };
    }

    private static OperatingException Invalid(string message) => new(OperatingError.InvalidRequest, message);
}
