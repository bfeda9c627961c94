using Conclave.Model.Tokenization;

namespace Conclave.Model.Tests.Tokenization;

public sealed class SettingsTests
{
    [Fact]
    public void NeedsNoOtherFile()
    {
        using var small = new SmallTokenizer();
        var tokenizer = small.Load();
        Assert.Null(tokenizer.BosTokenId);
        Assert.Empty(tokenizer.EosTokenIds);
        Assert.Null(tokenizer.ChatTemplate);
        Assert.False(tokenizer.AddBosToken);
        Assert.Null(GenerationDefaults.Load(small.Directory));
    }

    [Fact]
    public void EndsAtWhatTheMostSpecificFileSays()
    {
        using var small = new SmallTokenizer();
        small.Write("tokenizer_config.json", """{"eos_token":"the","bos_token":{"content":"a"},"add_bos_token":true}""");
        Assert.Equal([SmallTokenizer.The], small.Load().EosTokenIds);
        Assert.Equal('a', small.Load().BosTokenId);
        Assert.True(small.Load().AddBosToken);
        small.Write("config.json", """{"eos_token_id":7,"bos_token_id":3}""");
        Assert.Equal([7], small.Load().EosTokenIds);
        small.Write("generation_config.json", """{"eos_token_id":[8,9,8]}""");
        Assert.Equal([8, 9], small.Load().EosTokenIds);
    }

    [Theory]
    [InlineData("\"plain\"", "plain")]
    [InlineData("""[{"name":"tool_use","template":"t"},{"name":"default","template":"d"}]""", "d")]
    [InlineData("""[{"name":"tool_use","template":"t"}]""", "t")]
    [InlineData("null", null)]
    public void FindsTheChatTemplate(string json, string? expected)
    {
        using var small = new SmallTokenizer();
        small.Write("tokenizer_config.json", $$"""{"chat_template":{{json}}}""");
        Assert.Equal(expected, small.Load().ChatTemplate);
        small.Write("chat_template.jinja", "file");
        Assert.Equal("file", small.Load().ChatTemplate);
    }

    [Fact]
    public void ReadsGenerationDefaults()
    {
        using var small = new SmallTokenizer();
        small.Write("generation_config.json", """{"do_sample":true,"temperature":0.6,"top_p":0.95,"eos_token_id":1,"top_k":null}""");
        var defaults = GenerationDefaults.Load(small.Directory)!;
        Assert.True(defaults.DoSample);
        Assert.Equal(0.6, defaults.Temperature);
        Assert.Equal(0.95, defaults.TopP);
        Assert.Null(defaults.TopK);
        Assert.Equal([1], defaults.EosTokenIds);
    }

    [Theory]
    [InlineData("generation_config.json", "temperature", """{"temperature":"hot"}""")]
    [InlineData("generation_config.json", "top_p", """{"top_p":1.5}""")]
    [InlineData("generation_config.json", "eos_token_id", """{"eos_token_id":"</s>"}""")]
    [InlineData("generation_config.json", "eos_token_id[1]", """{"eos_token_id":[1,-2]}""")]
    [InlineData("generation_config.json", "JSON", "{")]
    [InlineData("tokenizer_config.json", "bos_token", """{"bos_token":"<none>"}""")]
    [InlineData("tokenizer_config.json", "add_bos_token", """{"add_bos_token":1}""")]
    [InlineData("tokenizer_config.json", "chat_template", """{"chat_template":5}""")]
    [InlineData("config.json", "root", "[]")]
    public void NamesFileAndKeyOfADamage(string file, string key, string json)
    {
        using var small = new SmallTokenizer();
        small.Write(file, json);
        var error = Assert.Throws<CheckpointException>(small.Load);
        Assert.Contains(file, error.Message);
        Assert.Contains(key, error.Message);
    }
}
