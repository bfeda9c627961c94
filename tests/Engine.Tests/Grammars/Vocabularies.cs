using System.Text;
using Conclave.Engine.Grammars;
using Conclave.Model;
using Conclave.Model.Tokenization;

namespace Conclave.Engine.Tests.Grammars;

/// <summary>Vocabularies for tests: the demo model's, and one that is made to cut texts in odd places.</summary>
internal static class Vocabularies
{
    /// <summary>Id of the end token of <see cref="Odd"/>.</summary>
    public const int OddEnd = 0;

    private const string JsonCharacters = "{}[]\",:0123456789.-eE truefalsn\\ab\n";

    private static readonly Lazy<TokenVocabulary> DemoTokens = new(() =>
    {
        string directory = Path.Combine(Repository(), "models", "demo");
        return TokenVocabulary.From(Tokenizer.Load(directory), ModelConfig.Load(directory).VocabularySize);
    });

    private static readonly Lazy<TokenVocabulary> OddTokens = new(MakeOdd);

    /// <summary>End token of the demo model.</summary>
    public const int DemoEnd = 1;

    public static TokenVocabulary Demo => DemoTokens.Value;

    /// <summary>All bytes, pieces of JSON that span several elements, halves of characters, markers, doubles and random bytes.</summary>
    public static TokenVocabulary Odd => OddTokens.Value;

    public static string Repository()
    {
        string folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "Cluster.sln")))
            folder = Path.GetDirectoryName(folder)!;
        return folder;
    }

    private static TokenVocabulary MakeOdd()
    {
        var random = new Random(5);
        var tokens = new List<byte[]?> { Encoding.UTF8.GetBytes("<end>") };
        tokens.AddRange(Enumerable.Range(0, 256).Select(value => new[] { (byte)value }));
        string[] pieces =
        [
            "{\"", "\":", "\": ", "\",\"", "\", \"", "\"}", "\"}]", "}}", "[[", "]]", "},{", "}, {", "true", "false", "null", "tru", "e,", "-1", "12", "0.5", "1e", "\\u", "\\\"", "\\n", "\n  ", "\n    ", " \n",
            "a", "ab", "abc", "name", "\"name\"", "\"a\":", "value", "é", "日本", "日", "\ud83d\ude00", "<", "</think>", "</", "think", "<｜", "｜", "2024-", "-0", "000", "999", "user", "@", ".com", "://", "_", "__",
        ];
        tokens.AddRange(pieces.Select(Encoding.UTF8.GetBytes));
        tokens.AddRange(pieces.Take(10).Select(Encoding.UTF8.GetBytes));
        tokens.Add(Encoding.UTF8.GetBytes("日")[..2]);
        tokens.Add([.. Encoding.UTF8.GetBytes("日")[1..], (byte)'"']);
        tokens.Add(null);
        for (int i = 0; i < 60; i++)
            tokens.Add([.. Enumerable.Range(0, random.Next(2, 5)).Select(_ => (byte)random.Next(256))]);
        for (int i = 0; i < 120; i++)
            tokens.Add(Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, random.Next(2, 5)).Select(_ => JsonCharacters[random.Next(JsonCharacters.Length)]))));
        return new TokenVocabulary(tokens);
    }
}
