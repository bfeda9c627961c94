using System.Text;
using System.Text.Json;

namespace Conclave.Model.Tokenization;

/// <summary>
/// The parts of a <c>tokenizer.json</c>. Vocabulary and merges, megabytes of it, are only located at first and then read straight
/// from the bytes; everything else is small and kept as JSON values under keys such as <c>model.type</c>.
/// </summary>
internal sealed class TokenizerSections
{
    private readonly string _path;
    private readonly byte[] _json;
    private readonly Dictionary<string, JsonField> _values = [];
    private Range _vocabulary;
    private Range _merges;

    public TokenizerSections(string path, byte[] json)
    {
        (_path, _json) = (path, json);
        var start = json.AsSpan().StartsWith(Encoding.UTF8.Preamble) ? Encoding.UTF8.Preamble.Length : 0;
        var reader = new Utf8JsonReader(json.AsSpan(start));
        reader.Read();
        ReadObject(ref reader, start, "");
        if (reader.Read())
        {
            throw Problem("the root", "must be one object");
        }
    }

    public JsonField this[string key] => _values.GetValueOrDefault(key, new JsonField(_path, key, default));

    /// <summary>The tokens of the model, without added ones.</summary>
    public WrittenTokens ReadVocabulary()
    {
        var reader = new Utf8JsonReader(_json.AsSpan(_vocabulary));
        if (_vocabulary.Equals(default) || !reader.Read() || reader.TokenType != JsonTokenType.StartObject)
        {
            throw Problem("model.vocab", "must be an object of tokens and ids");
        }

        var tokens = new WrittenTokens();
        var scratch = new byte[256];
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var length = Copy(ref reader, ref scratch, 0);
            var token = scratch.AsSpan(0, length);
            reader.Read();
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt32(out var id))
            {
                throw Problem("model.vocab", $"the id of '{Encoding.UTF8.GetString(token)}' must be a whole number");
            }

            if (tokens.Add(token, id) is { } problem)
            {
                throw Problem("model.vocab", $"'{Encoding.UTF8.GetString(token)}' {problem}");
            }
        }

        return tokens;
    }

    /// <summary>Merges in order of rank, given as "left right" or ["left", "right"].</summary>
    public List<(int Left, int Right, int Merged)> ReadMerges(WrittenTokens vocabulary)
    {
        var reader = new Utf8JsonReader(_json.AsSpan(_merges));
        if (_merges.Equals(default) || !reader.Read() || reader.TokenType != JsonTokenType.StartArray)
        {
            throw Problem("model.merges", "must be an array");
        }

        var merges = new List<(int, int, int)>();
        var scratch = new byte[256];
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            // Both halves end up next to each other in the scratch buffer: their join is the result.
            int split, end;
            if (reader.TokenType == JsonTokenType.StartArray)
            {
                reader.Read();
                split = CopyString(ref reader, merges.Count, ref scratch, 0);
                reader.Read();
                end = CopyString(ref reader, merges.Count, ref scratch, split);
                if (!reader.Read() || reader.TokenType != JsonTokenType.EndArray)
                {
                    throw Problem($"model.merges[{merges.Count}]", "must hold two tokens");
                }
            }
            else
            {
                end = CopyString(ref reader, merges.Count, ref scratch, 0);
                split = scratch.AsSpan(0, end).IndexOf((byte)' ');
                if (split <= 0 || split == end - 1 || scratch.AsSpan(split + 1, end - split - 1).Contains((byte)' '))
                {
                    throw Problem($"model.merges[{merges.Count}]", "must be two tokens with a space between");
                }

                scratch.AsSpan(split + 1, end - split - 1).CopyTo(scratch.AsSpan(split));
                end--;
            }

            merges.Add((
                Known(vocabulary, scratch.AsSpan(0, split), merges.Count),
                Known(vocabulary, scratch.AsSpan(split, end - split), merges.Count),
                Known(vocabulary, scratch.AsSpan(0, end), merges.Count)));
        }

        return merges;
    }

    private int Known(WrittenTokens vocabulary, ReadOnlySpan<byte> token, int index)
        => vocabulary.Find(token) is >= 0 and var id ? id
            : throw Problem($"model.merges[{index}]", $"'{Encoding.UTF8.GetString(token)}' is not in model.vocab");

    private int CopyString(ref Utf8JsonReader reader, int index, ref byte[] scratch, int at)
        => reader.TokenType == JsonTokenType.String ? Copy(ref reader, ref scratch, at)
            : throw Problem($"model.merges[{index}]", "must be \"left right\" or [\"left\", \"right\"]");

    /// <summary>Copies the string under the reader to a place in the buffer; returns where it ends.</summary>
    private static int Copy(ref Utf8JsonReader reader, ref byte[] scratch, int at)
    {
        if (scratch.Length < at + reader.ValueSpan.Length)
        {
            Array.Resize(ref scratch, (at + reader.ValueSpan.Length) * 2);
        }

        return at + reader.CopyString(scratch.AsSpan(at));
    }

    private void ReadObject(ref Utf8JsonReader reader, int offset, string prefix)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            throw Problem(prefix.TrimEnd('.') is { Length: > 0 } key ? key : "the root", "must be an object");
        }

        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var key = prefix + reader.GetString();
            reader.Read();
            switch (key)
            {
                case "model":
                    ReadObject(ref reader, offset, "model.");
                    break;
                case "model.vocab":
                    _vocabulary = SkipValue(ref reader, offset);
                    break;
                case "model.merges":
                    _merges = SkipValue(ref reader, offset);
                    break;
                default:
                    _values[key] = new JsonField(_path, key, JsonElement.ParseValue(ref reader));
                    break;
            }
        }
    }

    private static Range SkipValue(ref Utf8JsonReader reader, int offset)
    {
        var start = offset + (int)reader.TokenStartIndex;
        reader.Skip();
        return start..(offset + (int)reader.BytesConsumed);
    }

    private CheckpointException Problem(string key, string problem) => new($"{_path}: {key}: {problem}");
}
