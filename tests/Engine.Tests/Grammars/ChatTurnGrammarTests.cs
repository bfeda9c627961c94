using System.Text.Json;
using Conclave.Engine.Grammars;
using Conclave.Model.Chat;

namespace Conclave.Engine.Tests.Grammars;

public sealed class ChatTurnGrammarTests
{
    private const string Weather = """
        {"type":"object","properties":{"city":{"type":"string","maxLength":8},"days":{"type":"integer","minimum":1,"maximum":14},"unit":{"enum":["C","F",null]},
        "note":{"type":["string","null"]},"tags":{"type":"array","items":{"type":"string"},"maxItems":2}},"required":["city","days"],"additionalProperties":false}
        """;

    [Theory]
    [InlineData(ChatVariant.V30324, false)]
    [InlineData(ChatVariant.V31, false)]
    [InlineData(ChatVariant.V31, true)]
    [InlineData(ChatVariant.V32, false)]
    [InlineData(ChatVariant.V32, true)]
    public void Required_calls_parse_and_fit_their_schemas(ChatVariant variant, bool thinking)
    {
        ChatFormat format = ChatFormat.Get(variant);
        ToolDefinition[] tools = [Tool("get_weather", Weather), Tool("now", null)];
        var turn = new ChatTurnGrammar { Family = format.Family, ToolUse = ToolUse.Required, Tools = tools, BeginsWithReasoning = thinking };
        CompiledGrammar grammar = CompiledGrammar.Compile(turn.ToSpec()!, Vocabularies.Odd);
        for (int seed = 0; seed < 15; seed++)
        {
            string text = new GrammarWalk(grammar, Vocabularies.OddEnd, seed).Run(seed * 12);
            ParsedMessage message = OutputParser.Parse(format, thinking, toolsOffered: true, text);
            Assert.True(message.ToolCalls.Count is >= 1 and <= ChatTurnGrammar.MaxCalls, text);
            Assert.Equal("", message.Content);
            Assert.All(message.ToolCalls, AssertFits);
        }
    }

    [Theory]
    [InlineData(ChatVariant.V31)]
    [InlineData(ChatVariant.V32)]
    public void Free_calls_are_well_formed_and_content_is_free(ChatVariant variant)
    {
        ChatFormat format = ChatFormat.Get(variant);
        var turn = new ChatTurnGrammar { Family = format.Family, ToolUse = ToolUse.Auto, Tools = [Tool("get_weather", Weather)], CallLimit = 1 };
        CompiledGrammar grammar = CompiledGrammar.Compile(turn.ToSpec()!, Vocabularies.Odd);
        foreach (int seed in Enumerable.Range(0, 10))
        {
            ParsedMessage message = OutputParser.Parse(format, thinking: false, toolsOffered: true, new GrammarWalk(grammar, Vocabularies.OddEnd, seed).Run(20));
            Assert.All(message.ToolCalls, AssertFits);
        }

        var matcher = new GrammarMatcher(grammar, []);
        Assert.True(matcher.IsComplete);
        string called = $"Let me see.{CallNotation.Of(format.Family).Lead}{CallNotation.Of(format.Family).Opener}";
        foreach (byte value in System.Text.Encoding.UTF8.GetBytes(called))
            Assert.True(matcher.Accept(1 + value));
        Assert.False(matcher.IsComplete);
    }

    [Fact]
    public void Reasoning_comes_before_content()
    {
        var turn = new ChatTurnGrammar { Family = ChatFamily.V31, BeginsWithReasoning = true, Content = new GrammarSpec(GrammarKind.JsonObject, "") };
        CompiledGrammar grammar = CompiledGrammar.Compile(turn.ToSpec()!, Vocabularies.Odd);
        for (int seed = 0; seed < 15; seed++)
        {
            ParsedMessage message = OutputParser.Parse(ChatFormat.Get(ChatVariant.V31), thinking: true, toolsOffered: false, new GrammarWalk(grammar, Vocabularies.OddEnd, seed).Run(seed * 10));
            Assert.NotNull(message.ReasoningContent);
            using JsonDocument document = JsonDocument.Parse(message.Content!);
            Assert.Equal(JsonValueKind.Object, document.RootElement.ValueKind);
        }
    }

    private static void AssertFits(ParsedToolCall call)
    {
        using JsonDocument arguments = JsonDocument.Parse(call.Arguments);
        if (call.Name == "now")
        {
            Assert.Empty(arguments.RootElement.EnumerateObject());
            return;
        }

        using JsonDocument schema = JsonDocument.Parse(Weather);
        Assert.Equal("get_weather", call.Name);
        Assert.Null(SchemaValidator.Problem(schema.RootElement, schema.RootElement, arguments.RootElement));
    }

    private static ToolDefinition Tool(string name, string? parameters) => new()
    {
        Name = name,
        Parameters = parameters is null ? null : JsonDocument.Parse(parameters).RootElement.Clone(),
        Function = default,
        Definition = default,
    };
}
