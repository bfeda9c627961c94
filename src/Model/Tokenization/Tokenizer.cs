using System.Buffers;
using System.Runtime.InteropServices;
using System.Text;

namespace Conclave.Model.Tokenization;

/// <summary>
/// Text to token ids and back, exactly as the Hugging Face tokenizer of the same directory does it: byte-level BPE with the
/// pre-tokenizer patterns that the file gives. Immutable and safe for any number of threads.
/// </summary>
public sealed class Tokenizer
{
    // Marks in a part list: text in which added tokens may be found, and text in which they may not.
    private const int MatchedText = -1;
    private const int PlainText = -2;

    private readonly Vocabulary _vocabulary;
    private readonly PreTokenizer _preTokenizer;
    private readonly AddedTokenMatcher[] _rounds;
    private readonly bool[] _special;
    private readonly TokenizerSettings _settings;

    private Tokenizer(TokenizerFile file, TokenizerSettings settings)
    {
        (_vocabulary, _preTokenizer, _settings) = (file.Vocabulary, file.PreTokenizer, settings);
        _rounds = [.. file.AddedTokens.GroupBy(token => token.Normalized).OrderBy(round => round.Key)
            .Select(round => new AddedTokenMatcher(round))];
        _special = new bool[VocabularySize];
        foreach (var token in file.AddedTokens)
        {
            _special[token.Id] |= token.Special;
        }
    }

    /// <summary>One more than the highest token id.</summary>
    public int VocabularySize => _vocabulary.Size;

    /// <summary>The token that begins each prompt; null when the files name none.</summary>
    public int? BosTokenId => _settings.BosTokenId;

    /// <summary>Tokens that end generation: of <c>generation_config.json</c>, else <c>config.json</c>, else <c>tokenizer_config.json</c>.</summary>
    public IReadOnlyList<int> EosTokenIds => _settings.EosTokenIds;

    /// <summary>Whether raw text (not a rendered chat, which has it already) gets <see cref="BosTokenId"/> in front.</summary>
    public bool AddBosToken => _settings.AddBosToken;

    /// <summary>Source of the chat template (Jinja): <c>chat_template.jinja</c> or that of <c>tokenizer_config.json</c>; null without.</summary>
    public string? ChatTemplate => _settings.ChatTemplate;

    /// <summary>Reads <c>tokenizer.json</c> and, where they exist, the small files beside it. No weights are needed.</summary>
    /// <param name="directory">A model directory.</param>
    /// <exception cref="CheckpointException">A file is missing, malformed or uses what is not supported; the message names file and key.</exception>
    public static Tokenizer Load(string directory)
    {
        var path = Path.Combine(directory, TokenizerFile.FileName);
        if (!File.Exists(path))
        {
            throw new CheckpointException($"{path}: missing; copy the tokenizer files published with the model into its directory.");
        }

        var file = TokenizerFile.Read(path);
        return new Tokenizer(file, TokenizerSettings.Read(directory, file.Vocabulary));
    }

    /// <summary>The tokens of a text, nothing added (no BOS). Lone surrogates are read as U+FFFD.</summary>
    /// <param name="text">Any text.</param>
    /// <param name="matchAddedTokens">Whether markers such as <c>&lt;｜User｜&gt;</c> become tokens or stay text.</param>
    public int[] Encode(string text, bool matchAddedTokens = true) => Encode([new TextSegment(text, matchAddedTokens)]);

    /// <summary>
    /// The tokens of the segments' concatenation, nothing added. Added tokens are found only inside segments that allow it (and
    /// across neighbours that both do); all text between two of them is encoded as one run, since merges may cross segments.
    /// </summary>
    public int[] Encode(IReadOnlyList<TextSegment> segments)
    {
        var text = segments.Count == 1 ? segments[0].Text : string.Concat(segments.Select(segment => segment.Text));
        var bytes = ArrayPool<byte>.Shared.Rent(Encoding.UTF8.GetByteCount(text));
        try
        {
            var utf8 = bytes.AsSpan(0, Encoding.UTF8.GetBytes(text, bytes));
            var ids = new List<int>((utf8.Length / 3) + 8);
            Encode(utf8, Cut(utf8, segments), ids);
            return [.. ids];
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    /// <summary>The text of tokens: their bytes joined, read as UTF-8 with U+FFFD for each maximal part that is invalid.</summary>
    /// <param name="ids">Token ids.</param>
    /// <param name="skipSpecial">Leave out tokens flagged special.</param>
    /// <exception cref="ArgumentOutOfRangeException">The tokenizer has no such id.</exception>
    public string Decode(ReadOnlySpan<int> ids, bool skipSpecial = false)
    {
        var bytes = new ArrayBufferWriter<byte>(Math.Max(16, ids.Length * 4));
        foreach (var id in ids)
        {
            var token = TokenBytes(id);
            if (!skipSpecial || !_special[id])
            {
                bytes.Write(token);
            }
        }

        return Encoding.UTF8.GetString(bytes.WrittenSpan);
    }

    /// <summary>The bytes of a token; not necessarily whole characters.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The tokenizer has no such id.</exception>
    public ReadOnlySpan<byte> TokenBytes(int id) => _vocabulary.Bytes(id);

    /// <summary>Whether an id has a token. A model's embedding may have more rows than that, and a badly trained one may choose them.</summary>
    public bool HasToken(int id) => _vocabulary.Contains(id);

    /// <summary>Whether a token is flagged special (BOS, EOS, padding, place holders); false for ids without a token.</summary>
    public bool IsSpecial(int id) => (uint)id < (uint)_special.Length && _special[id];

    /// <summary>The id of a token as the file writes it: an added token's text, or the byte-level form ("Ġhello"). Null if unknown.</summary>
    public int? TokenId(string token) => _vocabulary.Find(token) is >= 0 and var id ? id : null;

    private List<TextPart> Cut(ReadOnlySpan<byte> utf8, IReadOnlyList<TextSegment> segments)
    {
        var parts = new List<TextPart>();
        var start = 0;
        for (var i = 0; i < segments.Count; i++)
        {
            var end = i == segments.Count - 1 ? utf8.Length : start + Encoding.UTF8.GetByteCount(segments[i].Text);
            Append(parts, new TextPart(start, end, segments[i].MatchAddedTokens ? MatchedText : PlainText));
            start = end;
        }

        foreach (var round in _rounds)
        {
            var cut = new List<TextPart>();
            foreach (var part in parts)
            {
                if (part.Id == MatchedText)
                {
                    round.Cut(utf8, part, cut);
                }
                else
                {
                    cut.Add(part);
                }
            }

            parts = cut;
        }

        return parts;
    }

    private void Encode(ReadOnlySpan<byte> utf8, List<TextPart> parts, List<int> ids)
    {
        for (var i = 0; i < parts.Count; i++)
        {
            if (parts[i].Id >= 0)
            {
                ids.Add(parts[i].Id);
                continue;
            }

            var start = parts[i].Start;
            while (i + 1 < parts.Count && parts[i + 1].Id < 0)
            {
                i++;
            }

            _preTokenizer.Encode(utf8[start..parts[i].End], ids);
        }
    }

    private static void Append(List<TextPart> parts, TextPart part)
    {
        if (parts.Count > 0 && parts[^1].Id == part.Id)
        {
            CollectionsMarshal.AsSpan(parts)[^1] = parts[^1] with { End = part.End };
        }
        else
        {
            parts.Add(part);
        }
    }
}
