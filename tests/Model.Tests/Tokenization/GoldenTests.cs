using Conclave.Model.Tokenization;

namespace Conclave.Model.Tests.Tokenization;

public sealed class GoldenTests
{
    [Fact]
    public void EncodesEveryTextAsTheReference()
    {
        foreach (var expected in TokenizerGoldens.Cases("cases.jsonl"))
        {
            Assert.Equal(expected.Ids, TokenizerGoldens.Tokenizer.Encode(expected.Text!));
        }
    }

    [Theory]
    [InlineData("cases.jsonl")]
    [InlineData("decode_cases.jsonl")]
    public void DecodesAllIdsAsTheReference(string file)
    {
        foreach (var expected in TokenizerGoldens.Cases(file))
        {
            Assert.Equal(expected.Decoded, TokenizerGoldens.Tokenizer.Decode(expected.Ids));
            Assert.Equal(expected.DecodedSkipSpecial, TokenizerGoldens.Tokenizer.Decode(expected.Ids, skipSpecial: true));
        }
    }

    [Theory]
    [InlineData("cases.jsonl")]
    [InlineData("decode_cases.jsonl")]
    public void IncrementalOutputsJoinToTheSameText(string file)
    {
        foreach (var expected in TokenizerGoldens.Cases(file))
        {
            Assert.Equal(expected.Decoded, Stream(expected.Ids, skipSpecial: false));
            Assert.Equal(expected.DecodedSkipSpecial, Stream(expected.Ids, skipSpecial: true));
            for (var cut = 1; cut < expected.Ids.Length; cut++)
            {
                Assert.Equal(TokenizerGoldens.Tokenizer.Decode(expected.Ids.AsSpan(0, cut)), Stream(expected.Ids[..cut], false));
                Assert.Equal(TokenizerGoldens.Tokenizer.Decode(expected.Ids.AsSpan(cut)), Stream(expected.Ids[cut..], false));
            }
        }
    }

    [Fact]
    public void ReadsTheSettingsBesideTheVocabulary()
    {
        var tokenizer = TokenizerGoldens.Tokenizer;
        Assert.Equal(128815, tokenizer.VocabularySize);
        Assert.Equal(0, tokenizer.BosTokenId);
        Assert.Equal([1], tokenizer.EosTokenIds);
        Assert.True(tokenizer.AddBosToken);
        Assert.StartsWith("{% if not add_generation_prompt", tokenizer.ChatTemplate);
        Assert.Equal(128803, tokenizer.TokenId("<｜User｜>"));
        Assert.Equal(19923, tokenizer.TokenId("Hello"));
        Assert.Null(tokenizer.TokenId("<think>"));
        Assert.Equal("Hello"u8, tokenizer.TokenBytes(19923));
        Assert.True(tokenizer.IsSpecial(128805));
        Assert.False(tokenizer.IsSpecial(128803));
    }

    private static string Stream(IEnumerable<int> ids, bool skipSpecial)
    {
        var detokenizer = new Detokenizer(TokenizerGoldens.Tokenizer, skipSpecial);
        return string.Concat(ids.Select(detokenizer.Push)) + detokenizer.Flush();
    }
}
