using Conclave.Model.Tokenization;

namespace Conclave.Model.Tests.Tokenization;

public sealed class AddedTokenTests
{
    [Fact]
    public void TakesTheLeftmostThenTheLongest()
    {
        using var small = new SmallTokenizer();
        var (shorter, longer, later) = (small.Add("<a"), small.Add("<ab>"), small.Add("b><"));
        var tokenizer = small.Load();
        Assert.Equal([longer, '<'], tokenizer.Encode("<ab><"));
        Assert.Equal([shorter, 'a', later, 'x'], tokenizer.Encode("<aab><x"));
        Assert.Equal([shorter, 'c'], tokenizer.Encode("<ac"));
    }

    [Fact]
    public void CutsOutTokensThatSkipNormalizationFirst()
    {
        using var small = new SmallTokenizer();
        var (normalized, raw) = (small.Add("xyz", normalized: true), small.Add("zz", normalized: false));
        var tokenizer = small.Load();
        Assert.Equal(['x', 'y', raw], tokenizer.Encode("xyzz"));
        Assert.Equal([normalized, 'c'], tokenizer.Encode("xyzc"));
    }

    [Fact]
    public void HonoursWordAndWhiteSpaceFlags()
    {
        using var small = new SmallTokenizer();
        var (word, strips) = (small.Add("cat", word: true), small.Add("<s>", left: true, right: true));
        var tokenizer = small.Load();
        Assert.Equal([word], tokenizer.Encode("cat"));
        Assert.Equal(['.', word, '.'], tokenizer.Encode(".cat."));
        Assert.Equal(['c', 'a', 't', 's'], tokenizer.Encode("cats"));
        Assert.Equal([0xC3, 0xA9, 'c', 'a', 't'], tokenizer.Encode("écat"));
        Assert.Equal(['x', strips, 'y', strips], tokenizer.Encode("x \n<s>\u3000 y<s> "));
    }

    [Fact]
    public void SkipsOnlySpecialTokensWhenDecoding()
    {
        using var small = new SmallTokenizer();
        var (special, plain) = (small.Add("<｜s｜>", special: true), small.Add("<｜p｜>"));
        var tokenizer = small.Load();
        Assert.Equal("a<｜s｜>b<｜p｜>", tokenizer.Decode([97, special, 98, plain]));
        Assert.Equal("ab<｜p｜>", tokenizer.Decode([97, special, 98, plain], skipSpecial: true));
        // A character may continue after a token that is left out.
        Assert.Equal("é", tokenizer.Decode([0xC3, special, 0xA9], skipSpecial: true));
        Assert.Equal("\uFFFD<｜s｜>\uFFFD", tokenizer.Decode([0xC3, special, 0xA9]));
    }

    [Fact]
    public void KeepsMarkersInPlainSegmentsAsText()
    {
        using var small = new SmallTokenizer();
        small.Json["model"]!["ignore_merges"] = true;
        var user = small.Add("<user>");
        var marker = small.Add("the|");
        var tokenizer = small.Load();
        Assert.DoesNotContain(user, tokenizer.Encode("<user>", matchAddedTokens: false));
        Assert.DoesNotContain(marker, tokenizer.Encode("the|", matchAddedTokens: false));
        Assert.Equal(
            [user, 'h', 'i', .. "<user>".Select(letter => (int)letter), user],
            tokenizer.Encode([new("<user>", true), new("hi<user>", false), new("<user>", true)]));
    }

    [Fact]
    public void EncodesNeighbouringTextAsOneRun()
    {
        using var small = new SmallTokenizer();
        var user = small.Add("<user>");
        var tokenizer = small.Load();
        Assert.Equal([SmallTokenizer.SpaceThe], tokenizer.Encode([new(" t", true), new("h", false), new("", true), new("e", true)]));
        Assert.Equal([user, SmallTokenizer.The], tokenizer.Encode([new("<us", true), new("er>t", true), new("he", false)]));
        Assert.Equal(tokenizer.Encode("<user>", false), tokenizer.Encode([new("<us", true), new("er>", false)]));
        Assert.Equal([0xF0, 0x9F, 0x98, 0x80, 'x'], tokenizer.Encode([new("\ud83d", true), new("\ude00x", true)]));
        Assert.Empty(tokenizer.Encode([]));
    }

    [Fact]
    public void SegmentsOfTheGoldenTextsEncodeLikeTheWhole()
    {
        var random = new Random(5);
        foreach (var expected in TokenizerGoldens.Cases("cases.jsonl"))
        {
            var text = expected.Text!;
            var (first, second) = (random.Next(text.Length + 1), random.Next(text.Length + 1));
            (first, second) = (Math.Min(first, second), Math.Max(first, second));
            TextSegment[] segments = [new(text[..first], true), new(text[first..second], true), new(text[second..], true)];
            Assert.Equal(expected.Ids, TokenizerGoldens.Tokenizer.Encode(segments));
            Assert.Equal(
                TokenizerGoldens.Tokenizer.Encode(text, matchAddedTokens: false),
                TokenizerGoldens.Tokenizer.Encode([.. segments.Select(segment => segment with { MatchAddedTokens = false })]));
        }
    }
}
