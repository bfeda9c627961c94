using System.Text;
using System.Text.Json;
using Conclave.Engine.Grammars;

namespace Conclave.Engine.Tests.Grammars;

/// <summary>The demo model, at a temperature at which it talks nonsense, under a grammar.</summary>
public sealed class ConstrainedEngineTests
{
    private const string Schema = """{"type":"object","properties":{"name":{"type":"string","maxLength":12},"age":{"type":"integer","minimum":0,"maximum":99},"kind":{"enum":["dog","cat"]}},"required":["name","age","kind"]}""";

    [Fact]
    public async Task Output_parses_and_is_the_same_when_resumed()
    {
        using TinyModel model = TinyModel.Demo();
        using Engine engine = model.Engine(grammars: new GrammarCache(() => Vocabularies.Demo));
        for (ulong seed = 0; seed < 3; seed++)
        {
            int[] whole = await Run(engine, Request(model, seed));
            string text = Encoding.UTF8.GetString([.. whole.SelectMany(id => Vocabularies.Demo.Bytes(id).ToArray())]);
            using JsonDocument schema = JsonDocument.Parse(Schema);
            using JsonDocument value = JsonDocument.Parse(text);
            Assert.Null(SchemaValidator.Problem(schema.RootElement, schema.RootElement, value.RootElement));

            int done = whole.Length / 2;
            GenerationRequest rest = Request(model, seed) with { PromptIds = [.. model.PromptIds, .. whole[..done]], ResumedCount = done };
            Assert.Equal(whole[done..], await Run(engine, rest));
        }
    }

    [Fact]
    public void A_grammar_that_cannot_be_used_is_refused_at_once()
    {
        using TinyModel model = TinyModel.Demo();
        using Engine engine = model.Engine(grammars: new GrammarCache(() => Vocabularies.Demo));
        var error = Assert.Throws<OperatingException>(() => engine.Submit(Request(model, 0) with { Grammar = new GrammarSpec(GrammarKind.Regex, "(") }));
        Assert.Equal(OperatingError.InvalidRequest, error.Error);
    }

    private static GenerationRequest Request(TinyModel model, ulong seed) => new()
    {
        PromptIds = model.PromptIds,
        MaxTokens = 120,
        StopTokenIds = [Vocabularies.DemoEnd],
        Sampling = new SamplingParameters { Temperature = 2, Seed = seed },
        Grammar = new GrammarSpec(GrammarKind.JsonSchema, Schema),
    };

    private static async Task<int[]> Run(Engine engine, GenerationRequest request)
    {
        using Sequence sequence = engine.Submit(request);
        var ids = new List<int>();
        while (await sequence.WaitToReadAsync(CancellationToken.None))
        {
            while (sequence.TryRead(out GeneratedToken token))
                ids.Add(token.Id);
        }

        Assert.Equal(FinishReason.Stop, sequence.FinishReason);
        return [.. ids];
    }
}
