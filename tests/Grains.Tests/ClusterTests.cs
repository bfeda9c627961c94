using Conclave.Silo;
using Orleans;

namespace Conclave.Grains.Tests;

/// <summary>Several silos serve one model: what comes out is what one silo gives, whatever comes and goes meanwhile.</summary>
public sealed class ClusterTests(TestModel model) : IClassFixture<TestModel>
{
    private const int Requests = 6, Tokens = 24;

    [Theory]
    [InlineData(2, 1)]
    [InlineData(3, 1)]
    [InlineData(3, 2)]
    [InlineData(5, 2)]
    public async Task Tokens_are_those_of_one_silo(int silos, int replicas)
    {
        int[][] expected = await model.ExpectedAsync(Requests, Tokens);
        await using var cluster = new TestCluster(model.Path, options => options with { Replicas = replicas });
        await cluster.StartAsync(silos);
        ClusterView view = await cluster.UntilAsync(view => view.Ranks.Length == silos && view.IsComplete && view.Map.SlotKeys.Length == 2 * silos && IsReplicated(view, replicas));
        foreach (TestCluster.Member member in cluster.Members)
        {
            int[][] actual = await Task.WhenAll(Enumerable.Range(0, Requests).Select(i => member.GenerateAsync(TestCluster.Command(i, Tokens))));
            Assert.Equal(expected, actual);
        }

        Assert.Equal(silos, view.Silos.Length);
    }

    [Theory]
    [InlineData("tests/goldens/tiny-f32")]
    [InlineData("models/demo")]
    public async Task Real_checkpoints_give_the_same_tokens_too(string path)
    {
        string root = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(root, "Cluster.sln"))) root = Path.GetDirectoryName(root)!;
        await using var cluster = new TestCluster(Path.Combine(root, path), options => options with { Replicas = 2 });
        TestCluster.Member first = await cluster.StartAsync();
        async Task<int[][]> Generate(TestCluster.Member member) => await Task.WhenAll(Enumerable.Range(0, Requests).Select(i => member.GenerateAsync(TestCluster.Command(i, Tokens, vocabulary: 390))));
        int[][] expected = await Generate(first);
        await cluster.StartAsync(2);
        await cluster.UntilAsync(view => view.Ranks.Length == 3 && view.Map.SlotKeys.Length == 6);
        foreach (TestCluster.Member member in cluster.Members) Assert.Equal(expected, await Generate(member));
    }

    [Fact]
    public async Task A_silo_joins_while_others_serve()
    {
        int[][] expected = await model.ExpectedAsync(Requests, 400);
        await using var cluster = new TestCluster(model.Path);
        TestCluster.Member first = await cluster.StartAsync();
        long before = (await first.Map.Current()).Map.Version;
        Task<int[][]> streams = Task.WhenAll(Enumerable.Range(0, Requests).Select(i => first.GenerateAsync(TestCluster.Command(i, 400))));
        TestCluster.Member second = await cluster.StartAsync();
        ClusterView view = await cluster.UntilAsync(view => view.Ranks.Length == 2 && view.Map.Names(second.Address));
        Assert.True(view.Map.Version > before);
        Assert.Equal(expected, await streams);
        Assert.Equal(expected[0], await second.GenerateAsync(TestCluster.Command(0, 400)));
    }

    [Fact]
    public async Task A_silo_leaves_while_others_serve()
    {
        int[][] expected = await model.ExpectedAsync(Requests, 400);
        await using var cluster = new TestCluster(model.Path);
        TestCluster.Member first = await cluster.StartAsync();
        TestCluster.Member second = await cluster.StartAsync();
        await cluster.UntilAsync(view => view.Map.Names(second.Address));
        Task<int[][]> streams = Task.WhenAll(Enumerable.Range(0, Requests).Select(i => first.GenerateAsync(TestCluster.Command(i, 400))));
        await cluster.StopAsync(second);
        // Usually at once; where its last word is lost, as soon as the membership tells.
        ClusterView view = await cluster.UntilAsync(view => view.Silos.Length == 1);
        Assert.Equal([first.Address], view.Ranks);
        Assert.Equal([first.Address], view.Silos.Select(o => o.Silo));
        Assert.True(view.IsComplete);
        Assert.False(view.Map.Names(second.Address));
        Assert.Equal(expected, await streams);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_silo_dies_while_others_serve(int replicas)
    {
        int[][] expected = await model.ExpectedAsync(Requests, 400);
        await using var cluster = new TestCluster(model.Path, options => options with { Replicas = replicas });
        TestCluster.Member first = await cluster.StartAsync();
        await cluster.StartAsync(2);
        TestCluster.Member last = cluster.Members[^1];
        await cluster.UntilAsync(view => view.Map.Names(last.Address) && view.Ranks.Length == 3 && IsReplicated(view, replicas));
        Task<int[][]> streams = Task.WhenAll(Enumerable.Range(0, Requests).Select(i => first.GenerateAsync(TestCluster.Command(i, 400))));
        await cluster.KillAsync(last);
        Assert.Equal(expected, await streams);
        ClusterView view = await cluster.UntilAsync(view => view.Silos.Length == 2 && view.IsComplete && IsReplicated(view, replicas));
        Assert.DoesNotContain(last.Address, view.Ranks);
        Assert.False(view.Map.Names(last.Address));
    }

    [Fact]
    public async Task A_rebalance_does_not_disturb_streams()
    {
        int[][] expected = await model.ExpectedAsync(Requests, 400);
        await using var cluster = new TestCluster(model.Path);
        TestCluster.Member first = await cluster.StartAsync();
        TestCluster.Member second = await cluster.StartAsync();
        ClusterView before = await cluster.UntilAsync(view => view.Map.Names(second.Address) && view.Ranks.Length == 2);
        Task<int[][]> streams = Task.WhenAll(Enumerable.Range(0, Requests).Select(i => first.GenerateAsync(TestCluster.Command(i, 400))));
        // One expert a layer is hot: a replica of it has to go elsewhere.
        var totals = new long[before.Map.Replicas.Length];
        for (int pair = 0; pair < totals.Length; pair++) totals[pair] = pair % before.Map.ExpertCount == 0 ? 1_000_000 : 1_000;
        await cluster.Map.ReportLoads(second.Address, totals);
        PlacementProposal proposal = await cluster.Map.Apply(new PlacementWishes { RedundantExperts = 2 });
        Assert.True(proposal.ImbalanceAfter <= proposal.ImbalanceBefore, $"{proposal.ImbalanceBefore} -> {proposal.ImbalanceAfter}");
        await cluster.UntilAsync(view => view.Map.Version > before.Map.Version);
        await cluster.Map.Rebalance();
        Assert.Equal(expected, await streams);
        PlacementStatus status = await cluster.Map.Placement();
        Assert.Null(status.PlanFault);
        Assert.Null(status.StorageFault);
        Assert.Equal(2, status.Wishes.RedundantExperts);
        Assert.Equal(2, status.View.Map.Replicas.Where((_, pair) => pair >= before.Map.ExpertCount).Sum(slots => slots.Length - 1));
    }

    [Fact]
    public async Task Silos_without_room_for_all_wait_for_more()
    {
        // 8 experts of 3 * 16 * 32 BF16 values; room for 5 on each silo.
        await using var cluster = new TestCluster(model.Path, options => options with { ExpertMemorySizeBytes = 5 * 3 * 16 * 32 * 2, Slots = 1, StartsInBackground = true, DrainGraceSeconds = 1 });
        await cluster.StartAsync();
        ClusterView view = await cluster.UntilAsync(view => view.Map.Version > 0);
        Assert.Equal(3, view.MissingExperts);
        Assert.Empty(view.Ranks);
        PlacementStatus status = await cluster.Map.Placement();
        Assert.Contains("add a silo", status.PlanFault, StringComparison.Ordinal);
        await cluster.StartAsync();
        view = await cluster.UntilAsync(view => view.IsComplete && view.Ranks.Length == 2);
        Assert.Equal((await model.ExpectedAsync(1, Tokens))[0], await cluster.Members[0].GenerateAsync(TestCluster.Command(0, Tokens)));
    }

    [Fact]
    public async Task A_silo_of_another_model_is_turned_away()
    {
        await using var cluster = new TestCluster(model.Path);
        await cluster.StartAsync();
        ClusterException refusal = await Assert.ThrowsAsync<ClusterException>(() => cluster.StartAsync(adjust: options => options with { Dispatch = new DispatchOptions { Type = DispatchType.BF16 } }));
        Assert.Contains("--dispatch-dtype", refusal.Message, StringComparison.Ordinal);
        Assert.Single((await cluster.Map.Current()).Silos);
    }

    [Fact]
    public async Task What_a_silo_has_seen_restores_what_was_lost()
    {
        await using var cluster = new TestCluster(model.Path);
        TestCluster.Member silo = await cluster.StartAsync();
        ClusterView view = await cluster.Map.Current();
        await cluster.Map.Restore(view with { Epoch = view.Epoch + 50, Wishes = new PlacementWishes { Replicas = 3 }, Map = view.Map with { Version = 70 } });
        ClusterView restored = await cluster.Map.Current();
        Assert.True(restored.Epoch >= view.Epoch + 50);
        Assert.Equal(3, restored.Wishes.Replicas);
        // An older one changes nothing.
        await cluster.Map.Restore(view);
        Assert.Equal(3, (await cluster.Map.Current()).Wishes.Replicas);
        await cluster.StartAsync();
        ClusterView grown = await cluster.UntilAsync(view => view.Ranks.Length == 2 && view.Map.SlotKeys.Length == 4);
        Assert.True(grown.Map.Version > 70);
        Assert.Equal((await model.ExpectedAsync(1, Tokens))[0], await silo.GenerateAsync(TestCluster.Command(0, Tokens)));
    }

    private static bool IsReplicated(ClusterView view, int replicas) => view.Map.Replicas.Where((_, pair) => pair >= view.Map.ExpertCount)
        .All(slots => slots.Select(slot => SiloKey.Silo(view.Map.SlotKeys[slot])).Distinct().Count() >= Math.Min(replicas, view.Silos.Length));
}
