using Conclave.Engine.Speculation;
using Conclave.Model;

namespace Conclave.Engine.Tests.Speculation;

/// <summary>Drafts that are always right, always wrong, right up to some place, or anything at all: every way through verification, counted exactly.</summary>
public sealed class RiggedDrafterTests : IDisposable
{
    private const int Tokens = 40;

    private readonly TinyModel _model = new();

    public void Dispose() => _model.Dispose();

    [Theory]
    [InlineData(1, 20)]
    [InlineData(3, 10)]
    [InlineData(7, 5)]
    [InlineData(8, 5)]
    public async Task Right_drafts_save_all_their_steps(int drafts, int steps)
    {
        // The prompt's step gives the first token. Where a page ends there may be fewer drafts, which costs a step at most.
        (_, EngineStatus status) = await RunAsync(drafts, (expected, index) => expected[index]);
        Assert.InRange(status.StepCount, 1 + steps, 2 + steps);
        Assert.Equal(Tokens, status.StepCount + status.AcceptedTokens);
        Assert.Equal(status.DraftedTokens, status.AcceptedTokens);
    }

    [Fact]
    public async Task Wrong_drafts_cost_rows_and_no_token()
    {
        (_, EngineStatus status) = await RunAsync(3, (expected, index) => (expected[index] + 1) % 400);
        Assert.Equal((40L, 0L), (status.StepCount, status.AcceptedTokens));

        // Three behind each token but the last ones, which have no use for as many; fewer where a page ends.
        Assert.InRange(status.DraftedTokens, 100, (3 * 36) + 2 + 1);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(5)]
    public async Task Drafts_behind_a_wrong_one_count_for_nothing(int period)
    {
        (_, EngineStatus status) = await RunAsync(4, (expected, index) => index % period == 0 ? 399 - expected[index] : expected[index]);
        Assert.InRange(status.AcceptedTokens, 1, Tokens);
        Assert.Equal(Tokens, status.StepCount + status.AcceptedTokens);
    }

    [Fact]
    public async Task Any_drafts_change_nothing()
    {
        for (int seed = 0; seed < 6; seed++)
        {
            var random = new Random(seed);
            await RunAsync(5, (expected, index) => random.Next(3) > 0 ? expected[index] : random.Next(400));
        }
    }

    [Fact]
    public async Task Drafts_share_the_rows_that_others_leave()
    {
        GenerationRequest[] requests = [.. Enumerable.Range(0, 6).Select(Request)];
        var expected = new string[requests.Length][];
        for (int i = 0; i < requests.Length; i++)
            expected[i] = await ExpectedAsync(requests[i]);
        var drafter = new RiggedDrafter((sequence, index) => Id(expected[(int)sequence.Request.Sampling.Seed][index]));
        using Engine engine = new(_model.Transformer, _model.Options(maxBatch: 6, maxStepRows: 8) with { Speculation = SpeculationOptions.Always(4) }, TimeProvider.System, (_, _) => drafter);
        string[][] got = await Task.WhenAll(requests.Select(async request =>
        {
            using Sequence sequence = engine.Submit(request);
            return await sequence.ReadBitsAsync();
        }));
        Assert.Equal(expected, got);
        Assert.InRange(engine.Status.AcceptedTokens, 1, engine.Status.DraftedTokens);
    }

    private static GenerationRequest RequestOf(TinyModel model, int seed) => model.Golden(Tokens) with
    {
        Sampling = new() { Temperature = 0.8f, Seed = (ulong)seed, FrequencyPenalty = 0.2f, TopLogprobs = 1 },
    };

    private static int Id(string bits) => int.Parse(bits.Split(' ')[0]);

    private GenerationRequest Request(int seed) => RequestOf(_model, seed);

    private async Task<string[]> ExpectedAsync(GenerationRequest request)
    {
        using Engine engine = _model.Speculating(SpeculationOptions.Off);
        using Sequence sequence = engine.Submit(request);
        return await sequence.ReadBitsAsync();
    }

    /// <summary>One sequence with drafts that <paramref name="guess"/> makes from the right tokens and a place in the output.</summary>
    private async Task<(string[] Tokens, EngineStatus Status)> RunAsync(int drafts, Func<int[], int, int> guess)
    {
        GenerationRequest request = Request(3);
        string[] expected = await ExpectedAsync(request);
        int[] ids = [.. expected.Select(Id)];
        using Engine engine = new(
            _model.Transformer,
            _model.Options() with { Speculation = SpeculationOptions.Always(drafts) },
            TimeProvider.System,
            (_, _) => new RiggedDrafter((_, index) => guess(ids, index)));
        using Sequence sequence = engine.Submit(request);
        string[] got = await sequence.ReadBitsAsync();
        Assert.Equal(expected, got);
        EngineStatus status = engine.Status;
        Assert.Equal((0, 0, (long)Tokens), (status.Running, status.PagesInUse, status.GeneratedTokens));
        return (got, status);
    }

    private sealed class RiggedDrafter(Func<Sequence, int, int> guess) : IDrafter
    {
        public int Draft(StepBatch step, ReadOnlySpan<StepRows> rows, int? count)
        {
            foreach (StepRows row in rows)
            {
                Sequence sequence = row.Sequence;
                if (sequence.IsOver || !sequence.IsDecoding)
                    continue;
                Assert.Equal(0, sequence.DraftCount);
                while (sequence.DraftCount < Math.Min(count ?? 0, sequence.DraftRoom))
                {
                    int index = sequence.Output.Length + sequence.DraftCount;
                    sequence.DraftSpace[sequence.DraftCount++] = guess(sequence, index);
                }
            }

            return 0;
        }

        public void Dispose()
        {
        }
    }
}
