using System.Text;
using Conclave.Model.Tokenization;
using Conclave.Tests.Support;

namespace Conclave.Model.Tests.Tokenization;

public sealed class HostileTextTests
{
    private const int Length = 1_000_000;

    // A quadratic step would take many minutes of the processor; a linear one takes less than a second.
    private static readonly TimeSpan Bound = TimeSpan.FromMinutes(2);

    [Theory]
    [InlineData("a")]
    [InlineData("A")]
    [InlineData("abcdefghij")]
    [InlineData(" ")]
    [InlineData("\n")]
    [InlineData(" \n")]
    [InlineData(" \t\n\r\u00a0\u3000")]
    [InlineData("中")]
    [InlineData("😀")]
    [InlineData("!")]
    [InlineData("1")]
    [InlineData("<｜")]
    [InlineData("<｜place▁holder▁no▁")]
    [InlineData("\u0301")]
    [InlineData("\0")]
    public void TakesAMegabyteOfTheSameInBoundedTime(string unit)
    {
        var text = new StringBuilder().Insert(0, unit, Length / unit.Length).ToString();
        var start = ThreadTime.Now;
        var ids = TokenizerGoldens.Tokenizer.Encode(text);
        var took = ThreadTime.Now - start;
        Assert.True(took < Bound, $"took {took}");
        Assert.Equal(text, TokenizerGoldens.Tokenizer.Decode(ids));
    }

    [Fact]
    public void LongPiecesMergeLikeShortOnes()
    {
        // The two ways of merging meet at 48 symbols: both must give what repeated scanning for the best pair gives.
        var random = new Random(11);
        for (var length = 30; length < 80; length++)
        {
            var word = string.Concat(Enumerable.Range(0, length).Select(_ => "etaonihs"[random.Next(8)]));
            Assert.Equal(MergeNaively(word), TokenizerGoldens.Tokenizer.Encode(word));
        }
    }

    [Fact]
    public void AnyTextComesBackUnchanged()
    {
        var random = new Random(7);
        for (var round = 0; round < 300; round++)
        {
            var text = new StringBuilder();
            for (var i = random.Next(60); i >= 0; i--)
            {
                var point = random.Next(3) switch { 0 => random.Next(0x80), 1 => random.Next(0xD800), _ => random.Next(0xE000, 0x110000) };
                text.Append(new Rune(point));
            }

            var ids = TokenizerGoldens.Tokenizer.Encode(text.ToString());
            Assert.Equal(text.ToString(), TokenizerGoldens.Tokenizer.Decode(ids));
        }
    }

    [Fact]
    public void LoneSurrogatesAreReplacementCharacters()
        => Assert.Equal(TokenizerGoldens.Tokenizer.Encode("a\uFFFDb\uFFFD"), TokenizerGoldens.Tokenizer.Encode("a\udc00b\ud83d"));

    [Fact]
    public async Task ManyThreadsGetTheSameTokens()
    {
        var cases = TokenizerGoldens.Cases("cases.jsonl").ToList();
        await Task.WhenAll(Enumerable.Range(0, 4).Select(offset => Task.Run(() =>
        {
            for (var i = 0; i < cases.Count * 3; i++)
            {
                var expected = cases[(i + (offset * 31)) % cases.Count];
                Assert.Equal(expected.Ids, TokenizerGoldens.Tokenizer.Encode(expected.Text!));
            }
        })));
    }

    private static IEnumerable<int> MergeNaively(string word)
    {
        var tokenizer = TokenizerGoldens.Tokenizer;
        var ranks = Ranks.Value;
        var symbols = word.Select(letter => letter.ToString()).ToList();
        while (true)
        {
            var best = Enumerable.Range(0, symbols.Count - 1).MinBy(i => ranks.GetValueOrDefault($"{symbols[i]} {symbols[i + 1]}", int.MaxValue));
            if (!ranks.ContainsKey($"{symbols[best]} {symbols[best + 1]}"))
            {
                return symbols.Select(symbol => tokenizer.TokenId(symbol)!.Value);
            }

            symbols[best] += symbols[best + 1];
            symbols.RemoveAt(best + 1);
        }
    }

    private static readonly Lazy<Dictionary<string, int>> Ranks = new(() =>
    {
        using var json = System.Text.Json.JsonDocument.Parse(File.ReadAllBytes(Path.Combine(TokenizerGoldens.Directory, "tokenizer.json")));
        return json.RootElement.GetProperty("model").GetProperty("merges").EnumerateArray()
            .Select((merge, rank) => (merge.GetString()!, rank)).ToDictionary(pair => pair.Item1, pair => pair.rank);
    });
}
