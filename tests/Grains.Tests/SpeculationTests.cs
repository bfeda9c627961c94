using Conclave.Engine;
using Conclave.Engine.Speculation;
using Conclave.Grains.Tests.Experts;
using Conclave.Grains.Tests.Migration;

namespace Conclave.Grains.Tests;

/// <summary>Drafts change no token where experts, those of the MTP module among them, are on other silos, nor where a sequence moves to another rank.</summary>
public sealed class SpeculationTests(PredictingExpertModel model) : IClassFixture<PredictingExpertModel>
{
    private const int Requests = 6, Tokens = 24;

    /// <summary>The demo model's drafts are mostly right; those of random weights hardly ever.</summary>
    [Theory]
    [InlineData("models/demo", true)]
    [InlineData("tests/goldens/mtp", false)]
    public async Task Tokens_of_many_silos_with_drafts_are_those_of_one_without(string path, bool isTrained)
    {
        string root = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(root, "Cluster.sln"))) root = Path.GetDirectoryName(root)!;
        int[][] expected;
        await using (var alone = new TestCluster(Path.Combine(root, path), options => options with { Transport = null, Primary = null, Engine = options.Engine with { Speculation = SpeculationOptions.Off } }))
        {
            expected = await Generate(await alone.StartAsync());
            Assert.Equal(0, alone.Members[0].Rank.Engine.Status.DraftedTokens);
        }

        // Rows for the experts of three silos, each of which holds a part of the module's.
        await using var cluster = new TestCluster(Path.Combine(root, path), options => options with { Engine = options.Engine with { Speculation = SpeculationOptions.Always(2) } });
        await cluster.StartAsync(3);
        await cluster.UntilAsync(view => view.Ranks.Length == 3 && view.IsComplete && view.Map.SlotKeys.Length == 6);
        foreach (TestCluster.Member member in cluster.Members)
        {
            Assert.Equal(expected, await Generate(member));
            EngineStatus status = member.Rank.Engine.Status;
            Assert.Equal(0, status.FailedSteps);
            Assert.InRange(status.DraftedTokens, Tokens, int.MaxValue);
            Assert.InRange(status.AcceptedTokens, isTrained ? Tokens / 2 : 0, status.DraftedTokens);
        }
    }

    /// <summary>Greedy and sampled: the module's latents move with the pages, and the new rank drafts from them.</summary>
    [Fact]
    public async Task A_sequence_that_moves_in_the_midst_of_drafts_goes_on_with_the_next_token()
    {
        GenerateCommand[] commands = [.. Enumerable.Range(0, 5).Select(i => RankPair.Command(i, maxTokens: 400) with { Temperature = i % 2 == 0 ? 0 : 0.8f })];
        string[][] expected;
        using (var without = new RankPair(model, speculation: SpeculationOptions.Off))
            expected = await Task.WhenAll(commands.Select(without.Undisturbed));

        using var ranks = new RankPair(model, speculation: SpeculationOptions.Always(2));
        ranks.SourceSteps.Hold();
        Task<(List<string> Tokens, FinishReason End)>[] readers = [.. commands.Select(command => ReadToEndAsync(ranks.Source, command))];
        ranks.SourceSteps.Release(() => ranks.Source.Engine.Status.GeneratedTokens > 100);
        await ranks.SourceSteps.HeldAsync();
        (int sent, int others) = await ranks.Source.DrainAsync([ranks.TargetSilo], TimeSpan.FromSeconds(60), default);
        Assert.Equal((commands.Length, 0), (sent, others));
        for (int i = 0; i < commands.Length; i++)
        {
            (List<string> tokens, FinishReason end) = await readers[i];
            Assert.Equal(FinishReason.Moved, end);
            tokens.AddRange((await ReadToEndAsync(ranks.Target, RankPair.Resumed(commands[i], tokens))).Tokens);
            Assert.Equal(expected[i], tokens);
        }

        // The pages came along: nothing of them was computed again, so the drafts of both ranks were behind rows of decode steps.
        Assert.Equal(0, ranks.Target.Engine.Status.PromptTokens);
        Assert.InRange(ranks.Source.Engine.Status.DraftedTokens, 50, int.MaxValue);
        Assert.InRange(ranks.Target.Engine.Status.DraftedTokens, 50, int.MaxValue);
        Assert.Equal(0, ranks.Source.Engine.Status.FailedSteps + ranks.Target.Engine.Status.FailedSteps);
    }

    /// <summary>Opens a sequence and reads it as the grain does: who has read all closes it.</summary>
    private static async Task<(List<string> Tokens, FinishReason End)> ReadToEndAsync(Rank rank, GenerateCommand command)
    {
        rank.Open(command);
        Sequence sequence = rank.Find(command.SequenceId).Sequence;
        List<string> tokens = await RankPair.ReadAsync(sequence);
        rank.Close(command.SequenceId);
        return (tokens, sequence.FinishReason);
    }

    private static Task<int[][]> Generate(TestCluster.Member member) =>
        Task.WhenAll(Enumerable.Range(0, Requests).Select(i => member.GenerateAsync(TestCluster.Command(i, Tokens, vocabulary: 390))));
}
