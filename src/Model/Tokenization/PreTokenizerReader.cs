namespace Conclave.Model.Tokenization;

/// <summary>Reads the <c>pre_tokenizer</c> section: Sequence, Split, Digits, and ByteLevel as the last.</summary>
internal static class PreTokenizerReader
{
    // ByteLevel's own pattern (GPT-2), used when use_regex is true.
    private const string ByteLevelPattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    /// <exception cref="CheckpointException">Something is malformed or unknown; the message names file and key.</exception>
    public static IReadOnlyList<PreTokenizer.Stage> Read(JsonField field)
    {
        var parts = Flatten(field).ToList();
        if (parts.FindIndex(part => part["type"].String() == "ByteLevel") != parts.Count - 1 || parts.Count == 0)
        {
            throw field.Error("must have ByteLevel as its last part: only byte-level BPE is supported");
        }

        return [.. parts.SelectMany(Stages)];
    }

    private static IEnumerable<JsonField> Flatten(JsonField field)
        => field.IsNull ? []
            : field.Object()["type"].String() == "Sequence" ? field["pretokenizers"].Items().SelectMany(Flatten)
            : [field];

    private static IEnumerable<PreTokenizer.Stage> Stages(JsonField part) => part["type"].String() switch
    {
        "Split" => [Split(part)],
        "Digits" => [new(Compile(part["individual_digits"].Bool(false) ? @"\p{N}" : @"\p{N}+", part))],
        "ByteLevel" => ByteLevelStages(part),
        var type => throw part["type"].Error($"'{type}' is not supported (Sequence, Split, Digits and ByteLevel are)"),
    };

    private static IEnumerable<PreTokenizer.Stage> ByteLevelStages(JsonField part)
    {
        if (part["add_prefix_space"].Bool(true))
        {
            yield return new(null);
        }

        if (part["use_regex"].Bool(true))
        {
            yield return new(Compile(ByteLevelPattern, part));
        }
    }

    private static PreTokenizer.Stage Split(JsonField part)
    {
        var source = part["pattern"];
        var pattern = !source["Regex"].IsNull ? Compile(source["Regex"].String(), source["Regex"])
            : !source["String"].IsNull ? PatternParser.Literal(source["String"].String())
            : throw source.Error("must hold Regex or String");
        var invert = part["invert"].Bool(false);
        return part["behavior"].String() switch
        {
            "Isolated" => new(pattern),
            "Removed" => new(pattern, KeepsMatches: invert, KeepsRest: !invert),
            var behavior => throw part["behavior"].Error($"'{behavior}' is not supported (Isolated and Removed are)"),
        };
    }

    private static Pattern Compile(string pattern, JsonField field)
    {
        try
        {
            return PatternParser.Compile(pattern);
        }
        catch (FormatException e)
        {
            throw new CheckpointException($"{field.File}: {field.Key}: {e.Message}", e);
        }
    }
}
