using System.Text;
using Conclave.Model.Tokenization;

namespace Conclave.Model.Tests.Tokenization;

public sealed class DetokenizerTests
{
    [Fact]
    public void NeverEmitsHalfACharacter()
    {
        using var small = new SmallTokenizer();
        var detokenizer = new Detokenizer(small.Load());
        Assert.Equal(["", "", "", "😀", "a", "", "é"], new[] { 0xF0, 0x9F, 0x98, 0x80, 'a', 0xC3, 0xA9 }.Select(detokenizer.Push));
        Assert.Equal("", detokenizer.Flush());
    }

    [Fact]
    public void ReleasesInvalidBytesAsSoonAsTheyAreKnownToBe()
    {
        using var small = new SmallTokenizer();
        var detokenizer = new Detokenizer(small.Load());
        Assert.Equal(["", "", "\uFFFDx", "\uFFFD", "", "\uFFFD"], new[] { 0xE4, 0xB8, 'x', 0x80, 0xF0, 0xF0 }.Select(detokenizer.Push));
        Assert.Equal("\uFFFD", detokenizer.Flush());
        Assert.Equal("", detokenizer.Flush());
    }

    [Fact]
    public void AnyBytesAtAnyCutGiveTheTextOfTheWhole()
    {
        using var small = new SmallTokenizer();
        var tokenizer = small.Load();
        byte[] telling = [0x41, 0x80, 0xBF, 0xC0, 0xC3, 0xE0, 0xA0, 0xED, 0x9F, 0xEF, 0xF0, 0x90, 0xF4, 0x8F, 0xF5, 0xFF];
        var random = new Random(3);
        for (var round = 0; round < 5000; round++)
        {
            var bytes = Enumerable.Range(0, random.Next(10)).Select(_ => telling[random.Next(telling.Length)]).ToArray();
            var ids = bytes.Select(value => (int)value).ToArray();
            var detokenizer = new Detokenizer(tokenizer);
            var streamed = string.Concat(ids.Select(detokenizer.Push)) + detokenizer.Flush();
            Assert.Equal(tokenizer.Decode(ids), streamed);
            Assert.Equal(Lossy(bytes), streamed);
        }
    }

    [Fact]
    public void AllocatesNothingWhileNothingComesOut()
    {
        var tokenizer = TokenizerGoldens.Tokenizer;
        var detokenizer = new Detokenizer(tokenizer, skipSpecial: true);
        detokenizer.Push(1);
        detokenizer.Push(28927);
        detokenizer.Flush();
        var before = GC.GetAllocatedBytesForCurrentThread();
        detokenizer.Push(1);
        detokenizer.Push(28927);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(128815)]
    [InlineData(int.MaxValue)]
    public void NamesAnIdThatDoesNotExist(int id)
    {
        var tokenizer = TokenizerGoldens.Tokenizer;
        Assert.Contains($"{id}", Assert.Throws<ArgumentOutOfRangeException>(() => tokenizer.Decode([id])).Message);
        Assert.Equal("", new Detokenizer(tokenizer).Push(id));
        Assert.False(tokenizer.IsSpecial(id));
    }

    /// <summary>Unicode's maximal-subpart rule, written out: the longest valid beginning of a character is one U+FFFD.</summary>
    private static string Lossy(byte[] bytes)
    {
        var text = new StringBuilder();
        for (var i = 0; i < bytes.Length;)
        {
            var (count, low, high) = bytes[i] switch
            {
                < 0x80 => (0, 0, 0),
                >= 0xC2 and <= 0xDF => (1, 0x80, 0xBF),
                0xE0 => (2, 0xA0, 0xBF),
                0xED => (2, 0x80, 0x9F),
                >= 0xE1 and <= 0xEF => (2, 0x80, 0xBF),
                0xF0 => (3, 0x90, 0xBF),
                0xF4 => (3, 0x80, 0x8F),
                >= 0xF1 and <= 0xF3 => (3, 0x80, 0xBF),
                _ => (-1, 0, 0),
            };
            var end = i + 1;
            while (end < bytes.Length && end - i <= count && bytes[end] >= (end == i + 1 ? low : 0x80) && bytes[end] <= (end == i + 1 ? high : 0xBF))
            {
                end++;
            }

            text.Append(count >= 0 && end - i == count + 1 ? Encoding.UTF8.GetString(bytes, i, end - i) : "\uFFFD");
            i = end;
        }

        return text.ToString();
    }
}
