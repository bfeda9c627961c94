using System.Text.Json.Nodes;
using Conclave.Engine.Grammars;
using Conclave.Engine.Speculation;
using Conclave.Model;

namespace Conclave.Engine.Tests.Speculation;

/// <summary>Drafts of the MTP module change no bit of what a sequence gets: with random weights, where next to none is right, and with a trained module, where most are.</summary>
public sealed class SpeculationTests
{
    private const int Requests = 14;

    public static TheoryData<string, int, int> Cases
    {
        get
        {
            var cases = new TheoryData<string, int, int>();
            foreach (string model in new[] { "mtp", "sparse", "demo" })
            {
                foreach ((int drafts, int stepRows) in new[] { (1, 64), (2, 24), (8, 37) })
                    cases.Add(model, drafts, stepRows);
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task A_mixed_batch_gets_what_it_gets_without(string name, int drafts, int stepRows)
    {
        using TinyModel model = Open(name);
        GenerationRequest[] requests = [.. Enumerable.Range(0, Requests).Select(i => RandomRequest(model, i))];
        string[][] expected = await RunAsync(model, SpeculationOptions.Off, stepRows, requests);
        using Engine engine = model.Speculating(SpeculationOptions.Always(drafts), stepRows);
        string[][] got = await Task.WhenAll(requests.Select(request => BitsAsync(engine, request)));
        for (int i = 0; i < Requests; i++)
            Assert.True(expected[i].SequenceEqual(got[i]), $"request {i}: {string.Join(", ", expected[i])}\n{string.Join(", ", got[i])}");

        EngineStatus status = engine.Status;
        Assert.Equal((0, 0, 0L), (status.Running, status.PagesInUse, status.FailedSteps));
        Assert.Equal(expected.Sum(tokens => tokens.Length), status.GeneratedTokens);
        Assert.InRange(status.DraftedTokens, 50, int.MaxValue);
        if (name == "demo")
            Assert.InRange(status.AcceptedTokens, status.GeneratedTokens / 4, status.DraftedTokens);
    }

    [Theory]
    [InlineData("mtp")]
    [InlineData("demo")]
    public async Task Every_end_is_met_exactly(string name)
    {
        using TinyModel model = Open(name);
        GenerationRequest whole = Greedy(model, 40) with { Sampling = new() { Temperature = 0.7f, Seed = 4, FrequencyPenalty = 0.3f, TopLogprobs = 2 } };
        string[] expected = (await RunAsync(model, SpeculationOptions.Off, 64, whole))[0];
        int[] ids = Ids(expected);
        using Engine engine = model.Speculating(SpeculationOptions.Always(3));
        string[][] cut = await Task.WhenAll(Enumerable.Range(1, 39).Select(count => BitsAsync(engine, whole with { MaxTokens = count })));
        string[][] stopped = await Task.WhenAll(Enumerable.Range(1, 39).Select(i => BitsAsync(engine, whole with { StopTokenIds = [ids[i]] })));
        string[][] barred = await Task.WhenAll(Enumerable.Range(1, 39).Select(i => BitsAsync(engine, whole with { StopTokenIds = [ids[i]], IgnoreEos = true })));
        for (int i = 1; i < 40; i++)
        {
            Assert.Equal(expected[..i], cut[i - 1]);
            Assert.Equal(expected[..Array.IndexOf(ids, ids[i])], stopped[i - 1]);
            Assert.Equal(expected, barred[i - 1]);
        }
    }

    [Theory]
    [InlineData("mtp", 1)]
    [InlineData("demo", 3)]
    public async Task A_sequence_resumed_after_any_token_goes_on_exactly(string name, int drafts)
    {
        using TinyModel model = Open(name);
        GenerationRequest request = Greedy(model, 40) with { Sampling = new() { Temperature = 0.9f, TopP = 0.95f, Seed = 5, PresencePenalty = 0.4f } };
        string[] whole = (await RunAsync(model, SpeculationOptions.Off, 64, request))[0];
        int[] ids = Ids(whole);
        using Engine engine = model.Speculating(SpeculationOptions.Always(drafts), stepRows: 30);
        string[][] rests = await Task.WhenAll(Enumerable.Range(1, 39).Select(cut =>
            BitsAsync(engine, request with { PromptIds = [.. request.PromptIds, .. ids[..cut]], ResumedCount = cut })));
        for (int cut = 1; cut < 40; cut++)
            Assert.Equal(whole[cut..], rests[cut - 1]);
    }

    [Fact]
    public async Task Pages_that_come_from_elsewhere_go_on_without_a_first_draft()
    {
        using TinyModel model = Open("demo");
        GenerationRequest request = Greedy(model, 60);
        string[] whole = (await RunAsync(model, SpeculationOptions.Off, 64, request))[0];
        using Engine source = model.Speculating(SpeculationOptions.Always(2));
        for (int cut = 1; cut < 50; cut += 7)
        {
            long due = source.Status.GeneratedTokens + cut;
            model.Steps.HoldWhen(() => source.Status.GeneratedTokens >= due);
            using Sequence first = source.Submit(request);
            await model.Steps.HeldAsync();
            Guid id = Guid.NewGuid();
            using Engine target = model.Speculating(SpeculationOptions.Always(2));
            using (SequenceExport export = Assert.IsType<SequenceExport>(await source.ExportAsync(first)))
                Copy(model, export, target, id);
            model.Steps.Release();
            List<string> read = [.. await first.ReadBitsAsync()];
            int[] ids = Ids([.. read]);
            Assert.InRange(ids.Length, cut, cut + 2);
            using Sequence second = target.Submit(request with { PromptIds = [.. request.PromptIds, .. ids], ResumedCount = ids.Length }, id);
            read.AddRange(await second.ReadBitsAsync());
            Assert.Equal(0, target.Status.PromptTokens);
            Assert.Equal(whole, read);
        }
    }

    [Fact]
    public async Task Cancelled_sequences_leave_nothing_and_disturb_nobody()
    {
        using TinyModel model = Open("demo");
        GenerationRequest[] requests = [.. Enumerable.Range(0, 8).Select(i => RandomRequest(model, i))];
        string[][] expected = await RunAsync(model, SpeculationOptions.Off, 64, requests);
        using Engine engine = model.Speculating(SpeculationOptions.Always(3));
        string[][] got = await Task.WhenAll(requests.Select(async (request, i) =>
        {
            using Sequence victim = engine.Submit(Greedy(model, 200));
            for (int tokens = i * 3; tokens > 0 && await victim.WaitToReadAsync(CancellationToken.None); tokens--)
                victim.TryRead(out _);
            victim.Dispose();
            return await BitsAsync(engine, request);
        }));
        for (int i = 0; i < got.Length; i++)
            Assert.Equal(expected[i], got[i]);
        await engine.StatusWhenAsync(status => status is { Running: 0, PagesInUse: 0 });
    }

    [Theory]
    [InlineData(GrammarKind.JsonObject, "")]
    [InlineData(GrammarKind.Regex, "([a-z]{2,5} ){6}end")]
    [InlineData(GrammarKind.JsonSchema, """{"type":"object","properties":{"name":{"type":"string","maxLength":12},"age":{"type":"integer"},"tags":{"type":"array","items":{"enum":["red","green"]},"maxItems":3}},"required":["name","age","tags"],"additionalProperties":false}""")]
    public async Task Grammars_hold_and_change_nothing(GrammarKind kind, string text)
    {
        using TinyModel model = Open("demo");
        GenerationRequest[] requests = [.. Enumerable.Range(0, 6).Select(i => Greedy(model, 60) with
        {
            Grammar = new GrammarSpec(kind, text),
            StopTokenIds = i % 2 == 0 ? [1] : [],
            Sampling = new() { Temperature = i * 0.2f, Seed = (ulong)i, TopLogprobs = Math.Max(-1, i - 3) },
        })];
        string[][] expected = await RunAsync(model, SpeculationOptions.Off, 64, requests);
        using Engine engine = model.Speculating(SpeculationOptions.Always(2));
        string[][] got = await Task.WhenAll(requests.Select(request => BitsAsync(engine, request)));
        Assert.Equal(expected, got);
        Assert.InRange(engine.Status.AcceptedTokens, 1, int.MaxValue);
        CompiledGrammar grammar = CompiledGrammar.Compile(new GrammarSpec(kind, text), model.Vocabulary());
        foreach (string[] tokens in got)
        {
            var matcher = new GrammarMatcher(grammar, []);
            Assert.All(Ids(tokens), id => Assert.True(matcher.Accept(id)));
            Assert.True(matcher.IsComplete || tokens.Length == 60);
        }

        // Resumed in the midst of a text, with the grammar where it was.
        int[] ids = Ids(expected[0]);
        Assert.Equal(expected[0][5..], await BitsAsync(engine, requests[0] with { PromptIds = [.. model.PromptIds, .. ids[..5]], ResumedCount = 5 }));
    }

    [Fact]
    public async Task Auto_drafts_give_the_same_tokens_too()
    {
        using TinyModel model = Open("demo");
        GenerationRequest[] requests = [.. Enumerable.Range(0, 12).Select(i => RandomRequest(model, i))];
        string[][] expected = await RunAsync(model, SpeculationOptions.Off, 64, requests);
        using Engine engine = model.Speculating(SpeculationOptions.Auto);
        for (int round = 0; round < 3; round++)
            Assert.Equal(expected, await Task.WhenAll(requests.Select(request => BitsAsync(engine, request with { CacheScope = $"{round / 2}" }))));
        Assert.InRange(engine.Status.DraftedTokens, 1, int.MaxValue);
    }

    /// <summary>Pages whose rows were not followed are cached like any others; a sequence that goes on from them gets no drafts, and one that computes its own as good ones as ever.</summary>
    [Fact]
    public async Task Who_goes_on_from_rows_that_were_not_followed_gets_no_drafts()
    {
        using TinyModel model = Open("demo");
        int[] ids = model.PromptIds;
        GenerationRequest request = Greedy(model, 60) with { PromptIds = [.. Enumerable.Range(0, 150).Select(i => ids[i % ids.Length])], CacheScope = "a" };
        string[] expected = (await RunAsync(model, SpeculationOptions.Off, 64, request))[0];
        PausingDrafter? drafter = null;
        using Engine engine = new(
            model.Transformer,
            model.Options() with { Speculation = SpeculationOptions.Always(1) },
            TimeProvider.System,
            (transformer, options) => drafter = new PausingDrafter(new MtpDrafter(transformer, options.MaxStepRows, options.MaxBatch)));
        drafter!.IsPausing = true;
        Assert.Equal(expected, await BitsAsync(engine, request));
        drafter.IsPausing = false;
        long cached = engine.Status.PrefixHits;
        Assert.Equal(expected, await BitsAsync(engine, request));
        Assert.InRange(engine.Status.PrefixHits - cached, 2, 3);
        Assert.Equal((0L, true), (engine.Status.DraftedTokens, drafter.HasMissed));
        Assert.Equal(expected, await BitsAsync(engine, request with { CacheScope = "b" }));
        long drafted = engine.Status.DraftedTokens;
        Assert.InRange(drafted, 15, 60);

        // What was followed is drafted behind when it comes from the cache, too.
        Assert.Equal(expected, await BitsAsync(engine, request with { CacheScope = "b" }));
        Assert.InRange(engine.Status.DraftedTokens - drafted, drafted - 2, drafted + 2);
    }

    [Fact]
    public async Task A_model_without_the_module_drafts_nothing()
    {
        using var model = new TinyModel();
        using Engine engine = model.Speculating(SpeculationOptions.Always(2));
        using Sequence sequence = engine.Submit(model.Golden());
        Assert.Equal(model.GreedyTokens, await sequence.ReadAllAsync());
        Assert.Equal(0, engine.Status.DraftedTokens);
    }

    private sealed class PausingDrafter(MtpDrafter inner) : IDrafter
    {
        public bool IsPausing { get; set; }

        public bool HasMissed { get; private set; }

        public int Draft(StepBatch step, ReadOnlySpan<StepRows> rows, int? count)
        {
            int unseen = inner.Draft(step, rows, IsPausing ? null : count);
            HasMissed |= !IsPausing && unseen > 0;
            return unseen;
        }

        public void Dispose() => inner.Dispose();
    }

    private static TinyModel Open(string name) => name switch
    {
        "demo" => TinyModel.Demo(),
        "sparse" => TinyModel.Random("dsa", ("num_nextn_predict_layers", JsonValue.Create(1))),
        _ => new TinyModel(name),
    };

    private static GenerationRequest Greedy(TinyModel model, int maxTokens) => model.Golden(maxTokens);

    private static GenerationRequest RandomRequest(TinyModel model, int i)
    {
        var random = new Random(i);
        int start = random.Next(model.PromptIds.Length / 2);
        return new GenerationRequest
        {
            PromptIds = [.. model.PromptIds[start..], .. model.PromptIds[..random.Next(1, model.PromptIds.Length)]],
            MaxTokens = random.Next(1, 40),
            StopTokenIds = i % 4 == 1 ? [.. Enumerable.Range(0, 8).Select(_ => random.Next(model.Transformer.Config.VocabularySize))] : Array.Empty<int>(),
            MinTokens = i % 8 == 1 ? 1 : 0,
            Sampling = new SamplingParameters
            {
                Temperature = i % 3 == 0 ? 0 : 0.4f + (i % 4 * 0.3f),
                TopP = i % 2 == 0 ? 1 : 0.9f,
                FrequencyPenalty = i % 5 == 0 ? 0.4f : 0,
                PresencePenalty = i % 7 == 0 ? -0.3f : 0,
                RepetitionPenalty = i % 6 == 2 ? 1.2f : 1,
                Seed = (ulong)i,
                TopLogprobs = i % 6 == 0 ? 5 : -1,
            },
        };
    }

    private static async Task<string[][]> RunAsync(TinyModel model, SpeculationOptions options, int stepRows, params GenerationRequest[] requests)
    {
        using Engine engine = model.Speculating(options, stepRows);
        return await Task.WhenAll(requests.Select(request => BitsAsync(engine, request)));
    }

    private static async Task<string[]> BitsAsync(Engine engine, GenerationRequest request)
    {
        using Sequence sequence = engine.Submit(request);
        return await sequence.ReadBitsAsync();
    }

    private static int[] Ids(string[] bits) => [.. bits.Select(token => int.Parse(token.Split(' ')[0]))];

    private static unsafe void Copy(TinyModel model, SequenceExport export, Engine target, Guid id)
    {
        using ParkedSequence parked = Assert.IsType<ParkedSequence>(target.TryPark(id, export.TokenIds, export.PagesNeeded));
        long size = model.Transformer.KvLayout.PageSizeBytes;
        for (int i = 0; i < export.PageCount; i++)
            Buffer.MemoryCopy(export.Page(i), parked.Page(i), size, size);
        Assert.True(parked.TryCommit(TimeSpan.FromMinutes(5)));
    }
}
