using System.Text.Json.Nodes;
using Conclave.Model.Tokenization;

namespace Conclave.Model.Tests.Tokenization;

public sealed class TokenizerFileTests
{
    public static TheoryData<string, string> Damages => new()
    {
        { "model.type", """{"model":{"type":"WordPiece"}}""" },
        { "model.vocab", """{"model":{"vocab":null}}""" },
        { "model.vocab", """{"model":{"vocab":[]}}""" },
        { "'x'", """{"model":{"vocab":{"x":"1"}}}""" },
        { "'x'", """{"model":{"vocab":{"x":-1}}}""" },
        { "'x'", """{"model":{"vocab":{"x":2000000000}}}""" },
        { "'y'", """{"model":{"vocab":{"x":1,"y":1}}}""" },
        { "model.merges", """{"model":{"merges":"t h"}}""" },
        { "model.merges[1]", """{"model":{"merges":["t h","th"]}}""" },
        { "model.merges[0]", """{"model":{"merges":[["t"]]}}""" },
        { "model.merges[0]", """{"model":{"merges":[["t","h","e"]]}}""" },
        { "model.merges[0]: 'qz'", """{"model":{"merges":["q z"]}}""" },
        { "model.dropout", """{"model":{"dropout":0.1}}""" },
        { "model.byte_fallback", """{"model":{"byte_fallback":true}}""" },
        { "model.unk_token", """{"model":{"unk_token":"<none>"}}""" },
        { "model.ignore_merges", """{"model":{"ignore_merges":"yes"}}""" },
        { "normalizer", """{"normalizer":{"type":"NFC"}}""" },
        { "normalizer.normalizers[0].type", """{"normalizer":{"type":"Sequence","normalizers":[{"type":"Lowercase"}]}}""" },
        { "decoder.type", """{"decoder":{"type":"WordPiece"}}""" },
        { "pre_tokenizer", """{"pre_tokenizer":null}""" },
        { "pre_tokenizer.type", """{"pre_tokenizer":{}}""" },
        { "ByteLevel", """{"pre_tokenizer":{"type":"Whitespace"}}""" },
        { "pre_tokenizer.pretokenizers[0].type", Split("""{"type":"Whitespace"}""") },
        { "pre_tokenizer.pretokenizers[0].behavior", Split("""{"type":"Split","pattern":{"Regex":"a"},"behavior":"MergedWithNext"}""") },
        { "pre_tokenizer.pretokenizers[0].pattern", Split("""{"type":"Split","behavior":"Isolated"}""") },
        { "(?<=a)b", Split("""{"type":"Split","pattern":{"Regex":"(?<=a)b"},"behavior":"Isolated"}""") },
        { "added_tokens[0].id", """{"added_tokens":[{"content":"<x>"}]}""" },
        { "added_tokens[0].id", """{"added_tokens":[{"id":5,"content":"<x>"}]}""" },
        { "added_tokens[0].id", """{"added_tokens":[{"id":900,"content":"the"}]}""" },
        { "added_tokens[0].content", """{"added_tokens":[{"id":900}]}""" },
        { "added_tokens[0].lstrip", """{"added_tokens":[{"id":900,"content":"<x>","lstrip":1}]}""" },
        { "added_tokens", """{"added_tokens":7}""" },
    };

    public static TheoryData<string> BadPatterns =>
    [
        "(", ")", "a)", "[", "[a", "[]", "a**", "a+?", "*", "\\", "\\p", "\\p{", "\\p{Xyz}", "\\p{Han}", "\\q", "\\xZ", "\\u12", "\\b",
        "^a", "a$", "(?<n>a)", "(?i)a", "(?>a)", "a{2", "a{3,2}", "a{x}", "(a)*", "(ab)+", "[z-a]", "[[:alpha:]]", "\\x{110000}",
    ];

    [Theory]
    [MemberData(nameof(Damages))]
    public void NamesFileAndKeyOfADamage(string expected, string change)
    {
        using var small = new SmallTokenizer();
        Merge(small.Json, JsonNode.Parse(change)!.AsObject());
        var error = Assert.Throws<CheckpointException>(small.Load);
        Assert.Contains(Path.Combine(small.Directory, "tokenizer.json"), error.Message);
        Assert.Contains(expected, error.Message);
    }

    [Theory]
    [MemberData(nameof(BadPatterns))]
    public void NamesAPatternThatItCannotFollow(string pattern)
    {
        using var small = new SmallTokenizer();
        var split = new JsonObject
        {
            ["type"] = "Split",
            ["pattern"] = new JsonObject { ["Regex"] = pattern },
            ["behavior"] = "Isolated",
        };
        small.Json["pre_tokenizer"] = JsonNode.Parse(Split(split.ToJsonString()))!["pre_tokenizer"]!.DeepClone();
        var error = Assert.Throws<CheckpointException>(small.Load);
        Assert.Contains("pre_tokenizer.pretokenizers[0].pattern.Regex", error.Message);
        Assert.Contains(pattern, error.Message);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{} {}")]
    [InlineData("""{"model":{"vocab":{"\ud800":1},"merges":[]},"pre_tokenizer":{"type":"ByteLevel"}}""")]
    public void NamesAFileThatIsNotATokenizer(string json)
    {
        using var small = new SmallTokenizer();
        small.Write("tokenizer.json", json);
        var error = Assert.Throws<CheckpointException>(() => Tokenizer.Load(small.Directory));
        Assert.Contains("tokenizer.json", error.Message);
    }

    [Fact]
    public void NamesAFileThatIsNotThere()
        => Assert.Contains("tokenizer.json", Assert.Throws<CheckpointException>(() => Tokenizer.Load("/nowhere")).Message);

    [Fact]
    public void AcceptsAnyOrderOfKeysAndAByteOrderMark()
    {
        using var small = new SmallTokenizer();
        var model = small.Json["model"]!.AsObject();
        var vocabulary = model["vocab"]!.DeepClone();
        model.Remove("vocab");
        model["vocab"] = vocabulary;
        small.Write("tokenizer.json", "\uFEFF" + small.Json.ToJsonString());
        Assert.Equal([SmallTokenizer.The], Tokenizer.Load(small.Directory).Encode("the"));
    }

    [Fact]
    public void UnknownBytesVanishOrBecomeTheUnknownToken()
    {
        using var small = new SmallTokenizer();
        small.Vocabulary.Remove("x");
        Assert.Equal([SmallTokenizer.Ab], small.Load().Encode("axb"));
        small.Json["model"]!["unk_token"] = "the";
        Assert.Equal([SmallTokenizer.The, SmallTokenizer.The, 'y'], small.Load().Encode("xxy"));
        small.Json["model"]!["fuse_unk"] = true;
        Assert.Equal([SmallTokenizer.The, 'y'], small.Load().Encode("xxy"));
    }

    private static string Split(string part)
        => """{"pre_tokenizer":{"type":"Sequence","pretokenizers":[""" + part + """,{"type":"ByteLevel"}]}}""";

    private static void Merge(JsonObject target, JsonObject change)
    {
        foreach (var (key, value) in change)
        {
            if (value is JsonObject inner && key == "model")
            {
                Merge(target[key]!.AsObject(), inner);
            }
            else
            {
                target[key] = value?.DeepClone();
            }
        }
    }
}
