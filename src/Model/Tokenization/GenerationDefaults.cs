using System.Text.Json;

namespace Conclave.Model.Tokenization;

/// <summary>What a model's <c>generation_config.json</c> recommends for sampling. Null: the file does not say.</summary>
public sealed record GenerationDefaults
{
    /// <summary>Name of the file inside a model directory.</summary>
    public const string FileName = "generation_config.json";

    /// <summary>Whether to sample at all (<c>do_sample</c>); false means greedy decoding.</summary>
    public bool? DoSample { get; init; }

    /// <summary>Sampling temperature, at least 0.</summary>
    public double? Temperature { get; init; }

    /// <summary>Nucleus size, in (0, 1].</summary>
    public double? TopP { get; init; }

    /// <summary>Number of candidates kept, 0 for all.</summary>
    public int? TopK { get; init; }

    /// <summary>Smallest probability relative to the most likely token, in [0, 1].</summary>
    public double? MinP { get; init; }

    /// <summary>Divisor of the logits of tokens seen before, above 0; 1 changes nothing.</summary>
    public double? RepetitionPenalty { get; init; }

    /// <summary>Most tokens to generate.</summary>
    public int? MaxNewTokens { get; init; }

    /// <summary>The id of the beginning-of-sequence token.</summary>
    public int? BosTokenId { get; init; }

    /// <summary>Ids that end generation; empty when the file names none.</summary>
    public IReadOnlyList<int> EosTokenIds { get; init; } = [];

    /// <summary>Reads the file of a model directory; null when there is none.</summary>
    /// <exception cref="CheckpointException">The file is malformed; the message names file and key.</exception>
    public static GenerationDefaults? Load(string directory)
    {
        var path = Path.Combine(directory, FileName);
        if (!File.Exists(path))
        {
            return null;
        }

        var root = JsonField.Read(path);
        return new GenerationDefaults
        {
            DoSample = root["do_sample"].IsNull ? null : root["do_sample"].Bool(false),
            Temperature = Number(root["temperature"], 0, double.MaxValue),
            TopP = Number(root["top_p"], 0, 1),
            TopK = root["top_k"].OptionalInt(),
            MinP = Number(root["min_p"], 0, 1),
            RepetitionPenalty = Number(root["repetition_penalty"], double.Epsilon, double.MaxValue),
            MaxNewTokens = root["max_new_tokens"].OptionalInt(),
            BosTokenId = root["bos_token_id"].OptionalInt(),
            EosTokenIds = TokenIds(root["eos_token_id"]),
        };
    }

    /// <summary>A token id, a list of them, or null.</summary>
    internal static IReadOnlyList<int> TokenIds(JsonField field)
    {
        if (field.IsNull)
        {
            return [];
        }

        var ids = field.Value.ValueKind == JsonValueKind.Array ? field.Items() : [field];
        return [.. ids.Select(id => id.Int() >= 0 ? id.Int() : throw id.Error("must not be negative")).Distinct()];
    }

    private static double? Number(JsonField field, double least, double most)
        => field.OptionalNumber() is not { } number ? null
            : number >= least && number <= most ? number
            : throw field.Error($"must lie between {least} and {most}");
}
