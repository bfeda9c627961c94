using System.Runtime.CompilerServices;
using System.Text.Json;
using Conclave.Model.Tokenization;

namespace Conclave.Model.Tests.Tokenization;

/// <summary>The golden tokenizer and its cases, loaded once.</summary>
internal static class TokenizerGoldens
{
    public static readonly string Directory = Path.Combine(TestsDirectory(), "goldens", "tokenizer");

    private static readonly Lazy<Tokenizer> Loaded = new(() => Tokenizer.Load(Directory));

    public static Tokenizer Tokenizer => Loaded.Value;

    /// <summary>Rows of a .jsonl file. Only line feeds separate them: texts hold U+2028 and the like.</summary>
    public static IEnumerable<Case> Cases(string file)
        => File.ReadAllText(Path.Combine(Directory, file)).Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(line => JsonSerializer.Deserialize<Case>(line, JsonSerializerOptions)!);

    private static readonly JsonSerializerOptions JsonSerializerOptions
        = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    private static string TestsDirectory([CallerFilePath] string path = "")
        => Path.GetFullPath(Path.Combine(Path.GetDirectoryName(path)!, "..", ".."));

    public sealed record Case(string? Text, int[] Ids, string Decoded, string DecodedSkipSpecial);
}
